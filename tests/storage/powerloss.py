"""What a power cut can leave of a store's file: every write and flush is recorded, and cut short.

`record` runs a workload on a real directory under strace, which gives every write, flush and change of
size of the data file with its data, in order, and between them the acknowledgements. `states` then makes
what a disk may hold if the power goes at any moment: all that was flushed, and of what was not, any part,
in any order, torn at sectors of 512 bytes (which disks do not tear).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from storage import children

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


TESTS = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{children.ROOT}:{TESTS}"}
SECTOR = 512
EXHAUSTIVE = 4  # of so many writes without a flush, every subset
CALLS = (
    "openat,close,write,writev,pwrite64,pwritev,pwritev2,lseek,fdatasync,fsync,msync,ftruncate,truncate"
    ",fallocate,sync_file_range,rename,renameat,renameat2"
)

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@frozen
class Write:
    """Bytes at a place of the file. ``durable``: on disk as soon as the call is over (O_DSYNC)."""

    offset: int
    data: bytes
    durable: bool


@frozen
class Size:
    """The file gets this length."""

    length: int


@frozen
class Flush:
    """Everything before is on disk."""


@frozen
class Acknowledged:
    """The store says that the commits up to this number are durable."""

    number: int


@frozen
class Placed:
    """The file gets its name: before, no crash leaves anything of it."""


Step = Write | Size | Flush | Acknowledged | Placed


class RecorderMissingError(Exception):
    """There is no strace, or it may not trace."""


def strace_here() -> str:
    """The recorder."""
    strace = shutil.which("strace")
    if strace is None:
        raise RecorderMissingError("strace is not installed")
    command = [strace, "-o", os.devnull, "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        raise RecorderMissingError(f"strace may not trace here: {tried.stderr.strip()}")
    return strace


def record(directory: Path, workload: str, *arguments: object) -> list[Step]:
    """Run ``workload`` on the store in ``directory / "store"`` and give what it did to its file.

    The workload calls ``acknowledged(number)`` whenever a commit has returned.
    """
    strace = strace_here()
    directory.mkdir(exist_ok=True)
    data, acks, trace = directory / "store" / "data.mdb", directory / "acks", directory / "trace"
    code = f"""
acks = os.open({str(acks)!r}, os.O_CREAT | os.O_WRONLY)
def acknowledged(number):
    os.pwrite(acks, b"%d" % number, 0)
"""
    program = children.PRELUDE + code + workload
    command = [strace, "-f", "-xx", "-s", str(1 << 24), "-e", f"trace={CALLS}", "-o", str(trace)]
    for path in (data, _unplaced(data), acks):
        command += ["-P", str(path)]
    command += [sys.executable, "-c", program, str(directory / "store"), *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = list(_steps(trace.read_text().splitlines(), data, acks))
    trace.unlink()
    assert _replayed(steps) == data.read_bytes(), "the record is not what happened"
    return steps


def _unplaced(data: Path) -> Path:
    """Where the file is made."""
    return data.parent / "new" / data.name


def _replayed(steps: list[Step]) -> bytes:
    disk = bytearray()
    for step in steps:
        _apply(disk, step)
    return bytes(disk)


def _steps(lines: list[str], data: Path, acks: Path) -> Iterator[Step]:
    files: dict[str, tuple[bytes, bool]] = {}  # by descriptor: its name, whether writes are flushed
    places: dict[str, int] = {}
    for line in lines:
        found = _CALL.match(line)
        if found is None or found[3] == "-1":
            assert "unfinished" not in line, "the workload has only one thread"
            continue
        call, arguments, result = found.groups()
        descriptor = arguments.split(",")[0]
        if call == "openat":
            (name,) = _texts(arguments)
            files[result] = (name, "SYNC" in arguments)
            places[result] = 0
            continue
        if call.startswith("rename"):
            assert _texts(arguments) == [os.fsencode(_unplaced(data)), os.fsencode(data)]
            yield Placed()
            continue
        name, durable = files.get(descriptor, (b"", False))
        if name == os.fsencode(acks):
            if call == "pwrite64":
                yield Acknowledged(int(_texts(arguments)[0]))
        elif name in (os.fsencode(data), os.fsencode(_unplaced(data))):
            yield from _step(call, arguments, int(result), durable, places, descriptor)
        else:
            assert call == "truncate", line
            yield Size(int(arguments.split(",")[1]))


def _step(
    call: str, arguments: str, result: int, durable: bool, places: dict[str, int], descriptor: str
) -> Iterator[Step]:
    match call:
        case "close":
            pass
        case "lseek":
            places[descriptor] = result
        case "write" | "writev":
            written = b"".join(_texts(arguments))
            assert len(written) == result
            yield Write(places[descriptor], written, durable)
            places[descriptor] += result
        case "pwrite64":
            (written,) = _texts(arguments)
            assert len(written) == result
            yield Write(int(arguments.rpartition(",")[2]), written, durable)
        case "fdatasync" | "fsync":
            yield Flush()
        case "ftruncate":
            yield Size(int(arguments.split(",")[1]))
        case _:
            raise AssertionError(f"{call} is not understood")


def _texts(arguments: str) -> list[bytes]:
    return [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]


# --- states ---------------------------------------------------------------------------------------


@frozen
class State:
    """What a disk may hold after a power cut, and which commits had been acknowledged by then.

    ``disk``: the file; ``None``: there is none.
    """

    disk: bytes | None
    acknowledged: int
    what: str = field(eq=False)


def states(steps: list[Step], rng: random.Random, per_moment: int = 6) -> Iterator[State]:
    """What can be left at each moment. ``per_moment``: how many random ones, besides the regular ones."""
    flushed, pending, acknowledged, placed = bytearray(), list[Write | Size](), 0, False
    for moment, step in enumerate(steps):
        match step:
            case Acknowledged(number):
                acknowledged = number
                continue
            case Flush():
                for write in pending:
                    _apply(flushed, write)
                pending = []
            case Write() | Size():
                pending.append(step)
            case Placed():
                placed = True
                yield State(None, acknowledged, f"step {moment}: nothing is there")
        for what, parts in _parts(pending, rng, per_moment) if placed else ():
            disk = bytearray(flushed)
            for part in parts:
                _apply(disk, part)
            yield State(bytes(disk), acknowledged, f"step {moment} of {len(steps)}: {what}")
        if isinstance(step, Write) and step.durable:
            _apply(flushed, step)  # and only that: what was pending before still is
            pending.remove(step)


def _apply(disk: bytearray, step: Step) -> None:
    if isinstance(step, Size):
        disk[step.length :] = bytes(max(0, step.length - len(disk)))
    elif isinstance(step, Write):
        end = step.offset + len(step.data)
        disk.extend(bytes(max(0, end - len(disk))))
        disk[step.offset : end] = step.data


Parts = tuple[str, list[Write | Size]]


def _parts(pending: list[Write | Size], rng: random.Random, per_moment: int) -> Iterator[Parts]:
    """Which parts of writes that were not flushed reach the disk."""
    yield "none", []
    count = len(pending)
    if count <= EXHAUSTIVE:
        for size in range(1, count + 1):
            for chosen in combinations(range(count), size):
                yield f"writes {chosen} of {count}", [pending[at] for at in chosen]
    else:
        yield "all", pending
        for at in rng.sample(range(count), EXHAUSTIVE):
            yield f"all but write {at}", pending[:at] + pending[at + 1 :]
            yield f"only write {at}", [pending[at]]
    if any(isinstance(write, Write) and len(write.data) > SECTOR for write in pending):
        for number in range(per_moment):
            share = rng.choice([0.1, 0.5, 0.9])
            torn = [part for write in pending for part in _torn(write, rng, share)]
            rng.shuffle(torn)
            yield f"random sectors {number}, {share} of all", torn
        last = pending[-1]
        if isinstance(last, Write) and len(last.data) > SECTOR:
            cut = rng.randrange(SECTOR, len(last.data), SECTOR)
            torn_off = Write(last.offset, last.data[:cut], last.durable)
            yield f"the last write up to byte {cut}", [*pending[:-1], torn_off]


def _torn(write: Write | Size, rng: random.Random, share: float) -> Iterator[Write | Size]:
    if isinstance(write, Size):
        if rng.random() < share:
            yield write
        return
    position, end = write.offset, write.offset + len(write.data)
    while position < end:
        border = min(end, (position // SECTOR + 1) * SECTOR)
        if rng.random() < share:
            piece = write.data[position - write.offset : border - write.offset]
            yield Write(position, piece, write.durable)
        position = border

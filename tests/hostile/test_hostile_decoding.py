"""K1, K2: whatever the bytes, every reader gives what it says or one of its errors, within bounds.

More than 50,000 different inputs: ``GOLEM_FUZZ=8 pytest tests/hostile/test_hostile_decoding.py``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import FUZZ_SCALE
from golem_sdk.codec import classes, records
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError
from golem_sdk.stores import heads
from hostile import atheris_target, traps
from hostile.mutations import mutated
from hostile.seeds import SEEDS
from hostile.targets import TARGETS, Target, WrongError, attack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from proof.counting import Proved

PER_TARGET = 1000
MEASURED = 16  # one of so many has its memory and its work measured
MEGABYTE = 2**20


def hostile(name: str, seed: int, count: int) -> Iterator[bytes]:
    draw = random.Random(f"{name} {seed}")
    seeds = SEEDS[name]
    frame = TARGETS[name].frame
    for number in range(count):
        data = mutated(seeds[number % len(seeds)], draw, seeds)
        yield frame + data[len(frame) :] if number % 4 else data


def test_every_reader_accepts_what_is_valid() -> None:
    for name, seeds in SEEDS.items():
        assert any(attack(TARGETS[name], data) for data in seeds), name
    assert SEEDS.keys() == TARGETS.keys()
    assert all(attack(TARGETS["value"], data) for data in SEEDS["value"])


def campaign(name: str, seed: int, count: int) -> Counter[str]:
    """So many hostile decodes by one reader. Gives how many different ones were "refused" and "read"."""
    target = TARGETS[name]
    for data in SEEDS[name]:
        attack(target, data)  # what is imported at first use is imported
    before, known, outcomes = set(sys.modules), set[bytes](SEEDS[name]), Counter[str]()
    traps.SPRUNG.clear()
    traps.Meta.armed = True
    try:
        for number, data in enumerate(hostile(name, seed, count)):
            attempt = attack if number % MEASURED else measured
            accepted = attempt(target, data)
            if data not in known:
                known.add(data)
                outcomes["read" if accepted else "refused"] += 1
    finally:
        traps.Meta.armed = False
    # Where the system has no such time zone, zoneinfo looks into a package, if it is installed.
    imported = {name for name in set(sys.modules) - before if name.partition(".")[0] != "tzdata"}
    assert imported == set()
    assert traps.SPRUNG == []
    return outcomes


@pytest.mark.parametrize("name", TARGETS)
def test_k1_hostile_bytes_are_refused_or_read_within_bounds(
    name: str, fuzz_scale: int, fuzz_seed: int, proved: Proved
) -> None:
    outcomes = campaign(name, fuzz_seed, PER_TARGET * fuzz_scale)
    assert (outcomes["refused"] > 0) is (name != "viewed")  # a viewer shows what it cannot read
    proved("hostile decodes", outcomes.total(), **outcomes)


def measured(target: Target, data: bytes) -> bool:
    """`attack`, with bounded memory and a bounded number of calls."""
    tracemalloc.start()
    try:
        accepted = attack(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * MEGABYTE + 200 * len(data), data.hex()[:400]
    calls = calls_of(target, data)
    assert calls < 20_000 + 200 * len(data), data.hex()[:400]
    return accepted


def calls_of(target: Target, data: bytes) -> int:
    """How many functions, Python's and C's, a reader calls: its work, the same on every machine."""
    calls = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        attack(target, data)
    finally:
        sys.setprofile(None)
    return calls


@settings(max_examples=40 * FUZZ_SCALE)
@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=300))
def test_k1_any_bytes_are_refused_or_read(name: str, data: bytes) -> None:
    attack(TARGETS[name], TARGETS[name].frame + data)


@settings(max_examples=40 * FUZZ_SCALE)
@given(st.sampled_from(sorted(TARGETS)), st.data())
def test_k1_changed_bytes_are_refused_or_read(name: str, data: st.DataObject) -> None:
    """The same changes, chosen by hypothesis: a failure is shrunk to the fewest changes."""
    draw = data.draw(st.randoms(use_true_random=False))
    start = data.draw(st.sampled_from(SEEDS[name]))
    attack(TARGETS[name], mutated(start, draw, SEEDS[name]))


# --- what many keys of one hash cost --------------------------------------------------------------


PRIME = 2**61 - 1  # of the hashes of numbers


@pytest.mark.parametrize("kind", ["set", "dict"])
def test_keys_that_all_have_the_same_hash_are_refused(kind: str) -> None:
    from msgpack import ExtType, packb

    numbers = [PRIME * (2**64 + n) for n in range(20_000)]
    keys = [packb(ExtType(1, number.to_bytes(20, "big"))) for number in numbers]
    assert len({hash(number) for number in numbers}) == 1
    size = len(keys).to_bytes(4, "big")
    data = b"\xdf" + size + b"".join(key + b"\xc0" for key in keys)
    if kind == "set":
        data = packb(ExtType(3, b"\xdd" + size + b"".join(keys)))
    with pytest.raises(DecodingError, match="same hash"):
        decode(data)


def test_a_few_keys_may_have_the_same_hash() -> None:
    numbers = {PRIME * n for n in range(500)}
    assert decode(encode(numbers)) == numbers


# --- the checkers see what they are to see --------------------------------------------------------


def raises(error: BaseException) -> Target:
    def read(_: bytes) -> None:
        raise error

    return Target(read)


@pytest.mark.parametrize(
    "fault",
    [
        raises(KeyError("x")),
        raises(RecursionError()),
        raises(SystemExit()),
        raises(DecodingError("")),
        raises(DecodingError("\x1b[2J")),
        raises(DecodingError("x" * 5000)),
    ],
    ids=["another-error", "recursion", "exit", "no-text", "escape", "long"],
)
def test_a_reader_that_fails_otherwise_is_noticed(fault: Target) -> None:
    with pytest.raises(WrongError):
        attack(fault, b"")


def test_a_reader_that_takes_too_much_is_noticed() -> None:
    with pytest.raises(AssertionError):
        measured(Target(lambda data: bytearray(30 * MEGABYTE)), b"x")
    with pytest.raises(AssertionError):
        measured(Target(lambda data: [len(data) for _ in range(30_000)]), b"x")


def test_code_of_a_stored_class_that_runs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_filled", lambda plan, present: plan.cls(**present))
    with pytest.raises(AssertionError, match="ran"):
        campaign("value", 1, 4000)
    traps.SPRUNG.clear()


def test_an_import_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> object:
        with suppress(Exception):
            sys.modules.setdefault(name, ModuleType(name))
        return sys.modules.get(name)

    before = set(sys.modules)
    monkeypatch.setattr(classes, "find_module", found)
    with pytest.raises(AssertionError):
        campaign("value", 1, 4000)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_reader_of_rows_that_trusts_them_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "unpack_row", lambda space, key, row, types: decode(row))
    with pytest.raises(WrongError):
        campaign("HEAD", 1, 4000)


# --- led by coverage ------------------------------------------------------------------------------


def test_the_atheris_target_reads_its_own_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atheris_target.main(["", "--seeds", str(tmp_path)]) == 0
    for file in tmp_path.iterdir():
        atheris_target.one_input(file.read_bytes())
    atheris_target.one_input(b"")
    assert len(corpus := atheris_target.corpus()) == len([*tmp_path.iterdir()])
    assert {data[0] for data in corpus} == {*range(len(TARGETS))}
    if find_spec("atheris") is None:
        assert atheris_target.main([""]) == 0
        assert "not installed" in capsys.readouterr().out


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_atheris_finds_nothing(tmp_path: Path) -> None:
    atheris_target.main(["", "--seeds", str(tmp_path)])
    command = [sys.executable, "-m", "hostile.atheris_target", str(tmp_path)]
    runs = f"-runs={2000 * FUZZ_SCALE}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), "tests"])}
    done = subprocess.run([*command, runs], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

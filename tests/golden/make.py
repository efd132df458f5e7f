"""Makes the golden files of a release: ``PYTHONPATH=.:tests python -m golden.make``.

Once per release, with its code, and again before it when encodings have changed, which the tests say. In
``tests/golden/<version>`` it makes ``store.tar.xz``, a real store in the middle of work, ``encodings.json``,
the bytes of the fixed sample, and ``agents.json``, what a listing of the store shows.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golden import programs, sample
from golem_sdk import Runtime
from golem_sdk.codec.entries import FORMAT_VERSION, encode_chunk
from golem_sdk.codec.values import encode
from golem_sdk.core.status import AgentStatus, StatusRecord
from golem_sdk.storage import records
from golem_sdk.storage.base import Space
from golem_sdk.storage.format import FORMAT
from golem_sdk.stores.heads import AgentHead, head_put
from golem_sdk.stores.invocations import (
    Invocation,
    InvocationStatus,
    Result,
    inbox_key,
    result_key,
    result_row,
    scheduled_key,
)
from golem_sdk.viewer import open_viewer

if TYPE_CHECKING:
    from golem_sdk.runtime.handles import InvocationHandle

__all__ = ["encodings", "formats", "handle_of", "main", "pack"]

HERE = Path(__file__).parent


def formats() -> dict[str, int]:
    """The numbers of the formats that this code writes."""
    return {"store": FORMAT, "chunk": FORMAT_VERSION, "record": records._VERSION}


def encodings() -> dict[str, str]:
    """The fixed sample in bytes, as hexadecimal text: values, entries, rows, keys and seals by name."""
    found = {f"value {name}": encode(value) for name, value in sample.VALUES.items()}
    for number, entry in enumerate(sample.ENTRIES):
        found[f"entry {type(entry).__name__} {number % 2}"] = encode_chunk([entry])
    record = StatusRecord(AgentStatus.FAILED, 9, 1, 2, 3, 4, "key", "error", "code", "Error")
    call = Invocation("T", 'T("a")', "key", "m", b"\x90", b"\x91\x01", 5)
    found["row HEAD"] = head_put(AgentHead("T", 'T("a")', record))[2]
    found["row INBOX"] = call.to_row()
    found["row RESULT"] = result_row(Result(InvocationStatus.COMPLETED, b"\x01", failed=True))
    found["key INBOX"] = inbox_key('T("a")', 5)
    found["key RESULT"] = result_key('T("a")', "k" * 300)
    found["key SCHEDULED"] = scheduled_key(7, 5)
    for space in Space:
        found[f"seal {space.name}"] = records.seal(space, b"key", b"value")
    return {name: data.hex() for name, data in found.items()}


def handle_of(runtime: Runtime, name: str, call: programs.Call) -> InvocationHandle[Any]:
    """Ask for a call, which may be there already: its key is its name."""
    kind, identity, method, arguments = call
    if method is None:
        return runtime.trigger(kind, *identity)
    return runtime.trigger(getattr(runtime.get(kind, *identity), method), *arguments, key=name)


def _settle(handle: InvocationHandle[Any]) -> None:
    with contextlib.suppress(LookupError):
        handle.result(timeout=30)


def work(store: Path) -> None:
    """Everything that the golden store holds; ends with a crash in the last agent."""
    with Runtime(store, suspend_after=0.0) as runtime:
        for name, call in programs.CALLS.items():
            _settle(handle_of(runtime, name, call))
        reverted = runtime.get(programs.GoldenSync, "reverted")
        reverted.add("kept")
        reverted.add("dropped")
        runtime.revert('GoldenSync("reverted")', invocations=1)
        later = runtime.get(programs.GoldenSync, "later")
        runtime.schedule(timedelta(seconds=programs.LATER_S), later.add, "on time", key="scheduled")
        for name in ("nap", "queued", "sleeper"):
            handle_of(runtime, name, programs.UNFINISHED[name])
        for agent_id in ('GoldenSync("sleeper")', 'golden_sleeper("Ada")'):
            _asleep(runtime, agent_id)
        os.environ[programs.DIE] = "second half"
        handle_of(runtime, "interrupted", programs.UNFINISHED["interrupted"]).result(timeout=30)


def _asleep(runtime: Runtime, agent_id: str) -> None:
    """Return when the agent was unloaded while it waits."""
    nobody = handle_of(runtime, "queued", programs.UNFINISHED["queued"])
    for _ in range(1000):
        if runtime.metadata(agent_id).status is AgentStatus.SUSPENDED:
            return
        with suppress(TimeoutError):
            nobody.result(timeout=0.02)
    raise AssertionError(f"{agent_id} does not go to sleep")


def _child(store: Path, what: str, die: str = "") -> int:
    database = store.parent / "golden.db"
    environment = {**os.environ, programs.DIE: die, "GOLDEN_DATABASE": str(database)}
    command = [sys.executable, "-m", "golden.make", what, str(store)]
    return subprocess.run(command, env=environment, check=False).returncode


def make(target: Path) -> None:
    """Write the golden files into a directory."""
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        assert _child(store, "pay", die="wire 5") == 9
        assert _child(store, "work") == 9
        viewer = open_viewer(store)
        agents = {agent.agent_id: agent.status.value for agent in viewer.agents()}
        viewer.close()
        target.mkdir(parents=True, exist_ok=True)
        pack(store / "data.mdb", target / "store.tar.xz")
    found = encodings()
    digest = sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    text = {"formats": formats(), "digest": digest, "encodings": found}
    for name, content in (("encodings.json", text), ("agents.json", agents)):
        (target / name).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def pack(data: Path, archive: Path) -> None:
    """Without times, owners and modes, so that the same store gives the same archive."""
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        info = tarfile.TarInfo(data.name)
        content = data.read_bytes()
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def main(arguments: list[str]) -> int:
    """Make the golden files of this version; the other words are for its own child processes."""
    match arguments:
        case ["pay", store]:
            with Runtime(store) as runtime:
                handle_of(runtime, "pay", programs.PARKED).result(timeout=30)
        case ["work", store]:
            work(Path(store))
        case []:
            make(HERE / version("golem_sdk"))
        case [target]:
            make(Path(target))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

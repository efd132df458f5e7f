"""Records the golden histories of interceptors: ``PYTHONPATH=.:tests python -m golden.record [directory]``.

Once per release, with its code, and again before it when what interceptors record has changed, which the
tests say. In ``tests/golden/<version>`` it makes ``interceptors.tar.xz``, a store in which each body of
`golden.interceptors` was run once, and ``interceptors.json``: by body, the places that it was given, the
versions of interceptors that its agent was made with, what it gave, and the names of its durable calls.
"""

from __future__ import annotations

import getpass
import inspect
import json
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golden.interceptors import BODIES, OLDER, Golden, GoldenAsync
from golden.make import HERE, pack
from golem_sdk import Runtime, intercept
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.intercept.table import versions
from intercept.keyvalue import KeyValueServer
from intercept.line_server import LineServer
from intercept.web import WebServer
from transactions.cluster import running

if TYPE_CHECKING:
    from golden.interceptors import Places

__all__ = ["kind_of", "main", "stored"]


def kind_of(body: str) -> Any:
    """The agent class that runs it."""
    return GoldenAsync if inspect.iscoroutinefunction(BODIES[body]) else Golden


def stored(value: Any) -> Any:
    """A result as JSON has it."""
    return json.loads(json.dumps(value, default=repr))


def record(store: Path, places: Places) -> dict[str, Any]:
    """Run every body in an agent of its own."""
    told: dict[str, Any] = {}
    now = intercept.versions
    for body in BODIES:
        older = OLDER.get(body, {})
        intercept.versions = lambda older=older: {**versions(), **older}  # type: ignore[misc]  # as releases before
        with Runtime(store) as runtime:
            handle = runtime.get(kind_of(body), body, places)
            result = runtime.trigger(handle.go).result(60)
            calls = [
                entry.function_name
                for _, entry in runtime.oplog(handle)
                if isinstance(entry, ImportedFunctionInvoked)
            ]
        told[body] = {"older": older, "result": stored(result), "calls": calls}
    intercept.versions = now
    return told


def make(target: Path) -> None:
    """Write the golden files into a directory."""
    getpass.getpass = _answer  # type: ignore[assignment]  # it takes no stream
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="golden-")))
        (scratch / "desk").mkdir()
        (scratch / "desk" / "given.txt").write_text("first\nsecond\n")
        places = {
            "web": f"http://127.0.0.1:{stack.enter_context(WebServer()).server_port}",
            "lines": str(stack.enter_context(LineServer()).port),
            "keys": str(stack.enter_context(KeyValueServer()).port),
            "server": stack.enter_context(running()),
            "desk": str(scratch / "desk"),
        }
        places = dict(
            sorted(places.items())
        )  # the order counts: it is part of the agents' identities
        told = record(scratch / "store", places)
        pack(scratch / "store" / "data.mdb", target / "interceptors.tar.xz")
    text = json.dumps({"places": places, "bodies": told}, indent=1, sort_keys=True)
    (target / "interceptors.json").write_text(text + "\n")


def _answer(prompt: str = "") -> str:
    return "said by the user"


_answer.__name__ = getpass.getpass.__name__  # under which it is recorded


def main(arguments: list[str]) -> int:
    """Record those of this version."""
    make(Path(arguments[0]) if arguments else HERE / version("golem_sdk"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

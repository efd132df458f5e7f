"""The cassette of one test of pytest: where its file is, whether it is recorded or played, what is told."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from attrs import frozen

from golem_sdk.testing.cassette import Cassette, Player, record

if TYPE_CHECKING:
    from golem_sdk.testing.virtual import VirtualRuntime

__all__ = ["Tape", "open_tape", "orphans"]

_MOST_LINES = 40


@frozen
class Tape:
    """What a test has to do with its cassette.

    Attributes:
        nodeid: the test.
        path: the file.
        shown: the file's path as it is told.
        player: answers the calls; ``None``: they are performed, and recorded.
    """

    nodeid: str
    path: Path
    shown: str
    player: Player | None

    def missing(self) -> list[str]:
        """The messages of calls that were not on the cassette."""
        return [] if self.player is None else [str(error) for error in self.player.missing]

    def ended(self, runtime: VirtualRuntime) -> list[str]:
        """The test's body has passed: record, or check what was played; gives what is to be told."""
        if self.player is None:
            return self._record(runtime)
        if self.player.missing:
            pytest.fail("\n".join(self.missing()), pytrace=False)
        unused = self.player.unused
        if not unused:
            return []
        names = ", ".join(dict.fromkeys(f"{each.agent}: {each.name}" for each in unused))
        return [
            f"stale: {self.shown}: {len(unused)} recorded calls were not made ({names});"
            f" record it again: pytest --golem-record {self.nodeid!r}"
        ]

    def _record(self, runtime: VirtualRuntime) -> list[str]:
        runtime.restart()  # everything that was appended is in the store now
        text = record(runtime).to_text()
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if text == before:
            return [f"unchanged: {self.shown}"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, encoding="utf-8")
        if not before:
            return [f"recorded: {self.shown}: {len(text.splitlines()) - 1} calls"]
        changes = list(
            difflib.unified_diff(before.splitlines(), text.splitlines(), n=0, lineterm="")
        )[2:]
        left_out = len(changes) - _MOST_LINES
        more = [f"  … and {left_out} more lines"] if left_out > 0 else []
        return [f"changed: {self.shown}", *(f"  {line}" for line in changes[:_MOST_LINES]), *more]


def open_tape(item: pytest.Item) -> Tape:
    """The tape of a test; fails the test if there is none to play."""
    config = item.config
    path = _folder(config) / _file_name(item.nodeid)
    shown = path.relative_to(config.rootpath).as_posix()
    if config.getoption("golem_record"):
        return Tape(item.nodeid, path, shown, None)
    if not path.exists():
        pytest.fail(
            f"there is no cassette {shown}, and without one nothing is performed. Record it:"
            f" pytest --golem-record {item.nodeid!r}",
            pytrace=False,
        )
    try:
        return Tape(item.nodeid, path, shown, Player(Cassette.load(path)))
    except (OSError, ValueError) as error:
        problem = str(error)
    pytest.fail(f"the cassette {shown} cannot be played: {problem}", pytrace=False)


def orphans(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """What is to be told of cassettes whose tests are gone, in test files that were collected whole."""
    folder = _folder(config)
    if not folder.is_dir() or any("::" in argument for argument in config.args):
        return []
    wanted = {_file_name(i.nodeid) for i in items if i.get_closest_marker("cassette") is not None}
    modules = {_file_name(item.nodeid).partition(".")[0] for item in items}
    return [
        f"stale: {path.relative_to(config.rootpath).as_posix()}: it belongs to no test; delete it"
        for path in sorted(folder.glob("*.jsonl"))
        if path.name not in wanted and path.name.partition(".")[0] in modules
    ]


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getini("golem_cassettes"))


def _file_name(nodeid: str) -> str:
    """Readable, and another one for each test of a directory."""
    module, _, name = nodeid.partition("::")
    stem = f"{module.rpartition('/')[2].removesuffix('.py')}.{name.replace('::', '.')}"
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-")
    mark = "" if plain == stem and len(plain) < 100 else f"-{crc32(nodeid.encode()):08x}"
    return f"{plain[:100]}{mark}.jsonl"

"""A store that a runtime filled: agents of every kind of row, and the pages of every moment of its life."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from attrs import frozen

from golem_sdk import Runtime, agent, durable
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Engine, Space
from golem_sdk.storage.lmdb import LmdbEngine

PAGE = 4096
META_BYTES = 152
NAMES = [f"keeper-{number}" for number in range(6)]

Rows = dict[tuple[Space, bytes], bytes]


@durable
def weigh(parcel: str) -> int:
    return len(parcel)


@agent
class DamagedKeeper:
    def __init__(self, name: str) -> None:
        self.parcels: list[int] = []

    def keep(self, parcel: str) -> list[int]:
        self.parcels.append(weigh(parcel))
        return self.parcels

    def kept(self) -> list[int]:
        return self.parcels

    def rest(self) -> None:
        time.sleep(1_000_000)


@frozen
class AgentStore:
    """A store in ``path``, closed: its file, its rows, what its agents know, and older pages by number."""

    path: Path
    data: bytes
    rows: Rows
    parcels: dict[str, list[int]]
    old_pages: dict[int, list[bytes]]


def read_rows(engine: Engine) -> Rows:
    return {
        (space, key): value
        for space in Space
        if space is not Space.META
        for key, value in engine.scan(space, b"", None, limit=1_000_000)
    }


def make(path: Path, writer: type[OplogWriter] = OplogWriter) -> AgentStore:
    """Six agents with a few invocations each: one keeps long values, one is in the middle of something.

    ``writer`` appends to their oplogs.
    """
    file = path / "data.mdb"
    parcels: dict[str, list[int]] = {name: [] for name in NAMES}
    pages: dict[int, list[bytes]] = {}
    settings = Settings(writer_class=writer)
    with Runtime.over(LmdbEngine(path), RealEnvironment(), settings) as runtime:
        for turn in range(7):
            for number, name in enumerate(NAMES[: 6 - turn // 2]):
                length = 70_000 if number == 2 else turn * 50 + number
                keeper = runtime.get(DamagedKeeper, name)
                parcels[name] = runtime.trigger(
                    keeper.keep, "x" * length, key=f"{turn} {number}"
                ).result()
                note_pages(pages, file.read_bytes())
        runtime.schedule(timedelta(days=9), runtime.get(DamagedKeeper, NAMES[0]).kept, key="later")
        runtime.trigger(runtime.get(DamagedKeeper, NAMES[1]).rest, key="rest")
        runtime.get(DamagedKeeper, NAMES[5]).kept()
    engine = LmdbEngine(path)
    rows = read_rows(engine)
    engine.close()
    data = file.read_bytes()
    note_pages(pages, data)
    return AgentStore(path, data, rows, parcels, {n: old[:-1] for n, old in pages.items()})


def note_pages(pages: dict[int, list[bytes]], data: bytes) -> None:
    for at in range(0, len(data), PAGE):
        versions, page = pages.setdefault(at // PAGE, []), data[at : at + PAGE]
        if page not in versions[-1:]:
            versions.append(page)

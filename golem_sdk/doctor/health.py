"""How a store is: whose, how large, what its agents do. Cheap, and harmless to a runtime that uses it."""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.core.status import AgentStatus
from golem_sdk.doctor.libraries import Library, libraries  # attrs classes are resolved at run time
from golem_sdk.errors import GolemError, StoreCorruptError
from golem_sdk.storage.base import Space
from golem_sdk.storage.directory import require_store
from golem_sdk.storage.format import FORMAT
from golem_sdk.storage.owner import owner_of
from golem_sdk.storage.pins import pinned, reader_pids, structure_problem
from golem_sdk.storage.salvage import Gap, open_salvage
from golem_sdk.stores.heads import AgentHead, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from golem_sdk.storage.base import Row
    from golem_sdk.storage.salvage import Salvage

__all__ = ["Health", "look_after", "opened"]

_LITTLE_ROOM = 64 << 20


@frozen
class Health:
    """How a store is.

    Attributes:
        versions: of golem_sdk, Python, LMDB's binding and the format of stores that it writes.
        libraries: those that are intercepted, installed or not.
        size_bytes: of the data file.
        free_bytes: room on its disk.
        owner: who has it open, as far as known; ``None``: nobody.
        readers: process ids of those who are reading it.
        dead_readers: of those who died while they did.
        agents: how many agents are in each status.
        waiting: how many invocations are accepted and not finished.
        scheduled: how many are to come.
        parked: the heads of agents that failed.
        warnings: what should be looked after.
    """

    versions: dict[str, str]
    libraries: tuple[Library, ...]
    size_bytes: int
    free_bytes: int
    owner: dict[str, object] | None
    readers: tuple[int, ...]
    dead_readers: tuple[int, ...]
    agents: dict[str, int]
    waiting: int
    scheduled: int
    parked: tuple[AgentHead, ...]
    warnings: tuple[str, ...]


@contextmanager
def opened(path: Path, *, thoroughly: bool = False) -> Iterator[Salvage]:
    """The store in directory ``path``, to be read without LMDB; a runtime may go on writing to it.

    ``thoroughly``: have its page structure checked, too, if no runtime does.

    Raises:
        StoreError: there is no store, or nothing can be found in it.
    """
    require_store(path)
    pin = None if owner_of(path) is None else partial(pinned, path)
    with open_salvage(path, pin) as store:
        if thoroughly and pin is None:
            store.structure = structure_problem(path)
        yield store


def look_after(path: Path) -> Health:
    """How the store in directory ``path`` is.

    Raises:
        StoreError: there is no store, or nothing can be found in it.
    """
    require_store(path)
    warnings: list[str] = []
    with opened(path) as store:
        warnings += store.problems
        heads = [head for head in _heads(store, warnings) if head.record.last]  # that have begun
        waiting = sum(1 for _ in _rows(store, Space.INBOX, warnings))
        scheduled = sum(1 for _ in _rows(store, Space.SCHEDULED, warnings))
    readers: list[int] = []
    with suppress(GolemError):
        readers = reader_pids(path)
    dead = tuple(pid for pid in readers if not _is_alive(pid))
    free = shutil.disk_usage(path).free
    if dead:
        warnings.append(
            f"{len(dead)} readers died; the next runtime that opens the store forgets them"
        )
    if free < _LITTLE_ROOM:
        warnings.append(f"only {free} bytes are free on its disk")
    return Health(
        _versions(),
        libraries(),
        (path / "data.mdb").stat().st_size,
        free,
        owner_of(path),
        tuple(pid for pid in readers if pid not in dead),
        dead,
        dict(Counter(head.record.status.value for head in heads)),
        waiting,
        scheduled,
        tuple(head for head in heads if head.record.status is AgentStatus.FAILED),
        tuple(dict.fromkeys(warnings)),
    )


def _rows(store: Salvage, space: Space, warnings: list[str]) -> Iterator[Row]:
    for row in store.rows(space):
        if isinstance(row, Gap):
            warnings.append(f"{space.name} is damaged: {row.why}")
        else:
            yield row


def _heads(store: Salvage, warnings: list[str]) -> Iterator[AgentHead]:
    for key, value in _rows(store, Space.HEAD, warnings):
        try:
            yield read_head(key, value)
        except StoreCorruptError as error:
            warnings.append(str(error))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "store format": str(FORMAT)}
    for package in ("golem_sdk", "lmdb"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

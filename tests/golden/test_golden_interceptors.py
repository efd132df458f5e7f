"""S2: what interceptors of earlier releases recorded is replayed by today's, with nothing of the outside."""

from __future__ import annotations

import json
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from golden.interceptors import BODIES, OLDER
from golden.record import kind_of, stored
from golem_sdk import Runtime
from golem_sdk.core.entries import Create, ImportedFunctionInvoked
from golem_sdk.errors import AgentFailedError
from golem_sdk.intercept import threads
from golem_sdk.intercept.table import TABLE, versions
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.lmdb import LmdbEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASES = sorted(path.parent for path in Path(__file__).parent.glob("*/interceptors.json"))
HISTORIES = [
    pytest.param(release, body, id=f"{release.name}-{body}")
    for release in RELEASES
    for body in json.loads((release / "interceptors.json").read_text())["bodies"]
]


class Nobody:
    """Performs no durable call."""

    def perform(self, session: Any, call: Any, scope: Any, action: Any) -> Any:
        raise AssertionError(f"replay performs {call.function_name}")

    def perform_async(self, session: Any, call: Any, scope: Any, action: Any) -> Any:
        async def performing() -> None:
            self.perform(session, call, scope, action)

        return performing


def content(release: Path) -> Any:
    return json.loads((release / "interceptors.json").read_text())


@contextmanager
def opened(release: Path, directory: Path) -> Iterator[Runtime]:
    """A runtime on a copy of the store."""
    store = directory / "store"
    store.mkdir(0o700)
    with tarfile.open(release / "interceptors.tar.xz") as archive:
        (store / "data.mdb").write_bytes(archive.extractfile("data.mdb").read())  # type: ignore[union-attr]  # a file
    settings = Settings(performer=Nobody())
    with Runtime.over(LmdbEngine(store), RealEnvironment(), settings) as runtime:
        yield runtime


@pytest.mark.parametrize(("release", "body"), HISTORIES)
def test_s2_old_histories_of_interceptors_are_replayed(
    release: Path, body: str, tmp_path: Path
) -> None:
    told = content(release)
    with opened(release, tmp_path) as runtime:
        handle = runtime.get(kind_of(body), body, told["places"])
        recalled = runtime.trigger(handle.recall).result(60)
        entries = [entry for _, entry in runtime.oplog(handle)]
    assert stored(recalled) == told["bodies"][body]["result"]
    calls = [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]
    assert calls == told["bodies"][body]["calls"]
    created = next(entry for entry in entries if isinstance(entry, Create))
    for name, version in told["bodies"][body]["older"].items():
        assert created.interceptors[name] == version < versions()[name]


def test_an_older_behaviour_that_is_lost_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that was as large as its machine made it was not recorded, and must not be asked for."""
    monkeypatch.setattr(threads, "_SIZED", 2)
    release = RELEASES[-1]
    with opened(release, tmp_path) as runtime:
        handle = runtime.get(kind_of("many_jobs"), "many_jobs", content(release)["places"])
        with pytest.raises(AgentFailedError, match="ThreadPoolExecutor"):
            runtime.trigger(handle.recall).result(60)


def test_the_histories_of_this_release_are_complete() -> None:
    """If it fails: record them with ``python -m golden.record``."""
    newest = content(RELEASES[-1])
    assert newest["bodies"].keys() == BODIES.keys()
    behaves_otherwise = {row.name for row in TABLE if row.version > 1}
    assert behaves_otherwise == {name for older in OLDER.values() for name in older}

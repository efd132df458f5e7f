"""A committer over an engine whose commits a test holds up, or other engines; and every kind of engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from golem_sdk.storage.committer import Committer
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from storage.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from golem_sdk.storage.base import Engine


@pytest.fixture
def engine() -> Gate:
    return Gate()


@pytest.fixture
def committer(engine: Gate) -> Iterator[Committer]:
    made = Committer(engine)
    yield made
    engine.open.set()
    made.close()


@pytest.fixture(params=["memory", "lmdb"])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """One of each kind."""
    made: Engine = (
        MemoryEngine()
        if request.param == "memory"
        else LmdbEngine(tmp_path / "store", map_size=1 << 20)
    )
    yield made
    made.close()

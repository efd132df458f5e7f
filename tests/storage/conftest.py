"""A committer over an engine whose commits a test holds up; other engines take the place of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from golem_sdk.storage.committer import Committer
from storage.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def engine() -> Gate:
    return Gate()


@pytest.fixture
def committer(engine: Gate) -> Iterator[Committer]:
    made = Committer(engine)
    yield made
    engine.open.set()
    made.close()

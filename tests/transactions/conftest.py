"""Banks in every database, and the server for those in PostgreSQL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from transactions.banks import BANK, BANKS, Bank
from transactions.postgres import server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    # Not pytest's own: a socket's path must be short, and others than its owner must get there.
    with tempfile.TemporaryDirectory(prefix="pg") as directory, server(Path(directory)) as where:
        yield where


@pytest.fixture(params=BANKS, ids=lambda bank: bank.name)
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Bank:
    chosen: Bank = request.param
    where = request.getfixturevalue("postgres") if chosen.is_postgres else str(tmp_path / "bank.db")
    BANK.open(chosen, where)
    return chosen


@pytest.fixture
def sqlite(tmp_path: Path) -> Bank:
    BANK.open(BANKS[0], str(tmp_path / "bank.db"))
    return BANKS[0]

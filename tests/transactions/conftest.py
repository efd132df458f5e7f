"""The databases on which every promise about transactions is tested."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from transactions.cluster import NoPostgresError, running
from transactions.databases import KINDS, Database, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of this process's own server. Without one the test is skipped; CI fails."""
    with ExitStack() as server:
        try:
            conninfo = server.enter_context(running())
        except NoPostgresError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield conninfo


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Accounts a (1000 cents) and b (0 cents), behind one kind of connection."""
    conninfo = request.getfixturevalue("postgres") if "sqlite" not in request.param else ""
    with open_database(request.param, tmp_path / "bank.db", conninfo) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a SQLite database of payments, with none in it."""
    found = tmp_path / "bank.db"
    with closing(sqlite3.connect(found)) as connection:
        connection.execute("CREATE TABLE paid (cents INTEGER)")
    return found

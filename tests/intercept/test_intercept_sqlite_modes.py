"""``autocommit`` of sqlite3's connections, in which a transaction is always open, or never."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import Any

import pytest

from golem_sdk.testing.crash import CrashMoment, CrashPoint
from intercept.suite.case import Case
from intercept.suite.cases_sqlite import DatabaseFile, no_such_table
from intercept.suite.stage import bare, crash, live_and_replayed, run_bare

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="since Python 3.12")

sqlite: Any = sqlite3


def always_open(file: DatabaseFile) -> list[bool]:
    with closing(sqlite.connect(file.path, autocommit=False)) as connection:
        found = [connection.in_transaction, connection.autocommit]
        connection.execute("INSERT INTO log VALUES ('a')")
        connection.commit()
        found.append(connection.in_transaction)
        connection.execute("INSERT INTO log VALUES ('b')")
        connection.commit()
        return found


def changing(file: DatabaseFile) -> list[Any]:
    with closing(sqlite.connect(file.path)) as connection:
        found = [connection.autocommit == sqlite.LEGACY_TRANSACTION_CONTROL]
        for mode in (False, True, False):
            connection.autocommit = mode
            connection.execute("INSERT INTO log VALUES (?)", (str(mode),))
            found += [connection.autocommit, connection.in_transaction]
        connection.rollback()
        with pytest.raises(ValueError, match="autocommit"):
            connection.autocommit = 7
        return found


CASES = [
    Case(f"sqlite3-{body.__name__}", "sqlite3", body, no_such_table, DatabaseFile)
    for body in (always_open, changing)
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_live_and_replay_equal_the_original(case: Case) -> None:
    run_bare([case])
    life = live_and_replayed(case, "body")
    assert life.live == bare(case, "body")
    assert life.replayed == life.live.outcome


def test_what_was_committed_before_is_not_made_again() -> None:
    end, calm = crash(CASES[0], "body")
    for append in range(1, end.appends + 1):
        for moment in CrashMoment:
            _, ended = crash(CASES[0], "body", [CrashPoint(append, moment)])
            assert ended.outcome == calm.outcome
            assert ended.writes in (["a", "b"], ["a", "a", "b"], ["a", "b", "b"]), append

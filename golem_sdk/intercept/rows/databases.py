"""Databases and brokers."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["DATABASES"]

_STATEMENTS = (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE)
_TRANSACTIONS = (
    "every statement is one call; a transaction that was open in a crash is made again, and a COMMIT that was"
    " under way may be made twice: use `golem_sdk.transactions` for what must happen exactly once. Parameters"
    " and rows are in the oplog (long parameters as a hash)"
)

DATABASES = (
    Interceptor(
        name="sqlite3",
        adapters={"sqlite3": "golem_sdk.intercept.sqlite:sqlite_patches"},
        replaces=(
            Replaced("sqlite3", "connect", _STATEMENTS),
            Replaced("sqlite3.dbapi2", "connect", _STATEMENTS),
        ),
        limits=f"{_TRANSACTIONS}. Databases in memory or in `golem_sdk.workspace()` are not recorded but "
        "made again by replay, where `CURRENT_TIMESTAMP` and `random()` of SQL are others. Not connections "
        "opened outside agents or by `sqlite3.Connection(...)`, temporary tables after a crash; `backup`, "
        "`blobopen` and `serialize` are refused",
    ),
    Interceptor(
        name="psycopg",
        library="psycopg",
        tested=("3.2", "3.3"),
        adapters={"psycopg": "golem_sdk.intercept.psycopg:psycopg_patches"},
        replaces=(
            Replaced("psycopg", "connect", _STATEMENTS),
            Replaced("psycopg.Connection", "connect", _STATEMENTS),
            Replaced("psycopg.AsyncConnection", "connect", _STATEMENTS),
        ),
        limits="every statement is one call with all its rows; a transaction that was open in a crash is "
        "made again, and whether a COMMIT was made is asked of the server (not of one that is executed as a "
        "statement, nor after a second crash in the same: use `golem_sdk.transactions`). Parameters are in "
        "the oplog. Not connections and pools opened outside agents; `copy`, `stream`, `pipeline`, "
        "`notifies`, `tpc_*` and server-side cursors are refused",
    ),
)

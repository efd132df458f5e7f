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
        adapters={
            "sqlite3": "golem_sdk.intercept.sqlite:sqlite_patches",
            "sqlite3.dbapi2": "golem_sdk.intercept.sqlite:sqlite_patches",
        },
        replaces=(
            Replaced("sqlite3", "connect", _STATEMENTS),
            Replaced("sqlite3.dbapi2", "connect", _STATEMENTS),
        ),
        limits=f"{_TRANSACTIONS}. Databases in memory are not recorded but made again by replay. Not "
        "connections opened outside agents or by `sqlite3.Connection(...)`, temporary tables after a crash; "
        "`backup`, `blobopen` and `serialize` are refused",
    ),
)

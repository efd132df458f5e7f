"""What only LMDB knows of a store that it need not open: its readers, its page structure; and pinning it.

Only meta pages and the table of readers are looked at through LMDB itself, so a damaged file does no harm.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import lmdb
from lmdb import verify as lmdb_verify

from golem_sdk.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["pinned", "reader_pids", "structure_problem"]


@contextmanager
def pinned(path: Path) -> Iterator[int]:
    """Keep the pages of the present state of store ``path`` from being overwritten in this block.

    Gives the number of the last transaction. Not for long: meanwhile the file grows with every commit.
    """
    with _environment(path) as env, env.begin() as txn:
        yield txn.id()


def reader_pids(path: Path) -> list[int]:
    """The processes that are reading, or died while they were; once for each of their threads."""
    with _environment(path) as env:
        lines = env.readers().splitlines()[1:]
    return [int(line.split()[0]) for line in lines]


def structure_problem(path: Path) -> str:
    """What is wrong with the page structure of a store to which nobody writes, free pages included."""
    verify: Callable[[str], list[str]] = lmdb_verify.verify
    try:
        problems = verify(str(path))
    except lmdb_verify.VerifyError as error:
        return str(error)
    return problems[0] if problems else ""


@contextmanager
def _environment(path: Path) -> Iterator[lmdb.Environment]:
    try:
        env = lmdb.open(str(path), readonly=True, create=False, lib_version=0)
    except lmdb.Error as error:
        raise StoreError(f"store {path} cannot be looked at: {error}") from error
    try:
        yield env
    finally:
        env.close()

"""What a commit does inside one write transaction of an ordered map, whose name is not LMDB here."""

from __future__ import annotations

from collections.abc import Sequence  # attrs classes are resolved at run time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import define, field

from golem_sdk.errors import StoreCorruptError, StoreFencedError
from golem_sdk.storage.base import Space
from golem_sdk.storage.records import seal
from golem_sdk.storage.tally import TALLY_KEY, Tally, checksum_of

if TYPE_CHECKING:
    from golem_sdk.storage.base import Batch

__all__ = ["Ledger", "apply_batches", "check_tally", "count_records"]

_REWRITTEN: Final = frozenset({Space.HEAD, Space.INBOX, Space.SCHEDULED})
_REMEMBERED: Final = 1_024
"""So many records' checksums are kept, about 256 KiB: those of agents that are at work."""

Place = tuple[Space, bytes]
Database = Any
"""Whatever names a space to a transaction."""


class Reading(Protocol):
    """What is needed of a transaction that reads, in copies or in views."""

    def id(self) -> int:
        """The number of the last transaction that wrote."""
        ...

    def get(self, key: bytes, /) -> bytes | memoryview | None:
        """The value under ``key`` in the map that also lists the spaces."""
        ...

    def cursor(self, db: Database, /) -> Any:
        """A cursor over a space."""
        ...


class Transaction(Reading, Protocol):
    """What is needed of a write transaction; its number is its own."""

    def put(
        self, key: bytes, value: bytes, /, *, overwrite: bool = True, db: Database = None
    ) -> bool:
        """Store it, without ``db`` in the map that also lists the spaces; whether it was stored."""
        ...

    def replace(self, key: bytes, value: bytes, /, db: Database) -> bytes | None:
        """Store it; what was there before."""
        ...

    def pop(self, key: bytes, /, db: Database) -> bytes | None:
        """Remove it; what was there."""
        ...

    def delete(self, key: bytes, /, *, db: Database) -> bool:
        """Remove it; whether it was there."""
        ...


@define
class Ledger:
    """What an engine knows of its own records without reading them back: only it writes to its store.

    Each of LMDB's calls lets other threads take the interpreter's lock, and to get it back takes longer than
    the call: what a commit need not ask makes all who wait for it faster.

    Attributes:
        transaction: the last one that it has made, -1 while that is not known.
        newest: the last one of which it knows; if another one has written since, that is the owner now.
        number: of the one that is being made.
        tally: the store's, after that.
        checksums: of the records that are written more than once, the newest last.
    """

    transaction: int = -1
    newest: int = -1
    number: int = -1
    tally: Tally = field(factory=Tally)
    checksums: dict[Place, int] = field(factory=dict)

    def enter(self, txn: Transaction) -> None:
        """Begin a write transaction: learn the tally, if need be.

        Raises:
            StoreFencedError: somebody else has written to the store.
            StoreCorruptError: the store's tally is not that of the last transaction.
        """
        self.number = txn.id()
        last = self.number - 1
        if self.newest not in (-1, last):
            raise StoreFencedError(
                "another process has written to the store since this one did, and owns it now: nothing was"
                " written. Close this runtime, and see that nobody removes the owner.lock of a store in use"
            )
        self.newest = last
        if self.transaction != last:
            self.checksums.clear()
            self.tally = load_tally(txn, last)
        self.transaction = -1  # until it is known how this one ends

    def leave(self, txn: Transaction) -> None:
        """All changes of the transaction are made: write its tally."""
        self.tally.transaction = self.number
        txn.put(TALLY_KEY, self.tally.to_record())
        if len(self.checksums) > _REMEMBERED:
            for place in list(islice(self.checksums, len(self.checksums) - _REMEMBERED)):
                del self.checksums[place]

    def committed(self) -> None:
        """The transaction is durable."""
        self.transaction = self.newest = self.tally.transaction

    def claim(
        self,
        txn: Transaction,
        database: Database,
        space: Space,
        key: bytes,
        value: bytes,
        log: bytes,
    ) -> bool:
        """Store a record unless there is one, or a later one of its log; whether it was stored."""
        if log:
            cursor = txn.cursor(database)
            if cursor.set_range(key) and cursor.key().startswith(log):
                return False
        record = seal(space, key, value)
        happens = txn.put(key, record, overwrite=False, db=database)
        if happens:
            self.tally.add(space, checksum_of(record))
        return happens

    def put(
        self, txn: Transaction, database: Database, space: Space, key: bytes, value: bytes
    ) -> None:
        """Store a record, whether or not there is one."""
        place, record = (space, key), seal(space, key, value)
        known = self.checksums.pop(place, None)
        if known is not None:
            txn.put(key, record, overwrite=True, db=database)
        elif not txn.put(key, record, overwrite=False, db=database):
            known = checksum_of(txn.replace(key, record, database) or b"")
        if known is not None:
            self.tally.remove(space, known)
        checksum = checksum_of(record)
        self.tally.add(space, checksum)
        if space in _REWRITTEN:
            self.checksums[place] = checksum

    def delete(self, txn: Transaction, database: Database, space: Space, key: bytes) -> None:
        """Remove a record, if there is one."""
        known = self.checksums.pop((space, key), None)
        if known is not None:
            txn.delete(key, db=database)
        elif (record := txn.pop(key, database)) is not None:
            known = checksum_of(record)
        if known is not None:
            self.tally.remove(space, known)


@define
class _Changes:
    """What one transaction does beside claims, each place once, with what comes last.

    Not only because that is less: over a record of several pages that the same transaction has written, LMDB
    would put a small one into these pages and count them wrong, which checking the structure calls damage.
    """

    txn: Transaction
    databases: Sequence[Database]
    ledger: Ledger
    values: dict[Place, bytes | None] = field(factory=dict)
    written: set[Place] = field(factory=set)

    def claim(self, space: Space, key: bytes, value: bytes, log: bytes) -> bool:
        if (space, key) in self.values:
            self.write()
        database = self.databases[space]
        happens = self.ledger.claim(self.txn, database, space, key, value, log)
        if happens:
            self.written.add((space, key))
        return happens

    def write(self) -> None:
        for (space, key), value in self.values.items():
            database = self.databases[space]
            if value is None or (space, key) in self.written:
                self.ledger.delete(self.txn, database, space, key)
            if value is not None:
                self.ledger.put(self.txn, database, space, key, value)
        self.written.update(self.values)
        self.values.clear()


def apply_batches(
    txn: Transaction, databases: Sequence[Database], batches: Sequence[Batch], ledger: Ledger
) -> list[bool]:
    """Do what ``batches`` say, in order; for each whether it happened.

    Raises:
        StoreFencedError: somebody else has written to the store.
        StoreCorruptError: the store's tally is not that of the last transaction.
    """
    ledger.enter(txn)
    changes = _Changes(txn, databases, ledger)
    lost_chains: set[int] = set()
    won, changed = [], False
    for batch in batches:
        happens = not (batch.chain and batch.chain in lost_chains)
        if happens and batch.claim is not None:
            happens = changes.claim(*batch.claim, batch.log)
        won.append(happens)
        if not happens:
            lost_chains.add(batch.chain)
            continue
        changed = changed or bool(batch.claim or batch.puts or batch.dels)
        for space, key, value in batch.puts:
            changes.values[space, key] = value
        for place in batch.dels:
            changes.values[place] = None
    if changed:
        changes.write()
        ledger.leave(txn)
    return won


def load_tally(txn: Reading, transaction: int) -> Tally:
    """The store's tally, after ``transaction``.

    Raises:
        StoreCorruptError: it is missing, or of another transaction.
    """
    record = txn.get(TALLY_KEY)
    if record is None:
        raise StoreCorruptError("the store has no tally", Space.META.name, TALLY_KEY)
    tally = Tally.from_record(bytes(record))
    if tally.transaction != transaction:
        raise StoreCorruptError(
            f"transaction {transaction} of the store finds records of transaction"
            f" {tally.transaction}: its disk has lost a write. Nothing was changed. Restore the store from"
            " a backup, or run `golem doctor --repair`",
            Space.META.name,
            TALLY_KEY,
        )
    return tally


def count_records(txn: Reading, databases: Sequence[Database]) -> Tally:
    """A tally of what is really there."""
    tally = Tally(txn.id())
    for space in Space:
        if space is not Space.META:
            cursor = txn.cursor(databases[space])
            tally.add_all(space, cursor.iternext(keys=False, values=True))
    return tally


def check_tally(txn: Reading, databases: Sequence[Database], *, recount: bool) -> None:
    """Check that what a read transaction sees is of its own time, each page of it with ``recount``.

    Raises:
        StoreCorruptError: it is not.
    """
    kept = load_tally(txn, txn.id())
    if not recount:
        return
    found = count_records(txn, databases)
    for space in Space:
        if not found.agrees(kept, space):
            raise StoreCorruptError(
                f"{space.name} holds {found.count(space)} records that do not add up to the"
                f" {kept.count(space)} that were written: some are lost, or came back from an earlier time."
                " Nothing was changed. Restore the store from a backup, or run `golem doctor --repair`",
                space.name,
            )

"""Money moved between accounts in a database, exactly once.

python examples/ledger_transfer.py    # kill it and run it again, as often as you like

Each transfer is one transaction on the bank's own tables. Golem's note of its outcome rides in that
transaction: after a crash the agent asks the database whether it was committed, and never moves money twice.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from golem_sdk import Runtime, agent
from golem_sdk.transactions import transaction

BANK = os.environ.get("GOLEM_STORE", ".golem") + "-bank.db"


class OverdrawnError(Exception):
    """There is not enough on the account."""


def connect() -> sqlite3.Connection:
    return sqlite3.connect(BANK)


@transaction(connect)
def transfer(tx: sqlite3.Connection, cents: int, source: str, target: str) -> int:
    """Move money; gives what is left. Whatever is raised undoes everything."""
    (balance,) = tx.execute("SELECT cents FROM account WHERE name = ?", (source,)).fetchone()
    if balance < cents:
        raise OverdrawnError(f"{source} has {balance} cents")
    tx.execute("UPDATE account SET cents = cents - ? WHERE name = ?", (cents, source))
    time.sleep(0.03)
    tx.execute("UPDATE account SET cents = cents + ? WHERE name = ?", (cents, target))
    tx.execute(
        "INSERT INTO entry (source, target, cents) VALUES (?, ?, ?)", (source, target, cents)
    )
    return int(balance) - cents


@agent
def pay_salaries(month: str) -> list[str]:
    """Pay everybody, as long as the money lasts."""
    lines = []
    for name, cents in [("ada", 3000), ("bob", 2500), ("cem", 2800), ("dora", 9000), ("eve", 1000)]:
        try:
            lines.append(f"{name} gets {cents}, {transfer(cents, 'company', name)} are left")
        except OverdrawnError as error:
            lines.append(f"{name} gets nothing: {error}")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    with closing(connect()) as bank, bank:
        bank.execute("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER)")
        bank.execute("CREATE TABLE IF NOT EXISTS entry (source TEXT, target TEXT, cents INTEGER)")
        for name, cents in [
            ("company", 10_000),
            *((n, 0) for n in ("ada", "bob", "cem", "dora", "eve")),
        ]:
            bank.execute("INSERT OR IGNORE INTO account VALUES (?, ?)", (name, cents))
    with Runtime() as runtime:
        lines = runtime.run(pay_salaries, "2026-11")
    with closing(connect()) as bank:
        (total,) = bank.execute("SELECT sum(cents) FROM account").fetchone()
        (entries,) = bank.execute("SELECT count(*) FROM entry").fetchone()
    print(f"{len(lines)} asked, {entries} paid, {total} cents in the bank")


if __name__ == "__main__":
    main()

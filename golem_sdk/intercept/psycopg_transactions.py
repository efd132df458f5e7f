"""Transaction blocks of psycopg inside agents, and how the server is asked what became of one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from golem_sdk.errors import AgentControlSignal
from golem_sdk.steps import Steps, run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Block", "fate_of", "number_of"]

_IDLE = 0
_ASKED = 100  # times, 50 ms apart


def number_of(real: Any) -> Steps[int | None]:
    """The server's number for the open transaction; ``None`` if it has written nothing."""
    cursor = real.cursor(row_factory=sys.modules["psycopg"].rows.tuple_row)
    yield cursor.execute("SELECT txid_current_if_assigned()")
    (number,) = yield cursor.fetchone()
    return None if number is None else int(number)


def fate_of(probe: Any, number: int, error: Callable[[str], Exception]) -> Steps[bool]:
    """Whether the transaction with this number was committed; ``probe`` is closed.

    Raises:
        Exception: the server does not know any more.
    """
    try:
        for _ in range(_ASKED):
            cursor = probe.cursor(row_factory=sys.modules["psycopg"].rows.tuple_row)
            yield cursor.execute("SELECT txid_status(%s)", [number])
            (fate,) = yield cursor.fetchone()
            if fate != "in progress":
                break
            yield cursor.execute("SELECT pg_sleep(0.05)")  # it has not noticed yet that we died
    finally:
        yield probe.close()
    if fate not in ("committed", "aborted"):
        raise error(
            f"transaction {number} was to be committed in a crash, and the server cannot tell whether it was"
            f" ({fate or 'forgotten'})"
        )
    return bool(fate == "committed")


class Block:
    """``with connection.transaction()``: a transaction, or a savepoint in one."""

    def __init__(self, connection: Any, savepoint_name: str | None, force_rollback: bool) -> None:
        self._connection = connection
        self.savepoint_name = savepoint_name
        self.force_rollback = force_rollback
        self._outer = False

    @property
    def connection(self) -> Any:
        """The connection it is for."""
        return self._connection

    def _statement(self, text: str) -> Steps[None]:
        yield from self._connection.cursor().executed("execute", text, None, {})

    def _entered(self) -> Steps[Block]:
        connection = self._connection
        self._outer = connection.status == _IDLE
        if self._outer:
            yield from self._statement("BEGIN")
        if not self._outer or self.savepoint_name:
            self.savepoint_name = self.savepoint_name or f"_golem_{len(connection.blocks) + 1}"
            yield from self._statement(f"SAVEPOINT {self._quoted()}")
        connection.blocks.append(self)
        return self

    def _left(self, error: BaseException | None) -> Steps[bool]:
        connection = self._connection
        connection.blocks.remove(self)
        if isinstance(error, AgentControlSignal):
            connection._link.drop()
            return False
        undone = error is not None or self.force_rollback
        if self._outer:
            yield from connection.ended("rollback" if undone else "commit")
        else:
            if undone:
                yield from self._statement(f"ROLLBACK TO {self._quoted()}")
            yield from self._statement(f"RELEASE {self._quoted()}")
        rollback = sys.modules["psycopg"].Rollback
        return isinstance(error, rollback) and error.transaction in (None, self)

    def _quoted(self) -> str:
        return '"' + str(self.savepoint_name).replace('"', '""') + '"'

    def __enter__(self) -> Block:
        return run(self._entered())

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        return run(self._left(error))

    async def __aenter__(self) -> Block:
        return await run_async(self._entered())

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        return await run_async(self._left(error))

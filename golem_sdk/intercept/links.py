"""The real connection behind a recorded one: opened when something is to be done live, and not before.

A crash takes the connection with it, and rolls back the transaction that was open. Replay gives the agent
the recorded results of its statements; the first statement after it opens the connection again, applies its
settings, and *makes the open transaction again*, from the statements that agent code has repeated meanwhile:
else what comes now would be committed without what came before. If a statement gives another result
than the one that is recorded, the agent has seen what is not true any more: that is an error of the
database, with which the transaction is over.

Does not cover: whether a transaction was committed whose COMMIT was under way in the crash (the rerun may
commit it a second time: `golem_sdk.transactions` does not), and what else belonged to the connection:
temporary tables, server-side cursors, locks.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Hashable  # attrs classes are resolved at run time
from typing import Any

from attrs import define, field, frozen

from golem_sdk import durability, originals
from golem_sdk.errors import NotDurableError
from golem_sdk.steps import Steps  # as above

__all__ = ["Link", "Made", "MadeBeforeError", "Visits", "strange"]

_log = logging.getLogger("golem_sdk")


class MadeBeforeError(Exception):
    """The open transaction cannot be made again, because it was committed in the crash."""


@frozen(eq=False)
class Made:
    """A statement of the open transaction.

    Attributes:
        again: makes it on a connection, and gives what can be compared.
        found: what it gave; called when it is made again, because agent code may not have looked at all.
        statement: for the message.
    """

    again: Callable[[Any], Steps[Any]]
    found: Callable[[Any], bool]
    statement: str


class Visits:
    """What bodies of durable functions do with a connection of their agent: replay does not run them.

    So agent code knows the connection, after a body, as it was before: what a body begins, it ends. Of
    several at once, the last one does: they share what is open.

    Args:
        connection: it, with its ``_link``, and its ``_state``: first of all whether a transaction is open.
        reads_open: whether a read opens one, too: then nothing is lost with one that has only read.
    """

    def __init__(self, connection: Any, *, reads_open: bool = False) -> None:
        self._connection = weakref.ref(connection)
        self._reads_open = reads_open
        self._mutex: Any = originals.allocate_lock()
        self._guests = 0
        self._known: list[Any] = []
        self._changes = False
        self._is_closed = self._is_closed_by_bodies = False

    def begin(self, *, changes: bool) -> None:
        """A body does something with the connection.

        Raises:
            NotDurableError: it ``changes`` a transaction of agent code, which replay would not know; or it is
                no body, but a thread that one has started.
        """
        if durability.is_stranger():
            raise strange("A connection")
        connection: Any = self._connection()
        body, state = durability.running_body(), connection._state
        with self._mutex:
            if body is not None and self not in body.visited:
                body.visit(self)
                if not self._guests:
                    self._known = state
                self._guests += 1
            known = self._known if self._guests else state
            self._changes = changes or (self._changes and state[0])
        if changes and known[0]:
            raise NotDurableError(
                "A function decorated with @durable writes in a transaction that the agent's code has begun:"
                " replay, and a transaction that is made again after a crash, would lack it. Nothing was"
                " done. Commit before, write in the agent's code, or give the function its own connection"
            )

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed; for agent code, whether agent code has closed it."""
        is_for_bodies = self._is_closed_by_bodies and durability.running_body() is not None
        return self._is_closed or is_for_bodies

    def close(self) -> bool:
        """The connection is closed, by a body only until the last one is over, and for bodies only.

        Returns:
            ``False``: by a thread that a body has started, or a garbage collection: for nobody.

        Raises:
            NotDurableError: a transaction of agent code would be lost, which replay would not know.
        """
        if durability.is_stranger():
            return False
        if durability.running_body() is None:
            self._is_closed = True
            return True
        self.begin(changes=False)
        if self._known[0]:
            raise NotDurableError(
                "A function decorated with @durable closes a connection on which the agent's code has"
                " begun a transaction. Nothing was done. Close it there, or commit there before"
            )
        self._is_closed_by_bodies = True
        return True

    def body_over(self, error: BaseException | None) -> Exception | None:
        """See `golem_sdk.runtime.context.Visited`: a transaction that is left open is rolled back.

        That is wrong if it has changed something, unless the body has failed anyhow: then its error says so.
        """
        with self._mutex:
            self._guests -= 1
            connection, known = self._connection(), self._known
            if self._guests or connection is None:
                return None
            is_left_open = connection._state[0] and not known[0]
            is_lost = is_left_open and (self._changes or not self._reads_open)
            connection._state = known
            self._is_closed_by_bodies = False
        if is_left_open:
            connection._link.made.clear()
            connection._link.drop()
        if not is_lost:
            return None
        if error is not None:
            error.add_note("The transaction that it left open was rolled back.")
            return None
        return NotDurableError(
            "A function decorated with @durable has left a transaction open on a connection of its agent:"
            " replay, which does not run it, would not know. It was rolled back. Commit in the function"
            " (with connection: ...), or give it a connection of its own"
        )


def strange(what: str) -> NotDurableError:
    """The error of what an agent has opened, and neither its code nor a body of a durable function uses."""
    return NotDurableError(
        f"{what} of an agent is used by what is neither its code nor a function decorated with @durable, but"
        " a thread that such a function has started, or the program around: replay would not know. Nothing"
        " was done. Use it in the function itself (asyncio.to_thread takes the function along), or open"
        " another one there"
    )


@define(eq=False)
class Link:
    """The real connection, if it is open, and what is needed to open it again.

    Attributes:
        open: opens it.
        lost: makes the driver's error for a transaction that cannot be made again.
        close: closes it, at once and from any thread.
        turn: a lock of the driver's kind, blocking or asynchronous: of several at once, one opens it.
        real: the driver's connection; ``None`` until something is performed.
        is_sign: whether an error of a statement that worked before says that the database is another one.
        settings: what is to be set on it, by what it is.
        made: the open transaction's statements.
    """

    open: Callable[[], Any]
    lost: Callable[[str], Exception]
    close: Callable[[Any], None]
    turn: Any = field(factory=originals.allocate_lock)
    real: Any = None
    is_sign: Callable[[Exception], bool] = lambda error: False
    settings: dict[Hashable, Callable[[Any], Any]] = field(factory=dict)
    made: list[Made] = field(factory=list)
    _mutex: Any = field(init=False, factory=originals.allocate_lock)
    _users: int = field(init=False, default=0)
    _is_dropped: bool = field(init=False, default=False)

    def connected(self, *, compares: bool = True, doubts: bool = False) -> Steps[Any]:
        """The real connection, with the open transaction in it.

        ``compares``: whether a statement that is made again must give what it gave. Not before a COMMIT that
        may have been made (``doubts``): what that has changed is no reason to fail.

        Raises:
            MadeBeforeError: it was made.
            Exception: what the driver raises, or ``lost``.
        """
        if self.real is not None:
            return self.real
        yield self.turn.acquire()
        try:
            if self.real is None:
                self.real = yield from self._opened(compares, doubts)
            return self.real
        finally:
            self.turn.release()

    def _opened(self, compares: bool, doubts: bool) -> Steps[Any]:
        real = yield self.open()
        try:
            for setting in self.settings.values():
                yield setting(real)
            yield from self._make_again(real, compares, doubts)
        except BaseException:
            self.close(real)
            raise
        return real

    def drop(self) -> None:
        """Let go of the real connection: this life of the agent is over, or it is closed. From any thread."""
        with self._mutex:
            self._is_dropped = self._users > 0
            if self._is_dropped:  # a thread of the agent is at it, and lets go when it is done
                return
            real, self.real = self.real, None
        if real is not None:
            self.close(real)

    def used(self, perform: Callable[[], Any]) -> Any:
        """Let a blocking driver do something with the real connection, which is not closed meanwhile."""
        with self._mutex:
            self._users += 1
        try:
            return perform()
        finally:
            with self._mutex:
                self._users -= 1
            if self._is_dropped:
                self.drop()

    def set(self, key: Hashable, setting: Callable[[Any], Any]) -> None:
        """Set something now, where the connection is open, and on every one that is opened later."""
        self.settings[key] = setting
        if self.real is not None:
            setting(self.real)

    def after(self, made: Made | None, *, in_transaction: bool) -> None:
        """Agent code was given a statement's result: the transaction is open, or it is over."""
        if not in_transaction:
            self.made.clear()
        elif made is not None:
            self.made.append(made)

    def _make_again(self, real: Any, compares: bool, doubts: bool) -> Steps[None]:
        for made in self.made:
            try:
                result = yield from made.again(real)
            except Exception as error:
                if doubts and self.is_sign(error):
                    raise MadeBeforeError from error
                error.add_note(
                    f"The transaction was open in a crash, and {made.statement!r} was made again. It may"
                    " have been committed before; golem_sdk.transactions makes sure."
                )
                raise
            if compares and not made.found(result):
                raise self.lost(
                    "the transaction was open in a crash and is rolled back, and cannot be made again:"
                    f" {made.statement!r} does not give what it gave. Roll back and begin again; use"
                    " golem_sdk.transactions for what must happen exactly once"
                )
        if doubts and self.made:
            _log.warning(
                "An agent died while a transaction was committed, and the database does not say whether it"
                " was. It is made and committed again (last statement: %r), so it may be there twice. Use"
                " golem_sdk.transactions for what must happen exactly once.",
                self.made[-1].statement,
            )

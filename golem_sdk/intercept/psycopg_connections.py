"""What connections of psycopg in agents have in common: statements, transactions and settings.

By type each is a connection of psycopg's, whose own part is never initialised; what it promises is told in
`golem_sdk.intercept.psycopg`.
"""

from __future__ import annotations

import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import AgentControlSignal
from golem_sdk.intercept.links import Link, Visits
from golem_sdk.intercept.psycopg_cursors import cursor_class, refusal, refusing, text_of
from golem_sdk.intercept.psycopg_transactions import Block, fate_of, number_of
from golem_sdk.intercept.statements import keyword_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.steps import Steps

__all__ = ["NAME", "SETTINGS", "Recorded"]

NAME = "psycopg"
SETTINGS = ("autocommit", "isolation_level", "read_only", "deferrable")
_IDLE, _ACTIVE = 0, 2
_HERE = ("row_factory", "cursor_factory", "context")
"""Options of the connection that agent code has, and not of the real one."""
_REFUSED = (
    "pipeline",
    "notifies",
    "tpc_begin",
    "tpc_prepare",
    "tpc_commit",
    "tpc_rollback",
    "tpc_recover",
    "fileno",
)


def _finish(real: Any) -> None:
    """Close it at once, from whatever thread."""
    with suppress(Exception):
        real.pgconn.finish()


class Recorded:
    """What blocking and asynchronous connections have in common."""

    cursors: Any
    _cursor_base: str
    _lock: Callable[[], Any] = staticmethod(originals.allocate_lock)

    def __init__(self, cls: Any, connect: Any, conninfo: str, options: dict[str, Any]) -> None:
        driver: Any = sys.modules["psycopg"]
        given = {name: options[name] for name in options if name not in _HERE}
        self._driver = driver
        self._autocommit = bool(given.pop("autocommit", False))
        self._link = Link(
            lambda: connect(cls, conninfo, autocommit=True, **given),
            driver.OperationalError,
            _finish,
            self._lock(),
        )
        self._link.settings["autocommit"] = _setting("_autocommit", self._autocommit)
        self._visits = Visits(self, reads_open=True)
        weakref.finalize(self, self._link.drop)
        durability.hold(durability.current_since(NAME), self._link)
        self._target = driver.conninfo.make_conninfo(
            conninfo, **{k: v for k, v in given.items() if k in ("host", "port", "dbname", "user")}
        )
        self.row_factory = options.get("row_factory") or driver.rows.tuple_row
        self.cursor_factory = options.get("cursor_factory") or getattr(driver, self._cursor_base)
        self._threshold = options.get("prepare_threshold", 5)
        self._adapters = driver.adapt.AdaptersMap((options.get("context") or driver).adapters)
        self._link.settings["adapters"] = _setting("_adapters", self._adapters)  # the same ones
        self.status = _IDLE
        self.blocks: list[Block] = []

    def _reach(self) -> Steps[None]:
        target = {
            k: v
            for k, v in self._driver.conninfo.conninfo_to_dict(self._target).items()
            if k in ("host", "port", "dbname", "user")
        }
        yield from self.ask("psycopg.connect", FunctionType.READ_REMOTE, target, _nothing)

    # --- durable calls ----------------------------------------------------------------------------

    def ask(
        self,
        name: str,
        kind: FunctionType,
        request: Any,
        perform: Callable[[Any], Steps[Any]],
        reach: Callable[[], Steps[Any]] | None = None,
    ) -> Steps[Any]:
        """Make one durable call; ``perform`` is given what ``reach`` gives: the real connection."""
        self.check()
        link = self._link

        def steps() -> Steps[list[Any]]:
            real = None
            try:
                real = yield from (link.connected() if reach is None else reach())
                if real is None:
                    return [None, _IDLE]
                result = yield from perform(real)
            except self._driver.Error as error:
                error.golem_status = _status(real)
                error._info = self._driver.errors._info_to_dict(error._info)
                raise
            return [result, _status(real)]

        session = durability.current_since(NAME)
        if session is None:
            changes = kind is FunctionType.WRITE_REMOTE or name == "psycopg.rollback"
            self._visits.begin(changes=changes)
        try:
            result, self.status = yield self._made(session, name, kind, request, steps)
        except AgentControlSignal:
            link.drop()
            raise
        except self._driver.Error as error:
            self.status = getattr(error, "golem_status", _IDLE)
            link.after(None, in_transaction=self.status != _IDLE)
            raise
        return result

    def _made(self, session: Any, name: str, kind: Any, request: Any, steps: Any) -> Any:
        raise NotImplementedError

    @property
    def _state(self) -> list[Any]:
        """What bodies of durable functions leave as it was: first of all whether a transaction is open."""
        told = [getattr(self, f"_{name}", None) for name in SETTINGS]
        return [self.status != _IDLE, self.status, told, dict(self._link.settings)]

    @_state.setter
    def _state(self, state: list[Any]) -> None:
        in_transaction, self.status, told, settings = state
        for name, value in zip(SETTINGS, told, strict=True):
            setattr(self, f"_{name}", value)
        is_other = settings != self._link.settings
        self._link.settings = settings
        # In a transaction of agent code, a body sets nothing that matters.
        if is_other and not in_transaction:
            self._link.drop()

    @property
    def in_doubt(self) -> bool:
        """Whether a statement by itself may have been made, and committed, before a crash."""
        session = durability.current_since(NAME)
        is_alone = self.status == _IDLE and bool(getattr(self, "_autocommit", False))
        return is_alone and session is not None and durability.may_have_been_made(session)

    def check(self) -> None:
        """Raises the driver's error if it is closed."""
        if self._visits.is_closed:
            raise self._driver.OperationalError("the connection is closed")

    # --- transactions -----------------------------------------------------------------------------

    def ended(self, how: str) -> Steps[None]:
        """Commit or roll back, by a block or by agent code."""
        self.check()
        if self.status == _IDLE:
            return
        if how == "rollback":
            yield from self.ask(
                "psycopg.rollback",
                FunctionType.READ_REMOTE,
                None,
                lambda real: _method(real, "rollback"),
                self._if_connected,
            )
        else:
            yield from self._committed()
        self._link.after(None, in_transaction=self.status != _IDLE)

    def _committed(self) -> Steps[None]:
        number = None
        if self._link.made and self.status == _ACTIVE:
            number = yield from self.ask(
                "psycopg.transaction", FunctionType.READ_REMOTE, None, number_of
            )
        session = durability.current_since(NAME)
        in_doubt = (
            number is not None and session is not None and durability.may_have_been_made(session)
        )

        def reach() -> Steps[Any]:
            if in_doubt and number is not None and self._link.real is None:
                probe = yield self._link.open()
                if (yield from fate_of(probe, number, self._driver.OperationalError)):
                    return None
            return (yield from self._link.connected())

        yield from self.ask(
            "psycopg.commit",
            FunctionType.WRITE_REMOTE,
            number,
            lambda real: _method(real, "commit"),
            reach,
        )

    def _if_connected(self) -> Steps[Any]:
        """The real connection; if it is lost, its transaction is, too."""
        return self._link.real
        yield  # a generator like the others

    def _by_hand(self, how: str) -> Steps[None]:
        if self.blocks:
            raise self._driver.ProgrammingError(
                f"Explicit {how}() forbidden within a Transaction context."
                " (Transaction will be automatically committed on successful exit from context.)"
            )
        yield from self.ended(how)

    def _left(self, error: BaseException | None) -> Steps[None]:
        if isinstance(error, AgentControlSignal):
            self._link.drop()
            return
        if self._visits.is_closed:
            return
        if error is None:
            yield from self.ended("commit")
        else:
            with suppress(self._driver.Error):
                yield from self.ended("rollback")
        self._shut()

    def _shut(self) -> None:
        if self._visits.close():
            self.status = _IDLE
            self._link.made.clear()
        self._link.drop()

    # --- what it knows of itself, and is told -----------------------------------------------------

    def settle(self, query: Any, params: Any) -> None:
        """A statement was executed that may hold for this connection only: for others it is made again."""
        text = text_of(query)
        words = text.upper().split(None, 2)
        if keyword_of(text) == "SET" and words[1:2] not in (["LOCAL"], ["TRANSACTION"]):
            self._setting(("set", words[1]), lambda real: real.execute(query, params))

    def _setting(self, key: Any, setting: Callable[[Any], Any]) -> None:
        settings = self._link.settings
        settings[key] = setting
        settings["autocommit"] = settings.pop("autocommit")  # the last: those before commit at once

    def _tell(self, name: str, value: Any) -> None:
        if durability.current_since(NAME) is None:
            self._visits.begin(changes=False)
        if self.status != _IDLE:
            raise self._driver.ProgrammingError(
                f"can't change {name!r} now: connection in transaction status"
                f" {self._driver.pq.TransactionStatus(self.status).name}"
            )
        setattr(self, f"_{name}", value)
        setting = _setting(f"_{name}", value)
        if self._link.real is not None:
            setting(self._link.real)
        self._setting(name, setting)

    @property
    def prepare_threshold(self) -> Any:
        """After how many executions a statement is prepared; ``None``: never."""
        return self._threshold

    @prepare_threshold.setter
    def prepare_threshold(self, value: Any) -> None:
        def setting(real: Any) -> None:
            real.prepare_threshold = value

        self._threshold = value
        if self._link.real is not None:
            setting(self._link.real)
        self._setting("prepare_threshold", setting)

    def __getattr__(self, name: str) -> Any:
        """What psycopg's own part would have had."""
        raise AttributeError(str(refusal(f"Connection.{name}")), name=name, obj=self)

    def add_notice_handler(self, callback: Any) -> None:
        """Have it called with notices, while a statement is performed and not in replay."""
        self._notices("add_notice_handler", callback)
        self._setting(("notice", callback), lambda real: real.add_notice_handler(callback))

    def remove_notice_handler(self, callback: Any) -> None:
        """Have it called no more."""
        if self._link.settings.pop(("notice", callback), None) is None:
            raise ValueError(f"{callback!r} is no notice handler of this connection")
        self._notices("remove_notice_handler", callback)

    def _notices(self, method: str, callback: Any) -> None:
        if self._link.real is not None:
            getattr(self._link.real, method)(callback)

    def cursor(
        self, name: str = "", *, binary: bool = False, row_factory: Any = None, **_: Any
    ) -> Any:
        """A cursor on the client's side.

        Raises:
            NotDurableError: it is to be on the server's.
        """
        self.check()
        if name:
            raise refusal("cursor(name=...)")
        made = cursor_class(self.cursor_factory, self.cursors)(self, row_factory=row_factory)
        made.format = self._driver.pq.Format.BINARY if binary else self._driver.pq.Format.TEXT
        return made

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._visits.is_closed

    @property
    def broken(self) -> bool:
        """Never: one that is lost is opened again."""
        return False

    @property
    def info(self) -> Any:
        """What is known of it; more than the transaction's status only of one that is open now."""
        return _Info(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of an agent, to {self._target!r}>"


class _Info:
    def __init__(self, connection: Recorded) -> None:
        self._connection = connection

    @property
    def transaction_status(self) -> Any:
        connection = self._connection
        return connection._driver.pq.TransactionStatus(connection.status)

    def __getattr__(self, name: str) -> Any:
        raise refusal(f"info.{name}")


def _setting(name: str, value: Any) -> Callable[[Any], None]:
    def put(real: Any) -> None:
        setattr(real, name, value)
        real._begin_statement = b""

    return put


def _status(real: Any) -> int:
    return _IDLE if real is None else int(real.pgconn.transaction_status) % 4


def _nothing(real: Any) -> Steps[None]:
    yield None


def _method(real: Any, name: str) -> Steps[None]:
    yield getattr(real, name)()


def _told(name: str) -> property:
    return property(
        lambda self: getattr(self, f"_{name}", None), lambda self, v: self._tell(name, v)
    )


for _name in _REFUSED:
    setattr(Recorded, _name, refusing(_name))
for _name in SETTINGS:
    setattr(Recorded, _name, _told(_name))

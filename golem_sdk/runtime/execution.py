"""One invocation under way: synchronous code runs through, asynchronous code is pumped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.values import decode
from golem_sdk.errors import AgentControlSignal, DecodingError
from golem_sdk.runtime.definitions import INIT
from golem_sdk.runtime.outcomes import failure, success

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.runtime.session import Session

__all__ = ["Execution", "unpack_arguments"]


class Execution:
    """Runs one method of the session's agent, with encoded arguments.

    Attributes:
        key, method: which invocation this is.
        outcome: the encoded result or exception, once `advance` has returned ``True``.
    """

    __slots__ = (
        "_arguments",
        "_context",
        "_leftovers",
        "_main",
        "key",
        "method",
        "outcome",
    )

    def __init__(self, key: str, method: str, arguments: bytes) -> None:
        self.key = key
        self.method = method
        self.outcome: tuple[bytes, bool]
        self._arguments = arguments
        self._main: asyncio.Task[Any] | None = None
        self._leftovers = False

    def advance(self, session: Session) -> bool:
        """Run until the invocation is over (``True``) or waits for mail (``False``).

        Raises:
            AgentControlSignal: the session ended.
        """
        if self._main is None:
            session.begin(self.key)
            if session.init_failure is not None:
                self.outcome = session.init_failure
                return True
            if not session.definition.methods.get(self.method, False):
                self.outcome = self._run_through(session)
                session.check()
                session.code_ends(None)
                session.close_regions()
                return True
            session.pump.read_on()
            context = session.context()
            coroutine = context.run(self._call, session)
            self._main = session.pump.open_loop().start_main(coroutine, context)
        return self._pump(session, self._main)

    def _pump(self, session: Session, main: asyncio.Task[Any]) -> bool:
        pump = session.pump
        loop = pump.open_loop()
        with session:
            if not pump.run(main.done):
                return False
            if not self._leftovers:
                error = None if main.cancelled() else main.exception()
                session.code_ends(error)
                loop.cancel_leftovers()
                self._leftovers = True
            if not pump.run(loop.is_quiet):
                return False
            loop.close_generators()
            if not pump.run(loop.is_quiet):
                return False
            session.close_regions()
        self.outcome = _outcome_of(main)
        return True

    def _run_through(self, session: Session) -> tuple[bytes, bool]:
        try:
            with session.crowd:
                self._context = session.context()
                value = self._context.copy().run(self._call, session)
        except AgentControlSignal:
            raise
        except BaseException as error:  # whatever it raises is the invocation's result
            session.check()
            session.code_ends(error)
            outcome = failure(error)
            if self.method == INIT:
                session.init_failure = outcome
            return outcome
        if self.method == INIT:
            session.instance = value
            return success(None)
        return success(value)

    def _call(self, session: Session) -> Any:
        positional, keyword = unpack_arguments(self._arguments)
        self._arguments = b""
        target: Callable[..., Any] = session.definition.target
        if session.definition.is_class and self.method != INIT:
            target = getattr(session.instance, self.method)
        return target(*positional, **keyword)


def unpack_arguments(data: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from their encoding.

    Raises:
        DecodingError: the bytes hold something else.
    """
    match decode(data):
        case [list() as positional, dict() as keyword]:
            return positional, keyword
    raise DecodingError("stored arguments are not [positional, keyword]")


def _outcome_of(main: asyncio.Task[Any]) -> tuple[bytes, bool]:
    if main.cancelled():
        return failure(asyncio.CancelledError())
    error = main.exception()
    return success(main.result()) if error is None else failure(error)

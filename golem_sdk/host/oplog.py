"""What agent code may ask of its own oplog: a commit, a key, a place, a jump back."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from uuid import uuid4

from golem_sdk.durability import current
from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.durability import Session

__all__ = [
    "Checkpoint",
    "checkpoint",
    "generate_idempotency_key",
    "get_oplog_index",
    "oplog_commit",
    "set_oplog_index",
]

T = TypeVar("T")


def oplog_commit(replicas: int) -> int:
    """Return when at least ``replicas`` copies hold everything this agent did so far, or all there are.

    Args:
        replicas: at least 1. A store in one LMDB file is one copy.

    Returns:
        How many copies hold it. In replay, and outside agents, nothing is written.

    Raises:
        UsageError: ``replicas`` is no whole number of at least 1.
    """
    _check_count(replicas, "oplog_commit takes a number of copies")
    session = current()
    if session is not None:
        session.commit()
    return 1


def generate_idempotency_key() -> UUID:
    """A key for use outside: the same on replay and in every run of an atomic region. Makes no entry.

    It is derived from the invocation's idempotency key and the place in the invocation: a UUID version 5,
    as Golem makes it. Outside agents it is random.
    """
    session = current()
    return uuid4() if session is None else session.keys.generate()


def get_oplog_index() -> OplogIndex:
    """Mark this place in the agent's oplog; gives its index, to which `set_oplog_index` can jump back.

    Raises:
        UsageError: not in an agent.
    """
    return _session("get_oplog_index").operations.here()


def set_oplog_index(index: OplogIndex) -> None:
    """Forget everything after ``index`` and run on from there. In replay: that has happened, go on.

    What was done stays done: it is only not remembered. Live, this does not return: the agent's code is
    unwound and replayed up to that place.

    Raises:
        UsageError: not in an agent; ``index`` is ahead, in a part that was dropped before, or before this
            invocation; it lies inside `atomically` or a ``PERSIST_NOTHING`` block, which run again as a whole
            only: from their begin; calls of other tasks are under way; a write made with
            `idempotence_mode(False)` would be sent again.

    Example:
        >>> from golem_sdk import Runtime, agent, durable, get_oplog_index, set_oplog_index
        >>> answers = ["busy", "ready"]
        >>> @durable
        ... def ask_printer() -> str:
        ...     return answers.pop(0)
        >>> @agent
        ... def wait_for_printer(name: str) -> str:
        ...     start = get_oplog_index()
        ...     answer = ask_printer()
        ...     if answer == "busy":
        ...         set_oplog_index(start)  # asks again; the answer "busy" is forgotten
        ...     return answer
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(wait_for_printer, "first floor")
        'ready'
    """
    _check_count(index, "set_oplog_index takes an oplog index")
    _session("set_oplog_index").operations.jump(index)


class Checkpoint:
    """A place in an agent's code to go back to, a limited number of times. Made by `checkpoint`."""

    def __init__(self, session: Session, attempts: int) -> None:
        self._session = session
        self._attempts = attempts
        self._index = session.operations.place("checkpoint()")

    def revert(self, reason: BaseException | str = "") -> NoReturn:
        """Go back: forget everything since the checkpoint was made, and run on from there.

        Raises:
            BaseException: ``reason``, if it is an exception and all attempts are used up.
            RuntimeError: all attempts are used up.
        """
        self._session.operations.revert(self._index, self._attempts)
        if isinstance(reason, BaseException):
            raise reason
        raise RuntimeError(
            f"a checkpoint was gone back to {self._attempts - 1} times without success: {reason}"
        )

    def run_or_revert(self, action: Callable[[], T]) -> T:
        """What ``action`` returns; go back if it raises an `Exception`.

        If it is a coroutine function, await this.
        """
        try:
            result = action()
        except Exception as error:
            self.revert(error)
        return self._awaited(result) if inspect.iscoroutine(result) else result  # type: ignore[return-value]  # T is the coroutine then

    async def _awaited(self, running: Awaitable[Any]) -> Any:
        try:
            return await running
        except Exception as error:
            self.revert(error)

    def assert_or_revert(
        self, condition: object, message: str = "the condition does not hold"
    ) -> None:
        """Go back unless ``condition`` is true."""
        if not condition:
            self.revert(message)


def checkpoint(attempts: int = 3) -> Checkpoint:
    """Mark this place of an agent's code, to go back to when what follows has failed.

    Args:
        attempts: how often what follows may be tried, the first time included.

    Raises:
        UsageError: not in an agent, or ``attempts`` is no whole number of at least 1; inside `atomically` or
            a ``PERSIST_NOTHING`` block: when such a block runs again, it forgets its checkpoints and their
            attempts. Make the checkpoint before the block.

    Example:
        >>> from golem_sdk import Runtime, agent, checkpoint, durable
        >>> offers = [120, 90]
        >>> @durable
        ... def ask_price() -> int:
        ...     return offers.pop(0)
        >>> @agent
        ... def buy(limit: int) -> int:
        ...     start = checkpoint()
        ...     price = ask_price()
        ...     start.assert_or_revert(price <= limit, "too dear")
        ...     return price
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(buy, 100)
        90
    """
    _check_count(attempts, "a checkpoint takes a number of attempts")
    return Checkpoint(_session("checkpoint"), attempts)


def _check_count(value: object, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{what}, a whole number of at least 1, not {value!r}")


def _session(function: str) -> Session:
    session = current()
    if session is None:
        raise UsageError(f"golem_sdk.{function}() works inside agents only: they have the oplog")
    return session

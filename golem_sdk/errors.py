"""Exceptions that users see, and the control signals that unwind agent code.

Every error keeps its data as attributes and says what happened and what to do. Control signals derive
from `BaseException` (as in trio), so that `except Exception` in agent code cannot swallow them.
"""

from __future__ import annotations

__all__ = [
    "AgentControlSignal",
    "AgentFailedError",
    "AgentFencedSignal",
    "AgentNotFoundError",
    "AgentSuspendedSignal",
    "BlockingCallWarning",
    "CommitUnknownError",
    "CompensationError",
    "DecodingError",
    "DivergenceError",
    "EncodingError",
    "GolemError",
    "InvocationCancelledError",
    "InvocationNotFoundError",
    "MethodNotFoundError",
    "NotDurableError",
    "NotDurableWarning",
    "OutcomeRowError",
    "OutputTooLargeError",
    "RecordedError",
    "ResponseTooLargeError",
    "RuntimeClosedError",
    "StoreBrokenError",
    "StoreCorruptError",
    "StoreError",
    "StoreFencedError",
    "StoreForkedError",
    "StoreFullError",
    "StoreLockedError",
    "StoreVersionError",
    "UndecidedError",
    "UnknownAgentTypeError",
    "UnknownOutcomeError",
    "UsageError",
]


class GolemError(Exception):
    """Base of every error that golem_sdk raises on purpose."""


class UsageError(GolemError, TypeError):
    """The SDK was used in a way that cannot work; the message says what to write instead."""


class BlockingCallWarning(RuntimeWarning):
    """A task of an agent blocks the agent's other tasks with a long call (which is durable all the same)."""


class NotDurableError(GolemError):
    """Agent code tried something that cannot be journaled, so it could not be recovered (D2)."""


class NotDurableWarning(RuntimeWarning):
    """Agent code did something past every durable call: it is not recorded, and done again in replay (D2)."""


class RuntimeClosedError(GolemError):
    """The runtime was closed while, or before, this was asked of it. Nothing durable is lost."""


# --- values ---------------------------------------------------------------------------------------


class EncodingError(GolemError, TypeError):
    """A value cannot be stored exactly (K1).

    Attributes:
        path: where in the value, e.g. ``value["items"][2].socket``.
        type_name: the qualified name of the type that has no encoding.
    """

    def __init__(self, message: str, path: str = "value", type_name: str = "") -> None:
        super().__init__(message, path, type_name)
        self.path = path
        self.type_name = type_name

    def __str__(self) -> str:
        return str(self.args[0])


class DecodingError(GolemError, ValueError):
    """Stored bytes are not a value that this version can read; nothing was executed."""


class RecordedError(GolemError):
    """Stands in for a recorded exception whose class cannot be found in this process.

    Attributes:
        type_name: ``module:qualname`` of the class as recorded.
        text: ``str()`` of the exception as recorded.
    """

    def __init__(self, type_name: str, text: str, original_args: tuple[object, ...] = ()) -> None:
        super().__init__(type_name, text, original_args)
        self.type_name = type_name
        self.text = text
        self.original_args = original_args

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text}"


class ResponseTooLargeError(GolemError):
    """The body of a response is longer than a runtime records (its ``max_received_bytes``).

    Attributes:
        limit_bytes: so many are recorded at most.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the body of a response is longer than {limit_bytes:_} bytes, and all that an agent receives is"
            " recorded: the rest was not read. Fetch such amounts in a function decorated with @durable that"
            " returns where it has put them, ask for a part (a Range header), or give the runtime another"
            " limit: Runtime(max_received_bytes=...)"
        )


class OutputTooLargeError(GolemError):
    """A process has put out more than a runtime records of one (its ``max_received_bytes``).

    Attributes:
        limit_bytes: so many are recorded at most.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"a process has put out more than {limit_bytes:_} bytes, and all that an agent reads of it is"
            " recorded: the rest was not read. Have it write into a file (stdout=file), run it in a function"
            " decorated with @durable that returns what is needed of its output, or give the runtime another"
            " limit: Runtime(max_received_bytes=...)"
        )


# --- database transactions ------------------------------------------------------------------------


class OutcomeRowError(GolemError):
    """A row of the table of outcomes is not the outcome of the call that asks for it.

    Attributes:
        table: the table's name.
        key: the row's ``call_key``.
    """

    def __init__(self, message: str, table: str = "", key: str = "") -> None:
        super().__init__(message, table, key)
        self.table = table
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])


class UndecidedError(GolemError):
    """Whether a call has happened is not known yet, and can be found out by making it again.

    So it is never the outcome of a durable call: the call is made again, whatever the retry policy says,
    at the latest every minute, until it says what has become of it.
    """


class CommitUnknownError(UndecidedError, ConnectionError):
    """A database connection was lost during a commit, and the database cannot be asked what became of it.

    Its cause is the database's error. To make the call again is harmless: it asks first.

    Attributes:
        table: the table that knows the outcome.
        key: the ``call_key`` of the row that is there if it was committed.
    """

    def __init__(self, message: str, table: str = "", key: str = "") -> None:
        super().__init__(message)  # more arguments would be an errno and file names
        self.table = table
        self.key = key


# --- agents and invocations -----------------------------------------------------------------------


class UnknownAgentTypeError(GolemError):
    """No registered `@agent` has this name: the module that defines it was not imported, or is gone."""


class MethodNotFoundError(GolemError, AttributeError):
    """The agent type has no such method."""


class AgentNotFoundError(GolemError):
    """The store has no agent with this id."""


class InvocationNotFoundError(GolemError):
    """No invocation with this idempotency key is known to the agent."""


class InvocationCancelledError(GolemError):
    """The invocation was cancelled before it was started."""


class CompensationError(GolemError):
    """A saga failed, and undoing it failed, too: it is undone only in part.

    Its cause is the error of the compensation that failed.

    Attributes:
        failure: why the saga had to be undone.
        undone: how many steps were undone before.
        left: how many steps are still done, the one whose compensation failed included.
    """

    def __init__(self, failure: BaseException, undone: int, left: int) -> None:
        super().__init__(failure, undone, left)
        self.failure = failure
        self.undone = undone
        self.left = left

    def __str__(self) -> str:
        return (
            f"the saga failed ({self.failure!r}) and could not be undone: {self.undone} steps were undone,"
            f" {self.left} are still done. Look after those by hand"
        )


class AgentFailedError(GolemError):
    """The agent is parked: it cannot go on until its code is mended or an operator acts.

    Attributes:
        agent_id: the agent, as text.
    """

    def __init__(self, agent_id: str, message: str) -> None:
        super().__init__(agent_id, message)
        self.agent_id = agent_id

    def __str__(self) -> str:
        return str(self.args[1])


class DivergenceError(AgentFailedError):
    """Re-executed code did not do what the oplog says it did (D1).

    Attributes:
        agent_id: the agent, as text.
        index: oplog index of the recorded entry; ``None`` when the oplog had already ended.
        recorded: the recorded call with its source line, as text.
        attempted: the attempted call with its source line, as text.
    """

    def __init__(
        self,
        agent_id: str,
        message: str,
        index: int | None = None,
        recorded: str = "",
        attempted: str = "",
    ) -> None:
        super().__init__(agent_id, message)
        self.args = (agent_id, message, index, recorded, attempted)
        self.index = index
        self.recorded = recorded
        self.attempted = attempted


class UnknownOutcomeError(AgentFailedError):
    """A write that must not be sent twice was interrupted: nobody knows whether it happened.

    Attributes:
        agent_id: the agent, as text.
        index: oplog index of the `BeginRemoteWrite` that announced it.
        call: the call with its arguments and source line, as text.
    """

    def __init__(self, agent_id: str, message: str, index: int = 0, call: str = "") -> None:
        super().__init__(agent_id, message)
        self.args = (agent_id, message, index, call)
        self.index = index
        self.call = call


# --- store ----------------------------------------------------------------------------------------


class StoreError(GolemError):
    """Base of everything the store can refuse."""


class StoreLockedError(StoreError):
    """Another runtime owns this store (X1)."""


class StoreForkedError(StoreError):
    """A forked child used its parent's store; open a runtime of its own in the child."""


class StoreVersionError(StoreError):
    """The store was written by a newer, unknown format."""


class StoreCorruptError(StoreError):
    """Stored bytes are damaged (K2).

    Attributes:
        space: name of the damaged space, when known.
        key: the damaged record's key, when known.
    """

    def __init__(self, message: str, space: str = "", key: bytes = b"") -> None:
        super().__init__(message, space, key)
        self.space = space
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])


class StoreFullError(StoreError):
    """Disk or map is full. Nothing of the refused commit happened; work resumes when space is free."""


class StoreBrokenError(StoreError):
    """The disk failed in a way after which only a restart tells what was written."""


class StoreFencedError(StoreError):
    """Somebody else appended to this agent's oplog: this owner is stale and was refused (X1)."""


# --- control signals ------------------------------------------------------------------------------


class AgentControlSignal(BaseException):
    """Unwinds agent code. Never catch it: every later durable call of the unwinding raises it again."""


class AgentSuspendedSignal(AgentControlSignal):
    """The agent waits; its thread is given back and replay brings it to the same point later."""


class AgentFencedSignal(AgentControlSignal):
    """The agent's session is over (divergence, closed runtime, failed store).

    Attributes:
        reason: the error that ended it, which callers see.
    """

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason

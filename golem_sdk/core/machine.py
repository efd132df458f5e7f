"""The execution machine: decides, for everything agent code does, whether it is replayed or live.

A pure state machine over the recorded entries. Agent code starts durable calls; the machine numbers
them and says what was recorded for them. While recorded entries remain it replays: pop and compare.
After the last one it is live: the caller performs the effect and the machine makes the entry. Nobody
has to be told which of the two holds.

What does not fit raises `Mismatch`, and from then on everything does (fail sticky).
"""

from __future__ import annotations

from collections.abc import Callable, Set  # attrs classes are resolved at run time
from typing import Any, TypeVar

from attrs import define, evolve, field

from golem_sdk.core.cursor import Cursor, Item
from golem_sdk.core.entries import (
    BeginRemoteWrite,
    EndRemoteWrite,
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    OplogIndex,
    Payload,
)
from golem_sdk.core.function_type import FunctionType

__all__ = ["FINISHED", "Machine", "Mismatch", "StartedCall"]

E = TypeVar("E", bound=Entry)

FINISHED = "the agent's code finished the invocation"
OTHER_RESULT = "the agent's code finished with another result"
"""What a mismatch says was attempted by code that is at its end."""


# Not frozen, which takes three times as long to make: nobody changes one.
@define(weakref_slot=False)
class StartedCall:
    """A durable call whose outcome agent code has not seen yet.

    Attributes:
        number: position among the agent's calls, the same on replay.
        function_name, function_type, request: what is called, and with what, encoded as it is stored.
        fingerprint: CRC-32 of what must be equal on replay.
        site, task: where agent code made the call (0: not known), and the asyncio task (0: none).
        begin: index of the `BeginRemoteWrite` that announced it (0: none did).
        repeatable: whether it can be made again after a failure (a broken stream gives nothing more).
        strand, position: where in the agent's code it is made: its `place`.
        effect: how the runtime has it completed, if agent code has something else to do meanwhile.
    """

    number: int
    function_name: str
    function_type: FunctionType
    request: bytes
    fingerprint: int
    site: int
    task: int
    begin: OplogIndex = 0
    repeatable: bool = True
    strand: Any = None
    position: int = 0
    effect: Any = None

    @property
    def place(self) -> tuple[Any, int]:
        """From what its idempotency key is derived."""
        return self.strand, self.position


class Mismatch(Exception):  # noqa: N818  # not an error yet: the runtime makes the DivergenceError
    """Re-execution does not fit the recorded entries.

    Attributes:
        index, recorded: the next recorded entry; ``0`` and ``None`` when all were met.
        attempted: what agent code did instead: a call, or a sentence.
    """

    def __init__(
        self, index: OplogIndex, recorded: Entry | None, attempted: StartedCall | str
    ) -> None:
        super().__init__(index, recorded, attempted)
        self.index = index
        self.recorded = recorded
        self.attempted = attempted


@define(weakref_slot=False)
class Machine:
    """One agent's execution. Not thread-safe: its session lets one thread in at a time.

    Attributes:
        now: logical time: the timestamp of the last delivered entry, nanoseconds since the epoch.
        pending: started calls without outcome, by number.
        announced_again: calls that an operator had said were not performed, and that were begun again.
        outcomes: how many outcomes agent code has been given.
        progressed: whether the agent has got beyond what was recorded when it was loaded. A call that
            starts before may have been performed by a life that has crashed; one that starts later has not.
        agreed: the last five entries on which code and oplog agreed, oldest first.
    """

    _cursor: Cursor
    now: int = 0
    pending: dict[int, StartedCall] = field(factory=dict)
    announced_again: Set[int] = frozenset()
    outcomes: int = 0
    progressed: bool = False
    agreed: tuple[Item, ...] = ()
    _started: int = 0
    _mismatch: Mismatch | None = None

    @property
    def is_live(self) -> bool:
        """Whether every recorded entry was met."""
        return self._cursor.upcoming is None

    @property
    def upcoming(self) -> int:
        """The number that the next started call will have."""
        return self._started + 1

    def start(
        self,
        function_name: str,
        function_type: FunctionType,
        request: bytes,
        fingerprint: int,
        site: int = 0,
        task: int = 0,
        begin: OplogIndex = 0,
        repeatable: bool = True,
        strand: object = None,
        position: int = 0,
    ) -> StartedCall:
        """Number a call that agent code makes now."""
        if self._mismatch is not None:
            raise self._mismatch
        self._started += 1
        self.pending[self._started] = call = StartedCall(
            self._started,
            function_name,
            function_type,
            request,
            fingerprint,
            site,
            task,
            begin,
            repeatable,
            strand,
            position,
        )
        return call

    def recall(
        self, function_name: str, function_type: FunctionType, fingerprint: int
    ) -> ImportedFunctionInvoked | None:
        """`start` and `replay_call` in one, for a call that nothing announced and that was recorded here.

        ``None``: it was not, or not like this; nothing has happened, `start` it.
        """
        item = self._cursor.upcoming
        if item is None or self._mismatch is not None:
            return None
        number = self._started + 1
        entry = self._recorded(item, number, function_name, function_type, fingerprint)
        if entry is not None:
            self._started = number
        return entry

    def withdraw(self, number: int) -> None:
        """Agent code no longer waits for this call (it was cancelled): nothing is recorded for it."""
        self.pending.pop(number, None)

    def meet(self, kind: type[E], doing: str) -> tuple[OplogIndex, E] | None:
        """The recorded entry of this kind that belongs here; ``None``: live, the caller appends one.

        ``doing`` says what agent code does, for the report of a mismatch.
        """
        self._check()
        item = self._cursor.upcoming
        if item is None:
            return None
        index, entry = item
        if not isinstance(entry, kind):
            raise self.refuse(index, entry, doing)
        self._met(item)
        return index, entry

    def refuse(
        self, index: OplogIndex, entry: Entry | None, attempted: StartedCall | str
    ) -> Mismatch:
        """The recorded entry is not what agent code makes now: raise the result."""
        self._mismatch = Mismatch(index, entry, attempted)
        return self._mismatch

    def rerun(self) -> list[Entry]:
        """Live from here: what is recorded beyond is dropped, and its code runs again; gives it."""
        self._check()
        return self._cursor.abandon()

    def ahead(self, most: int) -> list[Entry]:
        """What is recorded next, without meeting it: for the report of a mismatch."""
        return self._cursor.ahead(most)

    def replay_call(self, call: StartedCall) -> ImportedFunctionInvoked | None:
        """What was recorded for a call that agent code waits for in place; ``None``: perform it."""
        if self._mismatch is not None:
            raise self._mismatch
        item = self._cursor.upcoming
        if item is None:
            return None
        if call.begin and self._withdrawn(call, item):
            return self.replay_call(self.pending[call.number])
        return self._met_by(call, item)

    def replay_persisted(
        self, begin: OplogIndex, is_kept: Callable[[ImportedFunctionInvoked], bool]
    ) -> ImportedFunctionInvoked | None:
        """What agent code kept here of a function of its own; ``None``: live, it has to be done.

        Args:
            begin: index of the entry that announced it, 0: none did.
            is_kept: whether an entry is such a function's, and no call's.
        """
        self._check()
        item = self._cursor.upcoming
        if item is None:
            return None
        index, entry = item
        if (
            not isinstance(entry, ImportedFunctionInvoked)
            or entry.call != self._started + 1
            or not is_kept(entry)
        ):
            raise self.refuse(index, entry, "the agent's code reads what it had kept")
        self._started += 1
        self.outcomes += 1
        self._met(item)
        if begin:
            self._close(begin, entry.function_name)
        return entry

    def replay_delivery(self) -> tuple[StartedCall, ImportedFunctionInvoked] | None:
        """The next recorded completion, and which of the pending calls it is for (asynchronous agents).

        ``None``: an operator has noted that a pending call was not performed.
        """
        self._check()
        item = self._cursor.upcoming
        if item is None:
            raise IndexError("nothing is left to replay")
        index, entry = item
        perhaps = list(self.pending.values()) if isinstance(entry, EndRemoteWrite) else []
        if any(self._withdrawn(call, item) for call in perhaps):
            return None
        call = self.pending.get(entry.call) if isinstance(entry, ImportedFunctionInvoked) else None
        if call is None:
            raise self.refuse(index, entry, _waiting(self.pending))
        return call, self._met_by(call, item)

    def complete(
        self,
        call: StartedCall,
        timestamp: int,
        request: Payload,
        outcome: Payload,
        *,
        failed: bool,
    ) -> ImportedFunctionInvoked:
        """The entry for a call that was performed, with what it keeps of request and outcome.

        The call counts as delivered.
        """
        self._check()
        self.pending.pop(call.number, None)
        self.outcomes += 1
        self.now, self.progressed = timestamp, True
        return ImportedFunctionInvoked(
            timestamp,
            call.number,
            call.function_name,
            int(call.function_type),
            request,
            call.fingerprint,
            outcome,
            failed,
            call.site,
            call.task,
        )

    def replay_invocation(self) -> tuple[OplogIndex, ExportedFunctionInvoked] | None:
        """The next recorded invocation and its index; ``None``: all were met, take one from the queue."""
        self._check()
        item = self._cursor.upcoming
        if item is None:
            return None
        index, entry = item
        if not isinstance(entry, ExportedFunctionInvoked):
            raise self.refuse(index, entry, "the agent's code had finished this invocation")
        self._met(item)
        return index, entry

    def replay_completion(
        self, *, failed: bool, same: Callable[[ExportedFunctionCompleted], bool]
    ) -> bool:
        """Whether the end of the invocation is recorded; if it is, ``same`` must find it equal."""
        self._check()
        item = self._cursor.upcoming
        if item is None:
            return False
        index, entry = item
        if not isinstance(entry, ExportedFunctionCompleted):
            raise self.refuse(index, entry, FINISHED)
        if entry.failed != failed or not same(entry):
            raise self.refuse(index, entry, OTHER_RESULT)
        self._met(item)
        return True

    def advance(self, timestamp: int) -> None:
        """Logical time moves to a live entry's timestamp."""
        self.now = timestamp
        self.progressed = True

    def log(self) -> bool:
        """Whether a log line written now is new (and is to be recorded and emitted)."""
        return not self._cursor.take_log()

    def _met_by(self, call: StartedCall, item: Item) -> ImportedFunctionInvoked:
        entry = self._recorded(
            item, call.number, call.function_name, call.function_type, call.fingerprint
        )
        if entry is None:
            raise self.refuse(*item, call)
        self.pending.pop(call.number, None)
        if call.begin:
            self._close(call.begin, call.function_name)
        return entry

    def _recorded(
        self, item: Item, number: int, name: str, function_type: FunctionType, fingerprint: int
    ) -> ImportedFunctionInvoked | None:
        """Go past the upcoming entry if it is this call's, and give it."""
        entry = item[1]
        if (
            isinstance(entry, ImportedFunctionInvoked)
            and entry.call == number
            and entry.fingerprint == fingerprint
            and entry.function_name == name
            and entry.function_type == function_type
        ):
            self.outcomes += 1
            self._met(item)
            return entry
        return None

    def _close(self, begin: OplogIndex, name: str) -> None:
        """The end of an announced write lies right behind its outcome."""
        item = self._cursor.upcoming
        if item is None or not _ends(begin, item[1]):
            index, entry = item or (0, None)
            raise self.refuse(index, entry, f"the end of {name} was to follow")
        self._met(item)

    def _withdrawn(self, call: StartedCall, item: Item) -> bool:
        """Whether an operator closed this announced write without an outcome: it was not performed."""
        if not call.begin or not _ends(call.begin, item[1]):
            return False
        self._met(item)
        match self._cursor.upcoming:
            case (index, BeginRemoteWrite(call=call.number)) as again:
                self._met(again)
                self.pending[call.number] = evolve(call, begin=index)
                self.announced_again |= {call.number}
        return True

    def _met(self, item: Item) -> None:
        """Go past the upcoming entry, which fits."""
        self.now = item[1].timestamp
        self.agreed = (*self.agreed[-4:], item)
        self._cursor.advance()

    def _check(self) -> None:
        if self._mismatch is not None:
            raise self._mismatch


def _ends(begin: OplogIndex, entry: Entry) -> bool:
    return isinstance(entry, EndRemoteWrite) and entry.begin == begin


def _waiting(pending: dict[int, StartedCall]) -> str:
    if not pending:
        return "the agent's code waits, but for no durable call"
    names = ", ".join(f"{call.function_name} (call {call.number})" for call in pending.values())
    return f"the agent's code waits for {names}"

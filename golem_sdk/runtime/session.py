"""One loaded agent: the gateway between its code, the machine that decides and the oplog.

Everything agent code does to the outside passes through `Session.call` and its three sisters. They share
one life of a call: start it (the machine numbers it), obtain its completion (recorded, or performed and
recorded), reveal its outcome. Only the obtaining differs: in place for synchronous code, by the pump for
asynchronous code and lanes.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any
from zlib import crc32

from attrs import define, evolve, field

from golem_sdk.codec.values import encode
from golem_sdk.core.entries import (
    DescribeCallSite,
    Entry,
    Error,
    ImportedFunctionInvoked,
    Log,
    OplogIndex,
    Payload,
    Suspend,
)
from golem_sdk.core.function_type import ANNOUNCED, COMMIT_TABLE, FunctionType
from golem_sdk.core.machine import Machine, Mismatch, StartedCall
from golem_sdk.core.scopes import DEFAULT_SCOPE
from golem_sdk.core.status import AgentStatus, StatusRecord, status_after
from golem_sdk.errors import AgentControlSignal, AgentFencedSignal, AgentSuspendedSignal
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime import performing
from golem_sdk.runtime.context import SCOPE, SESSION
from golem_sdk.runtime.definitions import AgentDefinition
from golem_sdk.runtime.divergence import divergence_error
from golem_sdk.runtime.effects import Effect, HostEffect, LaneEffect, TimerEffect, asked
from golem_sdk.runtime.keys import Keys
from golem_sdk.runtime.lanes import current_lane, lane_site
from golem_sdk.runtime.mailbox import Mail, Mailbox
from golem_sdk.runtime.outcomes import reveal, shortened
from golem_sdk.runtime.parts import Parts
from golem_sdk.runtime.pump import SLEEP, Pump
from golem_sdk.runtime.settings import Origin
from golem_sdk.runtime.sites import SiteTable
from golem_sdk.stores.heads import AgentHead, head_put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from golem_sdk.errors import AgentFailedError
    from golem_sdk.runtime.kernel import Kernel  # noqa: TC004  # nobody resolves this annotation
    from golem_sdk.storage.base import Space

__all__ = ["SAME", "Session"]

SAME: Any = object()
"""Default identity of a call: the request itself must be equal on replay."""


@define(eq=False, repr=False)
class Session(Parts):
    """A loaded agent. One thread at a time runs its code.

    In its block agent code's wishes are carried out: what the machine or the store objects to ends it.

    Attributes:
        arguments: with what the agent was made, until its code has them.
        origin: what made it.
        status: the agent's status, with every entry that changes it.
        depth: above zero while something runs that is not agent code (a performed call, an import).
        collector: the thread in which garbage is collected, which is above zero in ``depth``, 0: none.
        pump: the asynchronous half, with the agent's event loop.
        invoked: the entry with which the present invocation began.
        suspended: the wake-up time with which it was suspended (0: no timer), ``None`` if it was not.
        instance: the object of a class agent, once constructed; ``init_failure``: why it could not be.
        workspace: the agent's own directory, ``""`` until its code has asked for it.
    """

    kernel: Kernel
    definition: AgentDefinition
    agent_id: str
    arguments: Payload
    origin: Origin
    status: StatusRecord
    machine: Machine
    writer: OplogWriter
    sites: SiteTable
    mailbox: Mailbox
    keys: Keys = field(init=False)
    depth: int = field(init=False, default=0)
    collector: int = field(init=False, default=0)
    pump: Pump = field(init=False)
    invoked: OplogIndex = field(init=False, default=0)
    suspended: int | None = field(init=False, default=None)
    instance: object = field(init=False, default=None)
    init_failure: tuple[bytes, bool] | None = field(init=False, default=None)
    workspace: str = field(init=False, default="")
    _ended: AgentControlSignal | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.pump = Pump(self)

    # --- the four ways to make a durable call ---------------------------------------------------

    def call(
        self,
        name: str,
        function_type: FunctionType,
        request: object,
        perform: Callable[[], Any],
        identity: object = SAME,
        *,
        repeatable: bool = True,
    ) -> Any:
        """A durable call performed by a function, in place."""
        lane, is_live = current_lane(), self.machine.is_live
        if lane is None and not is_live:
            recorded = self._recalled(name, function_type, request, identity)
            if recorded is not None:
                return self._reveal(recorded)
        call = self.start(
            name, function_type, request, identity, in_place=True, repeatable=repeatable
        )
        if lane is not None and COMMIT_TABLE[function_type].parks:
            entry = self.pump.park(call, LaneEffect(lane, perform), lane)
        else:
            recorded = None if is_live else self._replayed(call)
            entry = recorded or performing.perform(self, call, perform)
        return self._reveal(entry)

    async def call_async(
        self,
        name: str,
        function_type: FunctionType,
        request: object,
        perform: Callable[[], Awaitable[Any]],
        identity: object,
        *,
        repeatable: bool,
    ) -> Any:
        """A durable call performed by a coroutine function, on the host loop."""
        call = self.start(name, function_type, request, identity, repeatable=repeatable)
        return self._reveal(await self.pump.completion(call, HostEffect(perform)))

    def wait(self, name: str, function_type: FunctionType, request: object, effect: Effect) -> Any:
        """A durable call that somebody else completes; a long wait suspends the agent."""
        call = self.start(name, function_type, request, SAME)
        lane = current_lane()
        if lane is not None:
            entry = self.pump.park(call, effect, lane)
        else:
            entry = self._replayed(call) or performing.wait(self, call, effect)
        return self._reveal(entry)

    async def wait_async(
        self, name: str, function_type: FunctionType, request: object, effect: Effect
    ) -> Any:
        """The same for asynchronous agent code."""
        call = self.start(name, function_type, request, SAME)
        return self._reveal(await self.pump.completion(call, effect))

    def send(self, name: str, request: object, enqueue: Callable[[], object]) -> None:
        """A durable call that leaves a message for another agent; it rides in this agent's next commit."""

        def perform() -> None:
            asked(self, enqueue)

        self.call(name, FunctionType.WRITE_LOCAL, request, perform)

    # --- what else agent code may ask -----------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Wait; the due time survives crashes."""
        delay_ns = max(0, round(seconds * 1e9))
        self.wait(SLEEP, FunctionType.READ_LOCAL, delay_ns, TimerEffect())

    def log(self, level: str, context: str, message: str) -> bool:
        """Record a log line, unless it was before the crash; whether to emit it now."""
        if self._ended is not None or not self.machine.log():
            return False
        with self:
            self.writer.append(Log(self.now_ns(), level, shortened(context), shortened(message)))
        return True

    def commit(self) -> None:
        """Return when everything recorded so far is on disk."""
        self.check()
        if self.machine.is_live:
            with self:
                self.writer.commit()

    def on_host(self, perform: Callable[[], Awaitable[Any]]) -> None:
        """Run a coroutine function on the host loop, neither journaled nor waited for; live only.

        Also when the session is over: what its code has opened is to be closed.
        """
        if self.machine.is_live:
            context = copy_context()
            context.run(SESSION.set, None)
            self.kernel.host.run(
                perform, context, lambda task: task.cancelled() or task.exception(), finish=True
            )

    @contextmanager
    def not_agent_code(self) -> Iterator[None]:
        """What runs inside is not the agent's own doing: nothing in it is journaled."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    # --- one invocation -------------------------------------------------------------------------

    def begin(self, key: str) -> None:
        """An invocation with this idempotency key begins."""
        self.keys = Keys(self.agent_id, key)
        self.invocation_begins()

    def context(self) -> Context:
        """A new context for code of the present invocation."""
        context = Context()
        context.run(SESSION.set, self)
        self.keys.enter(context)
        return context

    # --- the end --------------------------------------------------------------------------------

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, AgentControlSignal):
            return
        if isinstance(error, Mismatch):
            raise self.diverged(error) from None
        raise self.end(AgentFencedSignal(error)) from error

    def check(self) -> None:
        """Raise what ended this session, if anything did."""
        if self._ended is not None:
            raise self._ended

    def end(self, signal: AgentControlSignal) -> AgentControlSignal:
        """Fence the session: every later call and append of its code raises ``signal`` (fail sticky)."""
        if self._ended is None:
            self._ended = signal
            reason = signal.reason if isinstance(signal, AgentFencedSignal) else signal
            self.writer.fence(reason)
            self.pump.fence()
            self.mailbox.close()
        return self._ended

    @property
    def ended(self) -> AgentControlSignal | None:
        """What ended this session."""
        return self._ended

    def append(self, entry: Entry) -> OplogIndex:
        """Append an entry that changes the agent's status, with its new head; gives its index."""
        index = self.writer.append(entry)
        self.status = status_after(self.status, index, entry)
        self.writer.changed(self._head)
        return index

    def mark(self, entry: Entry) -> OplogIndex:
        """Append an entry that agent code makes without a call; gives its index."""
        with self:
            self.machine.advance(entry.timestamp)
            return self.writer.append(entry)

    def _head(self) -> tuple[Space, bytes, bytes]:
        return head_put(AgentHead(self.definition.name, self.agent_id, self.status))

    def suspend(self, wake_at: int, *, only_timers: bool) -> AgentControlSignal:
        """Note on disk that the agent waits, and fence the session.

        Only who waits for nothing but timers is left asleep after a restart, until ``wake_at``.
        """
        self.close_with(Suspend(self.now_ns(), wake_at if only_timers else 0))
        self.suspended = wake_at
        return self.end(AgentSuspendedSignal("the agent waits; replay brings it back here"))

    def diverged(self, mismatch: Mismatch) -> AgentControlSignal:
        """Park the agent with a `DivergenceError` (D1)."""
        return self.park(divergence_error(self, mismatch)) if self._ended is None else self._ended

    def park(self, error: AgentFailedError) -> AgentControlSignal:
        """The agent cannot go on: note why on disk, and fence the session."""
        text = shortened(str(error))
        if self._ended is None and self.status.error != text:  # not noted in an earlier life
            self.close_with(Error(self.now_ns(), type(error).__name__, text, self.definition.code))
        return self.end(AgentFencedSignal(error))

    def close_with(self, entry: Entry) -> None:
        """Append the last entry of this session, and wait until it is on disk."""
        with self:
            self.append(entry)
            self.writer.commit()

    # --- the life of a call ---------------------------------------------------------------------

    def start(
        self,
        name: str,
        function_type: FunctionType,
        request: object,
        identity: object = SAME,
        *,
        in_place: bool = False,
        repeatable: bool = True,
        site: int = 0,
    ) -> StartedCall:
        """Number a call that agent code makes now. ``site``: where, if that is known."""
        if self._ended is not None:
            raise self._ended
        packed = encode(request)
        scope = SCOPE.get()
        if scope.zone or (in_place and scope.skips(function_type)):
            return self.unrecorded.start(name, function_type, packed, scope)
        fingerprint = crc32(packed if identity is SAME else encode(identity))
        task = None
        if self.pump.loop is not None or self.machine.is_live:
            task = self.pump.task()
            made_at = lane_site() if task is None else task.site
            site = site or self.sites.here(3) or made_at  # right above are ways to make calls
        number = 0 if task is None else task.number
        begin = 0
        if not scope.idempotent and function_type in ANNOUNCED:
            begin = self.operations.writes.announce(name, packed, fingerprint, site, number)
        strand = self.keys.started()
        where = (site, number, begin, repeatable, strand, strand.calls)
        return self.machine.start(name, function_type, packed, fingerprint, *where)

    def _recalled(
        self, name: str, function_type: FunctionType, request: object, identity: object
    ) -> ImportedFunctionInvoked | None:
        """What replay has for a call without guards, in one step; ``None``: `start` it, whatever it is."""
        if self._ended is not None or SCOPE.get() is not DEFAULT_SCOPE:
            return None
        fingerprint = crc32(encode(request if identity is SAME else identity))
        recorded = self.machine.recall(name, function_type, fingerprint)
        if recorded is not None:
            self.keys.started()
        return recorded

    def _replayed(self, call: StartedCall) -> ImportedFunctionInvoked | None:
        if call.number < 0:
            return None
        try:
            return self.machine.replay_call(call)
        except Mismatch as mismatch:
            raise self.diverged(mismatch) from None

    def record(self, call: StartedCall, mail: Mail) -> ImportedFunctionInvoked:
        """Append the entry of a call that was performed; gives it with its whole outcome."""
        if call.number < 0:
            return self.unrecorded.completed(call, mail)
        rule = COMMIT_TABLE[call.function_type]
        site = self.sites.undescribed(call.site) if call.site else None
        with self:
            if site is not None:
                self.writer.append(DescribeCallSite(self.now_ns(), call.site, *site))
            return self._append(call, mail, rule.soon)

    def _append(self, call: StartedCall, mail: Mail, soon: bool) -> ImportedFunctionInvoked:
        writer = self.writer
        entry = self.machine.complete(
            call,
            self.kernel.environment.now_ns(),
            writer.keep(call.request),
            writer.keep(mail.outcome),
            failed=mail.failed,
        )
        if self.status.status is AgentStatus.RUNNING:
            writer.append(entry)
        else:
            self.append(entry)
        if call.begin:
            self.operations.writes.performed(call)
            writer.commit()
        elif soon:
            writer.soon()
        return entry if isinstance(entry.outcome, bytes) else evolve(entry, outcome=mail.outcome)

    def _reveal(self, entry: ImportedFunctionInvoked) -> Any:
        outcome = entry.outcome
        if not isinstance(outcome, bytes):
            outcome = self.kernel.load_payload(outcome)
        return reveal(outcome, entry.failed)

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.kernel.environment.now_ns()

"""Performs durable calls for crash fuzzing: records those of the calm run, and answers later ones from that.

A later run never sends what was recorded once: a payment is not made five hundred times. Every
performance is noted, whoever performs it: these notes are the outside witness.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from golem_sdk.codec.values import decode
from golem_sdk.core.function_type import FunctionType
from golem_sdk.durability import RetryableResult
from golem_sdk.errors import AgentFencedSignal, GolemError
from golem_sdk.runtime.lanes import current_lane
from golem_sdk.runtime.outcomes import failure, success
from golem_sdk.runtime.sites import describe_site
from golem_sdk.testing.observations import Performance
from golem_sdk.testing.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session
    from golem_sdk.testing.environment import VirtualEnvironment

__all__ = ["Answer", "Effects", "NoAnswerError", "Recording", "Stage", "Stub"]

Stub = Callable[..., Any]
_LAST_TURN = 10**9
_OWN = "golem:rpc/"
"""Calls that concern other agents of the same store: no effects on the outside, always performed."""


class NoAnswerError(GolemError):
    """The call was not made in the calm run, so there is no answer for it; it was not performed."""


class Effects:
    """Who performs the remote calls of a run, by name."""

    RECORDED = "recorded"
    REAL = "real"


@frozen
class Answer:
    """What a call gave in the calm run.

    Attributes:
        name: what was called.
        request: encoded.
        era: how often it, its region or what follows a jump had been tried before.
        outcome, failed: as recorded in the oplog.
        worse: of a result that is as bad as an error (an HTTP status): that error, encoded.
        rank: when it was over, counted over all calls.
    """

    name: str
    request: bytes
    era: tuple[int, ...]
    outcome: bytes
    failed: bool
    worse: bytes = b""
    rank: int = 0

    def give(self) -> Any:
        """The result, or raise the exception, as the call did."""
        value = decode(self.outcome)
        if self.worse:
            raise RetryableResult(value, decode(self.worse))
        if self.failed:
            assert isinstance(value, BaseException), "a failure is an encoded exception"
            raise value
        return value


@frozen
class Recording:
    """The answers of the calm run, by agent and idempotency key."""

    answers: Mapping[tuple[str, str], tuple[Answer, ...]] = field(factory=dict)

    def find(self, effect: Performance, era: tuple[int, ...]) -> Answer | None:
        """The answer for a performance: that of the same call, else of an equal one, else none."""
        same = self.answers.get((effect.agent, effect.key), ())
        same = tuple(answer for answer in same if answer.name == effect.name)
        for most in (len(era), 2, 1):  # a crash in a region adds a jump, but no failure
            for known in same:
                if known.era[:most] == era[:most]:
                    return known
        if same:
            return same[-1]
        for (agent, _), answers in self.answers.items():
            for answer in answers:
                if (agent, answer.name, answer.request) == (
                    effect.agent,
                    effect.name,
                    effect.request,
                ):
                    return answer
        return None


class Stage:
    """Performs the durable calls of one run, over all its lives. A `Performer`.

    Args:
        recording: answers; ``None``: the calm run, everything is performed and recorded.
        stubs: what is called in place of the real thing, by the name of the durable call.
        effects: who performs the remote calls of a run that is not calm, see `Effects`.
        fresh: a local reading that is made again gives a new value.

    Attributes:
        performed: every performance so far.
        redrawn: whether a local reading was made again.
    """

    def __init__(
        self,
        recording: Recording | None,
        stubs: Mapping[str, Stub],
        *,
        effects: str = Effects.RECORDED,
        fresh: bool = False,
    ) -> None:
        self.performed: list[Performance] = []
        self.redrawn = False
        self._recording = recording
        self._stubs = stubs
        self._really = effects == Effects.REAL
        self._fresh = fresh
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._seen: set[tuple[str, str, tuple[int, ...]]] = set()
        self._mutex = Lock()
        self._ranks = 0

    def recorded(self) -> Recording:
        """What a calm run has recorded."""
        return Recording({key: tuple(answers) for key, answers in self._answers.items()})

    def resume(self, performed: Sequence[Performance]) -> None:
        """Earlier lives, in another process, have performed these."""
        self.performed.extend(performed)
        self._seen.update((effect.agent, effect.key, (0, 0)) for effect in performed)

    def enter(
        self, environment: VirtualEnvironment, dying: Callable[[str, int, int], Exception | None]
    ) -> None:
        """A life begins.

        Args:
            environment: its clock.
            dying: asked before each performance, with the agent, the number of the call and the newest entry
                of the agent's oplog: why the process is dead, if it is.
        """
        self._dying = dying
        self._turns = Turns(environment)

    def leave(self) -> None:
        """The life is over: nobody waits for a turn any more."""
        self._turns.close()

    # --- a Performer ------------------------------------------------------------------------------

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        """See `Performer.perform`."""
        if call.function_name.startswith(_OWN):
            return action()
        death = self._dying(session.agent_id, call.number, session.writer.last)
        if death is not None:  # a dead process performs nothing
            signal = session.end(AgentFencedSignal(death))
            raise signal if current_lane() is None else death
        effect, era = _described(session, call, scope)
        again = self._note(effect, era)
        answer = self._answer(effect, era, again)
        if answer is not None:
            if current_lane() is not None:
                self._turns.wait(answer.rank)
            return answer.give()
        stub = self._stub(call)
        return self._recorded(effect, era, stub or action)

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        """See `Performer.perform_async`."""
        return partial(self._perform_async, session, call, scope, action)

    async def _perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Any:
        death = self._dying(session.agent_id, call.number, session.writer.last)
        if death is not None:
            session.end(AgentFencedSignal(death))
            raise death
        effect, era = _described(session, call, scope)
        if self._is_unknown(effect, era):
            # In the calm run it may have been withdrawn before it began: then it is withdrawn here, too.
            await self._turns.wait_async(_LAST_TURN)
        again = self._note(effect, era)
        answer = self._answer(effect, era, again)
        if answer is not None:
            await self._turns.wait_async(answer.rank)
            return answer.give()
        stub = self._stub(call)
        try:
            value = await action() if stub is None else stub()
            value = await value if inspect.isawaitable(value) else value
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._withdrawn(effect)
            self._record_error(effect, era, error)
            raise
        return self._record(effect, era, value)

    # --- one performance --------------------------------------------------------------------------

    def _note(self, effect: Performance, era: tuple[int, ...]) -> bool:
        """The outside sees it now; whether it has seen it before."""
        place = (effect.agent, effect.key, era[:2])
        with self._mutex:
            self.performed.append(effect)
            again = place in self._seen
            self._seen.add(place)
        return again

    def _withdrawn(self, effect: Performance) -> None:
        """Agent code did not want it any more, and nobody can say how far it had come."""
        with self._mutex:
            at = len(self.performed) - 1 - self.performed[::-1].index(effect)
            self.performed[at] = evolve(effect, withdrawn=True)

    def _is_unknown(self, effect: Performance, era: tuple[int, ...]) -> bool:
        if self._recording is None or (effect.is_remote and self._really):
            return False
        return self._recording.find(effect, era) is None

    def _answer(self, effect: Performance, era: tuple[int, ...], again: bool) -> Answer | None:
        """The recorded answer; ``None``: perform it."""
        if self._recording is None:
            return None
        if effect.function_type == FunctionType.READ_LOCAL and again:
            self.redrawn = True
            if self._fresh:
                return None
        if effect.is_remote and self._really:
            return None
        answer = self._recording.find(effect, era)
        if answer is None:
            raise NoAnswerError(
                f"{effect} was not made in the run without crashes: there is no answer for it, and it is not"
                " performed"
            )
        return answer

    def _stub(self, call: StartedCall) -> Callable[[], Any] | None:
        stub = self._stubs.get(call.function_name)
        if stub is None:
            return None
        match decode(call.request):
            case [list() as positional, dict() as keyword]:
                return lambda: stub(*positional, **keyword)
        return lambda: stub(decode(call.request))

    def _recorded(
        self, effect: Performance, era: tuple[int, ...], action: Callable[[], Any]
    ) -> Any:
        try:
            value = action()
        except BaseException as error:
            self._record_error(effect, era, error)
            raise
        return self._record(effect, era, value)

    def _record(self, effect: Performance, era: tuple[int, ...], value: Any) -> Any:
        outcome, failed = success(value)
        self._keep(effect, Answer(effect.name, effect.request, era, outcome, failed))
        return value

    def _record_error(
        self, effect: Performance, era: tuple[int, ...], error: BaseException
    ) -> None:
        if isinstance(error, RetryableResult):
            outcome, failed = success(error.result)
            worse = b"" if failed else failure(error.error)[0]
            answer = Answer(effect.name, effect.request, era, outcome, failed, worse)
        else:
            answer = Answer(effect.name, effect.request, era, *failure(error))
        self._keep(effect, answer)

    def _keep(self, effect: Performance, answer: Answer) -> None:
        with self._mutex:
            self._ranks += 1
            ranked = evolve(answer, rank=self._ranks)
            self._answers.setdefault((effect.agent, effect.key), []).append(ranked)


def _described(
    session: Session, call: StartedCall, scope: Scope
) -> tuple[Performance, tuple[int, ...]]:
    """A performance as a value, and its era (see `Answer`)."""
    site = session.sites.site(call.site)
    effect = Performance(
        session.agent_id,
        call.function_name,
        int(call.function_type),
        call.request,
        str(session.keys.key(call.place, scope)),
        bool(call.begin),
        describe_site(site) if site is not None else "",
    )
    return effect, _era(session, call)


def _era(session: Session, call: StartedCall) -> tuple[int, ...]:
    plan = session.writer.plan
    retry = plan.call_retries.get(call.number)
    regions = sum(retry.attempt for retry in plan.region_retries.values())
    return (0 if retry is None else retry.attempt, regions, sum(plan.jumps.values()))

"""What a run with crashes says when it is held against the run without: pure functions over values.

The rules are promises P2 and P3: results, state and the set of outside effects are those of a run that never
crashed; a remote write happens at least once and once more at most per crash, always under the same
idempotency key and with the same request; under ``idempotence_mode(False)`` at most once.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.cli.stored import Stored
from golem_sdk.core.difference import first_difference
from golem_sdk.testing.observations import (
    Observed,
    Outcome,
    Performance,
    decoded,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Cause", "Judgement", "Verdict", "judge"]


class Verdict(Enum):
    """What one schedule of crashes has shown. ``value`` is what the matrix says."""

    SAME = "same"
    AGAIN = "again"
    """A call was made again under its idempotency key, no oftener than P3 allows."""
    PARKED = "parked"
    """The agent stopped with an unknown outcome, as ``idempotence_mode(False)`` promises."""
    UNREACHED = "-"
    """The run did not come to the crash point."""
    REPEATED = "REPEATED"
    """An effect was repeated in a way that the outside cannot tell from two effects."""
    DIVERGED = "DIVERGED"
    """The code took another path, or came to another result or state."""
    LOST = "LOST"
    """An effect or a result is missing, or the agent never ended."""

    @property
    def is_fault(self) -> bool:
        """Whether the agent is to be mended."""
        return self in (Verdict.REPEATED, Verdict.DIVERGED, Verdict.LOST)


class Cause(Enum):
    """What kind of fault was seen: decides how it is explained."""

    NONE = "none"
    UNJOURNALED = "an effect outside every durable call"
    OTHER_REQUEST = "the same call with another request"
    OTHER_KEY = "the same request under another key"
    TOO_OFTEN = "more often than once per crash"
    ONCE = "repeated, though it is not to be"
    DIVERGENCE = "replay did not fit the oplog"
    OTHER_CALLS = "other calls"
    OTHER_RESULT = "another result"
    OTHER_STATE = "another state"
    MISSING = "an effect is missing"
    NO_END = "no end"
    STOPPED = "the agent stopped"


@frozen
class Judgement:
    """A verdict and its reason.

    Attributes:
        verdict: the verdict.
        cause: what kind of fault it is.
        reason: what was seen, in sentences; empty if all is the same.
        source: the place in the agent's code that it is about, if one is known.
        about: what differs, without how: the same words whenever the same fault shows.
    """

    verdict: Verdict
    cause: Cause = Cause.NONE
    reason: str = ""
    source: str = ""
    about: str = ""

    @property
    def place(self) -> str:
        """What tells this fault from others of its kind."""
        return self.source or self.about or self.reason.partition("\n")[0]


def judge(
    calm: Observed,
    end: Observed,
    *,
    crashes: int = 0,
    once: Collection[str] = (),
    fresh: bool = False,
) -> Judgement:
    """Hold a run against the run without crashes.

    Args:
        calm: the run without crashes.
        end: the run in question.
        crashes: how many crashes it was to have.
        once: names of calls that are never to be repeated, whatever their key.
        fresh: local readings that were made again gave new values: then only what the outside has seen under
            one key is compared, not results and state.
    """
    parked = _parked(end)
    compared = not fresh and parked is None
    checks: tuple[Judgement | None, ...] = (
        _unjournaled(calm, end),
        _same_request(end),
        _stopped(end),
        _effects(calm, end) if compared else None,
        _counts(calm, end, once),
        parked,
        _outcomes(calm, end) if compared else None,
        _states(calm, end) if compared else None,
    )
    for check in checks:
        if check is not None:
            return check
    if end.crashes < crashes:
        return Judgement(Verdict.UNREACHED)
    return _allowed(calm, end)


# --- the checks, in the order in which they speak ---------------------------------------------------


def _unjournaled(calm: Observed, end: Observed) -> Judgement | None:
    before, now = Counter(calm.unjournaled), Counter(end.unjournaled)
    for effect, times in now.items():
        if times > before[effect]:
            reason = (
                f"{effect.event} {effect.details} was done {_times(times)}, without crashes"
                f" {_times(before[effect])}, and in no durable call"
            )
            return Judgement(Verdict.REPEATED, Cause.UNJOURNALED, reason, effect.source)
    return None


def _same_request(end: Observed) -> Judgement | None:
    """Under one idempotency key the outside must always see the same request."""
    seen: dict[tuple[str, str], Performance] = {}
    for effect in end.performed:
        if not effect.is_write:
            continue
        first = seen.setdefault((effect.agent, effect.key), effect)
        if first.name == effect.name and first.request != effect.request:
            difference = first_difference(decoded(first.request), decoded(effect.request))
            reason = (
                f"{effect.name} was sent twice under one idempotency key, with different requests:"
                f" first {value_text(first.request)}, then {value_text(effect.request)} ({difference})"
            )
            return Judgement(Verdict.REPEATED, Cause.OTHER_REQUEST, reason, effect.source)
    return None


def _stopped(end: Observed) -> Judgement | None:
    for failure in end.failures:
        if failure.error_type == "DivergenceError":
            place = _site_in(failure.text)
            return Judgement(Verdict.DIVERGED, Cause.DIVERGENCE, failure.text, place)
        if failure.error_type != "UnknownOutcomeError":
            reason = f"{failure.agent} stopped: {failure.text}"
            return Judgement(Verdict.LOST, Cause.STOPPED, reason, about=failure.agent)
    if end.unfinished:
        return Judgement(Verdict.LOST, Cause.NO_END, end.unfinished, about="the end")
    return None


def _parked(end: Observed) -> Judgement | None:
    return next((Judgement(Verdict.PARKED, Cause.NONE, f.text) for f in end.failures), None)


def _effects(calm: Observed, end: Observed) -> Judgement | None:
    before, now = _remote(calm), _remote(end)
    extra = [effect for effect in now if effect not in before]
    missing = [effect for effect in before if effect not in now and not effect.withdrawn]
    for effect in extra:
        twin = next((e for e in before if _is_twin(e, effect)), None)
        if twin is not None and twin in now and effect.is_write:
            reason = (
                f"{effect} was made again under another idempotency key ({effect.key} after {twin.key}):"
                " to the outside these are two effects"
            )
            return Judgement(Verdict.REPEATED, Cause.OTHER_KEY, reason, effect.source)
    if extra:
        instead = next(
            (e for e in before if e.key == extra[0].key), missing[0] if missing else None
        )
        made = (
            f"; without crashes it made {instead} there"
            if instead
            else ", which it did not without crashes"
        )
        reason = f"the agent made the call {extra[0]}{made}"
        return Judgement(Verdict.DIVERGED, Cause.OTHER_CALLS, reason, extra[0].source)
    if missing:
        verdict = Verdict.LOST if any(e.is_write for e in missing) else Verdict.DIVERGED
        effect = next((e for e in missing if e.is_write), missing[0])
        reason = f"the call {effect} was never made"
        return Judgement(verdict, Cause.MISSING, reason, effect.source)
    return None


def _counts(calm: Observed, end: Observed, once: Collection[str]) -> Judgement | None:
    before, now = _performances(calm), _performances(end)
    for call, effects in now.items():
        effect, times, calmly = effects[0], len(effects), max(len(before.get(call, ())), 1)
        if times > calmly and effect.name in once:
            reason = (
                f"{effect} was performed {_times(times)}, and must not be repeated, as you said"
            )
            return Judgement(Verdict.REPEATED, Cause.ONCE, reason, effect.source)
        allowed = calmly if effect.announced and effect.is_write else calmly * (1 + end.crashes)
        if times > allowed:
            reason = f"{effect} was performed {_times(times)}; {_times(allowed)} at most is promised (P3)"
            return Judgement(Verdict.REPEATED, Cause.TOO_OFTEN, reason, effect.source)
    return None


def _outcomes(calm: Observed, end: Observed) -> Judgement | None:
    for number, before in enumerate(calm.outcomes):
        if number >= len(end.outcomes):
            reason = f"call {number + 1} from outside has no result"
            return Judgement(Verdict.LOST, Cause.NO_END, reason, about="the end")
        now = end.outcomes[number]
        if not _equal(before, now):
            reason = (
                f"the result of call {number + 1} from outside is {_told(now)},"
                f" without crashes {_told(before)}"
            )
            about = f"the result of call {number + 1}"
            return Judgement(Verdict.DIVERGED, Cause.OTHER_RESULT, reason, about=about)
    return None


def _states(calm: Observed, end: Observed) -> Judgement | None:
    for agent, before in calm.states.items():
        now = end.states.get(agent)
        if now is None:
            return Judgement(Verdict.LOST, Cause.MISSING, f"the agent {agent} is missing")
        for name in [*before, *(n for n in now if n not in before)]:
            if before.get(name) != now.get(name):
                reason = (
                    f"the state of {agent} differs: {name} is {_attribute(now, name)},"
                    f" without crashes {_attribute(before, name)}"
                )
                about = f"{name} of {agent}"
                return Judgement(Verdict.DIVERGED, Cause.OTHER_STATE, reason, about=about)
    return None


def _allowed(calm: Observed, end: Observed) -> Judgement:
    before = _performances(calm)
    for call, effects in _performances(end).items():
        effect, times = effects[0], len(effects)
        if effect.is_write and times > max(len(before.get(call, ())), 1):
            reason = f"{effect} was performed {_times(times)} under one idempotency key"
            return Judgement(Verdict.AGAIN, Cause.NONE, reason, effect.source)
    return Judgement(Verdict.SAME)


# --- common -----------------------------------------------------------------------------------------


def _remote(end: Observed) -> dict[Performance, None]:
    """Every remote call once, in the order of their first performances."""
    return dict.fromkeys(effect for effect in end.performed if effect.is_remote)


def _performances(end: Observed) -> dict[tuple[str, str, str], list[Performance]]:
    """The performances of each remote call, by agent, name and idempotency key."""
    found: dict[tuple[str, str, str], list[Performance]] = {}
    for effect in end.performed:
        if effect.is_remote:
            found.setdefault((effect.agent, effect.name, effect.key), []).append(effect)
    return found


def _is_twin(one: Performance, other: Performance) -> bool:
    return (one.agent, one.name, one.request) == (other.agent, other.name, other.request)


def _equal(one: Outcome, other: Outcome) -> bool:
    if one == other:
        return True
    if one.kind != other.kind:
        return False
    first, second = decoded(one.data), decoded(other.data)
    if isinstance(first, BaseException):  # not where it rose
        return type(first) is type(second) and str(first) == str(second)
    if one.kind == "error" and isinstance(first, Stored) and isinstance(second, Stored):
        return str(first) == str(second)
    return type(first) is type(second) and first == second


def _told(outcome: Outcome) -> str:
    return ("" if outcome.kind == "value" else "raised ") + value_text(outcome.data)


def _attribute(state: Mapping[str, bytes], name: str) -> str:
    return value_text(state[name]) if name in state else "missing"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _site_in(text: str) -> str:
    """The attempted call's place, as a `DivergenceError` tells it."""
    line = next((line for line in text.splitlines() if "attempted:" in line), "")
    return line.rpartition(" at ")[2] if " at " in line else ""

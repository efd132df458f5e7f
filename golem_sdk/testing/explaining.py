"""What a fault means and how to mend it, for somebody who sees one for the first time. Pure functions."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from golem_sdk.testing.schedules import Moment, Row
from golem_sdk.testing.verdicts import Cause, Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.testing.crews import Task

__all__ = ["Restart", "explain", "schedule_words"]

_MOMENT_WORDS = {
    Moment.EFFECT: "just before the effect of entry {index} happens",
    Moment.BEFORE: "after the effect of entry {index} has happened, before the entry is appended",
    Moment.LOST: "after entry {index} is appended, before it is on disk",
    Moment.DURABLE: "after entry {index} is on disk",
}


class Restart(Enum):
    """What happens if the crashed agent is taken up by a new process with the same hash seed."""

    SAME = "there all is the same"
    DIFFERS = "there it differs, too"
    UNKNOWN = "not tried"


def schedule_words(task: Task, rows: Sequence[Row]) -> list[str]:
    """A task in words: when the process dies, a line per crash."""
    if not task.schedule:
        return ["a second run in the same process, without any crash"]
    lines = []
    for number, point in enumerate(task.schedule):
        who = "the process" if number == 0 else "the recovery"
        words = _MOMENT_WORDS[point.moment].format(index=point.index)
        row = next(
            (r for r in rows if (point.agent or rows[0].agent, point.index) == (r.agent, r.index)),
            None,
        )
        entry = "" if row is None else f" ({row.kind} {row.text})".replace(" )", ")")
        agent = f" of {point.agent}" if point.agent else ""
        lines.append(f"{who} dies {words}{agent}{entry}")
    if task.hash_seed is not None and task.hash_seed >= 0:
        lines.append(f"a new process with PYTHONHASHSEED={task.hash_seed} takes it up")
    if task.fresh:
        lines.append("clocks and random numbers that are read again give new values")
    return lines


def explain(
    judgement: Judgement, task: Task, restart: Restart = Restart.UNKNOWN, *, alone: bool = False
) -> list[str]:
    """Why it happens and what to do, in a few lines.

    Args:
        judgement: what was found.
        task: with which crashes.
        restart: what a new process does with the same crash.
        alone: the very same happens without any crash, in a second run in the same process.
    """
    match judgement.cause:
        case Cause.UNJOURNALED:
            return _UNJOURNALED
        case Cause.OTHER_REQUEST if task.fresh:  # else what is drawn anew is the same again
            return _OTHER_REQUEST
        case Cause.OTHER_KEY:
            return _OTHER_KEY
        case Cause.ONCE:
            return _ONCE
        case Cause.TOO_OFTEN:
            return _TOO_OFTEN
        case Cause.NO_END:
            return _NO_END
        case Cause.STOPPED:
            return ["mend: what it says above is what the agent would say in production"]
        case Cause.NONE:
            return []
    if task.hash_seed is not None and task.hash_seed >= 0 and restart is not Restart.DIFFERS:
        return _HASH_ORDER
    if restart is Restart.SAME:  # only the process is another one
        return _process_memory(alone)
    return [*_GENERAL[:1], _ALONE, *_GENERAL[1:]] if alone else _GENERAL


_UNJOURNALED = [
    "why: nothing intercepts this. When the agent is brought back after a crash (or unloaded and "
    "loaded), its code runs again to find its way, and this is done again each time.",
    "mend: put it into a function with @durable and call that: it is then done once, recorded, "
    "and not done again in replay. If it does not matter how often it is done, allow it by the "
    "name of its event.",
]
_OTHER_REQUEST = [
    "why: what runs inside atomically() runs again as a whole after a crash. The call has the "
    "same idempotency key then, but something that it is made of (a uuid, a random number, the "
    "time) was drawn anew inside the region, so the other side gets two different requests and "
    "cannot know that they are one.",
    "mend: draw it before the region, where it is recorded once, and use it inside.",
]
_OTHER_KEY = [
    "why: the agent came to the call on another way than before, so the call is another one (its "
    "key is derived from the invocation and from how many calls were made before).",
    "mend: make sure that the agent's calls and their order depend only on its arguments, its "
    "state and the results of its calls.",
]
_ONCE = [
    "why: the process died between doing it and noting that it was done, so it is done again: at "
    "least once is all that can be promised for a remote write, and this one must not be "
    "repeated.",
    "mend: let the other side recognise the repeat (send generate_idempotency_key() with it); or "
    "make it under idempotence_mode(False), which stops the agent instead and asks; or as a "
    "database @transaction.",
]
_TOO_OFTEN = [
    "why: this breaks promise P3 of golem_sdk, whatever the agent does.",
    "mend: please report it, with the command that reproduces it.",
]
_NO_END = [
    "why: after the crash the agent waits for something that does not come, or loops.",
    "mend: look for a loop or a wait that ends by something that is not recorded (a global, a "
    "thread, a file).",
]
_HASH_ORDER = [
    "why: only a process with another PYTHONHASHSEED does it: the order of a set, or a value of "
    "hash(), decides the order or the arguments of calls, or the result. Every new process has "
    "another seed unless it is fixed.",
    "mend: iterate over sorted(the_set), or use a list or a dict, and hashlib in place of hash().",
]
_ALONE = (
    "hint: a second run in the same process shows it without any crash: most likely the process "
    "remembers something (a cache, a global), or something was read past the recording (the "
    "environment, a file)."
)
_GENERAL = [
    "why: the code is given the recorded results of its calls, and took another path all the "
    "same: something that is not recorded differs. Candidates: a module-level cache or global, an"
    " environment variable, a file that is read directly, id() or the order of a set, the "
    "completion order of plain threads.",
    "mend: pass it to the agent as an argument, or read it in a @durable function, so that replay"
    " sees the same.",
]


def _process_memory(alone: bool) -> list[str]:
    also = " A second run in the same process, without any crash, shows it, too." if alone else ""
    return [
        "why: in a new process all is the same, so it is something that this process remembers: a"
        " module-level cache or global, a class attribute, functools.cache. The first run filled it, and"
        " the replay finds it full and leaves out calls that it made before (or the other way round)."
        f"{also} In production this happens when an agent is unloaded and loaded again, and when another"
        " agent has filled it.",
        "mend: keep it in the agent's own state (self.…, or a local variable), use @durable_cached, or fill "
        "it inside a @durable function, so that every agent makes the same calls whatever the process "
        "has seen.",
    ]

"""What guards' tests in several tasks share: effects in an order of their own, crashes everywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from golem_sdk import durable
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.testing.driver import End

SENT: list[Any] = []
RUNS: Counter[str] = Counter()
LIFE = [0]


def begin() -> None:
    SENT.clear()
    RUNS.clear()
    LIFE[0] = 0


def next_life(crashes: int) -> None:
    LIFE[0] = crashes


@durable
async def send(what: str, turns: int = 0) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    SENT.append(what)
    return what


@durable
async def fails_first(what: str, turns: int = 0) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    RUNS[what] += 1
    if RUNS[what] == 1:
        raise ValueError(f"{what} is down")
    SENT.append(what)
    return what


def crashed_everywhere(target: Any, *, result: object = "ok") -> Iterator[str]:
    """The ends of a run without a crash and of those with one, all of which give ``result``."""
    whole = ended(drive([Step(target, ("x",))], suspend_after_s=1e9), result)
    yield "calm"
    for append in range(1, whole.appends + 1):
        for moment in CrashMoment:
            begin()
            point = CrashPoint(append, moment)
            ended(
                drive([Step(target, ("x",))], [point], suspend_after_s=1e9, on_crash=next_life),
                result,
            )
            yield f"{moment.name} append {append}"


def ended(end: End, result: object) -> End:
    assert end.results == (("result", result),)
    return end


@durable
async def pay(what: str, key: str) -> None:
    SENT.append((what, key))

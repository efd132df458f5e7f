"""Code that is ended from outside is not blamed for the coroutines that it would have awaited later."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import warnings
from typing import TYPE_CHECKING

import pytest

from golem_sdk import agent, durable, get
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable


@durable
async def looked_up(number: int) -> int:
    return number


@agent
class Prompter:
    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, number: int) -> int:
        return number


@agent
async def prompts_early(name: str) -> int:
    early = get(Prompter, name).ask(1)
    first = await looked_up(2)
    random.random()
    return first + await early


@agent
async def prompts_in_a_list(name: str) -> int:
    early = [get(Prompter, name).ask(number) for number in range(2)]
    first = await asyncio.gather(looked_up(2), looked_up(3))
    random.random()
    return sum([*first, *await asyncio.gather(*early)])


@agent
async def prompts_in_a_group(name: str) -> int:
    async def draws() -> float:
        return random.random()

    early = looked_up(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(draws())
    return await early


@pytest.mark.parametrize("target", [prompts_early, prompts_in_a_list, prompts_in_a_group])
@pytest.mark.parametrize("suspend_after_s", [0.0, 1e6], ids=["unloaded", "kept"])
def test_nothing_is_called_never_awaited(
    target: Callable[..., object], suspend_after_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what is kept for the report keeps the coroutines, too
    step = Step(target, ("a",))
    appends = drive([step], suspend_after_s=suspend_after_s).appends
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for append in range(1, appends + 1):
            for moment in CrashMoment:
                drive([step], [CrashPoint(append, moment)], suspend_after_s=suspend_after_s)
        gc.collect()
    assert [str(each.message) for each in warned] == []


@agent
async def forgets_to_await(name: str) -> int:
    looked_up(1)  # type: ignore[unused-coroutine]  # that is the point
    return await looked_up(2)


def test_what_agent_code_itself_forgets_is_still_told() -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        drive([Step(forgets_to_await, ("a",))])
    assert any("was never awaited" in str(each.message) for each in warned)

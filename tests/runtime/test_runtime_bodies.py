"""What the body of a function decorated with @durable has used is told when it is over."""

from __future__ import annotations

import asyncio
from contextvars import copy_context

import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.errors import NotDurableError
from golem_sdk.runtime.context import BODY, Body


class Used:
    """Told the errors of the bodies that have used it; finds wrong what it is made to."""

    def __init__(self, wrong: Exception | None = None) -> None:
        self.wrong = wrong
        self.told: list[str] = []

    def body_over(self, error: BaseException | None) -> Exception | None:
        self.told.append(repr(error))
        return self.wrong


USED: list[Used] = []


def use(number: int) -> None:
    body = BODY.get()
    assert body is not None
    assert not body.is_over
    body.visit(USED[number])


@durable
def uses(number: int, *, fails: bool = False) -> str:
    use(number)
    assert USED[number].told == [], "it is not over"
    if fails:
        raise ValueError(number)
    return "used"


@durable
async def uses_async(number: int) -> str:
    use(number)
    await asyncio.sleep(0)
    return f"used with {len(BODY.get().visited)}"  # type: ignore[union-attr]  # use() has asked


@agent
def visiting() -> list[str]:
    said = [uses(0)]
    for number, fails in ((1, True), (2, False)):
        try:
            said.append(uses(number, fails=fails))
        except (ValueError, NotDurableError) as error:
            said.append(repr(error))
    assert BODY.get() is None
    return said


@agent
async def visiting_at_once() -> list[str]:
    return [*await asyncio.gather(uses_async(0), uses_async(1))]


@pytest.fixture(autouse=True)
def _three() -> None:
    USED[:] = [Used(), Used(), Used(NotDurableError("left open"))]


def test_what_a_body_has_used_is_told_that_it_is_over() -> None:
    with Runtime.memory() as runtime:
        said = runtime.run(visiting)
    assert said == ["used", "ValueError(1)", "NotDurableError('left open')"]
    assert [used.told for used in USED] == [["None"], ["ValueError(1)"], ["None"]]


def test_each_of_several_at_once_has_its_own() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(visiting_at_once) == ["used with 1"] * 2
    assert [used.told for used in USED] == [["None"], ["None"], []]


def test_a_task_that_a_body_has_left_behind_is_not_it() -> None:
    with Body():
        left_behind = copy_context()
        body = BODY.get()
    assert body is not None
    assert left_behind.run(BODY.get) is body
    assert body.is_over

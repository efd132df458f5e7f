"""A function agent that has run leaves nothing to the garbage collector, unless somebody may use it still."""

from __future__ import annotations

import asyncio
import gc
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, atomically, durable
from golem_sdk.core.ids import storage_key
from golem_sdk.durability import current
from golem_sdk.errors import AgentFencedSignal, UsageError
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT: list[Any] = []


@durable
def step_before_the_end(number: int) -> int:
    return number


def with_all_parts() -> object:
    session: Any = current()
    made = [session.custom, session.crowd, session.operations, session.unrecorded]
    assert {*map(id, made)} == {*map(id, session.made())}
    return [type(part) for part in (session, session.pump, session.operations.writes, *made)]


def living(kinds: list[type]) -> int:
    return sum(type(each) in kinds for each in gc.get_objects())


@agent
def dissolved(ending: str) -> int:
    KEPT.append(WAYS[ending]())
    with atomically():
        step_before_the_end(1)
    return step_before_the_end(2)


WAYS: dict[str, Callable[[], object]] = {
    "returns": with_all_parts,
    "again": with_all_parts,
    "keeps": current,
    "copies": copy_context,
}


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def run(engine: MemoryEngine) -> Iterator[Callable[[str], Any]]:
    """What the agent kept, after it has run and nothing was collected."""
    environment = VirtualEnvironment()

    def quietly(ending: str) -> Any:
        runtime.trigger(dissolved, ending)
        environment.leave()
        environment.join(60)
        environment.enter()
        return KEPT[-1]

    KEPT.clear()
    environment.enter()
    with Runtime.over(engine, environment, Settings(write_behind_s=None)) as runtime:
        gc.disable()
        try:
            yield quietly
        finally:
            gc.enable()
    KEPT.clear()


def test_the_session_of_an_agent_that_has_run_is_gone_without_the_collector(
    run: Callable[[str], Any],
) -> None:
    kinds = run("returns")
    gc.collect()
    before = living(kinds)
    run("again")
    assert living(kinds) == before


def test_a_session_that_somebody_keeps_is_left_whole(run: Callable[[str], Any]) -> None:
    session = run("keeps")
    assert session.ended is None
    assert session.pump.loop is None
    assert session.operations.session is session


def in_a_region() -> None:
    with atomically():
        pass


@pytest.mark.parametrize("use", [lambda: step_before_the_end(3), in_a_region])
def test_a_copied_context_makes_no_more_calls_of_an_agent_that_has_run(
    run: Callable[[str], Any], engine: MemoryEngine, use: Callable[[], object]
) -> None:
    context: Context = run("copies")
    key = storage_key('dissolved("copies")')
    recorded = list(read_entries(engine, key))
    with pytest.raises(AgentFencedSignal) as caught:
        context.run(use)
    assert isinstance(caught.value.reason, UsageError)
    assert "has run to its end" in str(caught.value.reason)
    assert list(read_entries(engine, key)) == recorded


@agent
async def sleeps_in_memory(number: int) -> None:
    await asyncio.sleep(86_400)


def test_one_that_sleeps_in_memory_is_made_of_little() -> None:
    """With all its code, and with what asyncio has for it: of that there may be many."""
    environment, patient = VirtualEnvironment(), Settings(suspend_after_s=1e6, write_behind_s=None)

    def tracked(runtime: Runtime, numbers: range) -> int:
        for number in numbers:
            runtime.trigger(sleeps_in_memory, number)
        environment.join(60)
        agents = [runtime._kernel.actor("", f"sleeps_in_memory({number})") for number in numbers]
        assert all(agent.session is not None for agent in agents)
        gc.collect()
        return len(gc.get_objects())

    environment.enter()
    with Runtime.over(MemoryEngine(), environment, patient) as runtime:
        warm = tracked(runtime, range(20))
        assert (tracked(runtime, range(20, 40)) - warm) / 20 < 50

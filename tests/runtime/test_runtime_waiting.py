"""Who waits for an invocation is told when it is over, whatever became of others who wait for it."""

from __future__ import annotations

import asyncio
from threading import TIMEOUT_MAX, Event
from typing import TYPE_CHECKING

import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.runtime import completion as completions
from golem_sdk.runtime.completion import Completion, forget
from golem_sdk.stores.invocations import InvocationStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.runtime.handles import InvocationHandle

GATE = Event()


@durable
def gate() -> None:
    GATE.wait(30)


@agent
class AwaitedFromOutside:
    def __init__(self, name: str) -> None:
        self.done = 0

    def work(self) -> int:
        gate()
        self.done += 1
        return self.done


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    GATE.clear()
    with Runtime.memory() as opened:
        yield opened
        GATE.set()


def completion() -> Completion:
    return Completion("agent", "key", InvocationStatus.RUNNING)


def callbacks(runtime: Runtime, handle: InvocationHandle[int]) -> int:
    actor = runtime._kernel.actor("AwaitedFromOutside", handle.agent_id)
    return len(actor.completions[handle.key]._others)


def test_a_caller_who_gave_up_is_forgotten(runtime: Runtime) -> None:
    handle = runtime.trigger(runtime.get(AwaitedFromOutside, "a").work, key="k")

    async def give_up() -> None:
        async def wait() -> int:
            return await handle

        waiting = asyncio.create_task(wait())
        while not callbacks(runtime, handle):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(give_up())
    assert callbacks(runtime, handle) == 0
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    assert callbacks(runtime, handle) == 0


def test_a_caller_whose_loop_has_ended_stops_nobody(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    handle = runtime.trigger(runtime.get(AwaitedFromOutside, "b").work, key="k")

    async def wait() -> int:
        return await handle

    loop = asyncio.new_event_loop()
    waiting = loop.create_task(wait())
    while not callbacks(runtime, handle):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    GATE.set()
    assert handle.result(timeout=30) == 1
    assert runtime.trigger(runtime.get(AwaitedFromOutside, "b").work).result(timeout=30) == 2
    assert caplog.text == ""
    waiting.get_coro().close()
    loop.call_exception_handler = lambda context: None  # type: ignore[method-assign]  # the task was lost on purpose


def test_one_who_fails_robs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    def fail(*_: object) -> None:
        raise RuntimeError("a listener's own fault")

    awaited = completion()
    for listener in (fail, lambda *outcome: told.append(outcome)):
        awaited.listen(listener)
    for callback in (fail, lambda: told.append("over")):
        awaited.when_done(callback)
    awaited.settle(b"7", False, InvocationStatus.COMPLETED)
    awaited.publish()
    assert told == [(b"7", False), "over"]
    assert caplog.text.count("RuntimeError: a listener's own fault") == 2
    assert {record.name for record in caplog.records} == {"golem_sdk"}


@pytest.mark.parametrize("who", ["an agent", "a caller"])
def test_what_somebody_waits_for_is_not_forgotten(who: str) -> None:
    told: list[object] = []
    kept = {"key": completion()}
    if who == "an agent":
        kept["key"].listen(lambda *outcome: told.append(outcome))
    else:
        kept["key"].when_done(lambda: told.append("over"))
    assert not forget(kept, "key")
    kept["key"].settle(b"7", False, InvocationStatus.COMPLETED)
    kept["key"].publish()
    assert told == [(b"7", False) if who == "an agent" else "over"]
    assert forget(kept, "key")
    assert kept == {}


def test_after_an_interrupt_the_others_are_told() -> None:
    told: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    awaited = completion()
    for callback in (interrupted, lambda: told.append("over")):
        awaited.when_done(callback)
    awaited.settle(b"7", False, InvocationStatus.COMPLETED)
    with pytest.raises(KeyboardInterrupt):
        awaited.publish()
    awaited.publish()
    assert told == ["over"]


@pytest.mark.parametrize(
    ("timeout_s", "waited"),
    [(None, -1), (2.5, 2.5), (0, 0), (-3.0, 0), (1e300, TIMEOUT_MAX)],
    ids=["for-ever", "a-while", "not", "negative", "too-long"],
)
def test_how_long_a_caller_waits(
    timeout_s: float | None, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Watch:
        def acquire(self, timeout: float = -1) -> bool:
            asked.append(timeout)
            return True

        def release(self) -> None:
            pass

    awaited = completion()
    monkeypatch.setattr(completions, "Lock", Watch)
    with pytest.raises(TimeoutError, match="invocation key of agent is not finished after"):
        awaited.outcome(timeout_s)
    assert asked[1:] == [waited]

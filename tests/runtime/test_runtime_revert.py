"""An operator drops the end of an agent's history."""

from __future__ import annotations

from collections import Counter
from threading import Event
from typing import TYPE_CHECKING

import pytest

from golem_sdk import (
    Runtime,
    agent,
    atomically,
    durable,
    get,
    get_oplog_index,
    set_oplog_index,
)
from golem_sdk.core.entries import BeginAtomicRegion, ExportedFunctionInvoked
from golem_sdk.core.plan import fold_plan
from golem_sdk.core.status import AgentStatus, fold_status
from golem_sdk.errors import (
    AgentNotFoundError,
    InvocationCancelledError,
    InvocationNotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SENT: Counter[str] = Counter()
GATE = Event()
REACHED = Event()


@durable
def send(what: str) -> str:
    SENT[what] += 1
    return f"{what} {SENT[what]}"


@durable
def blocked(what: str) -> str:
    SENT[what] += 1
    REACHED.set()
    GATE.wait(30)
    return what


@agent
class Till:
    def __init__(self, name: str) -> None:
        self.sent = [send(f"open {name}")]

    def add(self, what: str) -> list[str]:
        self.sent.append(send(what))
        self.sent.append(send(f"{what}, twice"))
        return self.sent

    def together(self, what: str) -> None:
        with atomically():
            send(what)
            self.sent.append(send(what))

    def block(self, what: str) -> str:
        return blocked(what)

    def jump(self) -> int:
        place = get_oplog_index()
        if send("jump") == "jump 1":
            set_oplog_index(place)
        return place

    def look(self) -> list[str]:
        return self.sent


@agent
def caller(name: str) -> str:
    try:
        return get(Till, name).block("asked")
    except InvocationCancelledError:
        return send("gone")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    for event in (GATE, REACHED):
        event.clear()
    SENT.clear()
    with Runtime.memory() as opened:
        yield opened
        GATE.set()


def indices(runtime: Runtime, till: Till, kind: type) -> list[int]:
    return [index for index, entry in runtime.oplog(till) if isinstance(entry, kind)]


def check_store(runtime: Runtime, till: Till) -> None:
    """Plan and status follow from the entries alone (L1, L2, R1, R2, S1)."""
    oplog = list(runtime.oplog(till))
    fold_plan(oplog)
    record = fold_status(oplog)
    metadata = runtime.metadata(till)
    assert metadata.status is record.status


def test_state_and_results_are_as_they_were_before(runtime: Runtime) -> None:
    till = runtime.get(Till, "a")
    runtime.trigger(till.add, "tea", key="1").result()
    runtime.trigger(till.add, "cake", key="2").result()
    assert (
        runtime.revert(till, invocations=1)
        == max(indices(runtime, till, ExportedFunctionInvoked)) - 1
    )
    check_store(runtime, till)
    assert till.look() == ["open a 1", "tea 1", "tea, twice 1"]
    again = runtime.trigger(till.add, "cake", key="2").result()
    assert again[-2:] == ["cake 2", "cake, twice 2"], "the same key runs again"
    assert runtime.trigger(till.add, "?", key="1").result() == ["open a 1", "tea 1", "tea, twice 1"]
    assert SENT["tea"] == 1
    check_store(runtime, till)


def test_an_invocation_goes_on_from_its_middle(runtime: Runtime) -> None:
    till = runtime.get(Till, "b")
    runtime.trigger(till.add, "tea", key="1").result()
    runtime.trigger(till.add, "cake", key="2").result()
    runtime.revert(till, to_index=indices(runtime, till, ExportedFunctionInvoked)[1] + 2)
    assert runtime.trigger(till.add, "?", key="1").result()[1:] == ["tea 1", "tea, twice 2"]
    assert runtime.trigger(till.add, "cake", key="2").result()[3:] == ["cake 2", "cake, twice 2"]
    check_store(runtime, till)


def test_an_older_one_goes_on_after_a_second_revert(runtime: Runtime) -> None:
    till = runtime.get(Till, "i")
    runtime.trigger(till.add, "tea", key="1").result()
    GATE.set()
    runtime.trigger(till.block, "block", key="2").result()
    older, newer = indices(runtime, till, ExportedFunctionInvoked)[1:3]
    GATE.clear()
    REACHED.clear()
    runtime.revert(till, to_index=newer)
    assert REACHED.wait(30), "the newer one runs again, from the first place of the queue"
    runtime.revert(till, to_index=older + 2)
    assert runtime.trigger(till.add, "?", key="1").result(timeout=60)[1:] == [
        "tea 1",
        "tea, twice 2",
    ]
    check_store(runtime, till)


def test_the_one_that_runs_is_dropped_when_an_older_one_goes_on(runtime: Runtime) -> None:
    till = runtime.get(Till, "j")
    runtime.trigger(till.add, "tea", key="1").result()
    running = runtime.trigger(till.block, "block", key="2")
    assert REACHED.wait(30)
    runtime.revert(till, to_index=indices(runtime, till, ExportedFunctionInvoked)[1] + 2)
    again = runtime.trigger(till.add, "?", key="1")
    assert again.result(timeout=60)[1:] == ["tea 1", "tea, twice 2"]
    GATE.set()
    assert till.look()[1:] == ["tea 1", "tea, twice 2"], "nothing else has run in between"
    with pytest.raises(InvocationNotFoundError):
        running.status()
    check_store(runtime, till)


def test_back_to_the_creation(runtime: Runtime) -> None:
    till = runtime.get(Till, "c")
    till.add("tea")
    assert runtime.revert('Till("c")', to_index=1) == 1
    assert runtime.metadata(till).status is AgentStatus.IDLE
    assert till.look() == ["open c 2"], "its constructor runs again"


def test_one_that_runs_is_interrupted_and_what_waits_goes_on(runtime: Runtime) -> None:
    till = runtime.get(Till, "d")
    till.add("tea")
    running = runtime.trigger(till.block, "block", key="running")
    assert REACHED.wait(30)
    waiting = runtime.trigger(till.add, "cake", key="waiting")
    waited_for = runtime._kernel.actor("Till", running.agent_id).completions["running"]
    runtime.revert(till, invocations=1)
    with pytest.raises(InvocationCancelledError, match="has reverted the agent"):
        waited_for.outcome()
    with pytest.raises(InvocationNotFoundError):
        running.result()
    assert waiting.result()[3:] == ["cake 1", "cake, twice 1"]
    GATE.set()
    assert till.look()[3:] == ["cake 1", "cake, twice 1"], (
        "the interrupted call notes nothing any more"
    )
    assert SENT["block"] == 1
    check_store(runtime, till)


def test_an_agent_that_waits_learns_it(runtime: Runtime) -> None:
    waits = runtime.trigger(caller, "h")
    assert REACHED.wait(30)
    runtime.revert('Till("h")', invocations=1)
    assert waits.result() == "gone 1"


def test_a_target_that_is_refused_interrupts_nothing_for_good(runtime: Runtime) -> None:
    till = runtime.get(Till, "e")
    running = runtime.trigger(till.block, "block", key="running")
    assert REACHED.wait(30)
    GATE.set()
    ending = runtime._kernel.actor("Till", running.agent_id).completions["running"]
    with pytest.raises(UsageError, match="cannot drop 9 invocations: the agent has begun 1"):
        runtime.revert(till, invocations=9)
    ending.outcome(timeout_s=60)  # without anybody asking for it anew
    assert running.result() == "block"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"to_index": 0}, "must be one of 1 to"),
        ({"to_index": -3}, "must be one of 1 to"),
        ({"to_index": 10_000}, "must be one of 1 to"),
        ({"invocations": 0}, "a number from 1"),
        ({"invocations": 3}, "has begun 2"),
        ({}, "either to_index or invocations"),
        ({"to_index": 1, "invocations": 1}, "either to_index or invocations"),
    ],
    ids=["zero", "negative", "ahead", "none", "too-many", "nothing", "both"],
)
def test_what_cannot_be_reverted_to(runtime: Runtime, asked: dict[str, int], says: str) -> None:
    till = runtime.get(Till, "f")
    till.add("tea")
    till.look()
    before = list(runtime.oplog(till))
    with pytest.raises(UsageError, match=says):
        runtime.revert(till, **asked)
    assert list(runtime.oplog(till)) == before
    assert till.look()[1:] == ["tea 1", "tea, twice 1"]


def test_not_into_a_region_nor_to_what_was_dropped(runtime: Runtime) -> None:
    till = runtime.get(Till, "g")
    till.together("tea")
    place = till.jump()
    begin = indices(runtime, till, BeginAtomicRegion)[0]
    with pytest.raises(UsageError, match=f"inside the atomic region that began at {begin}"):
        runtime.revert(till, to_index=begin + 1)
    with pytest.raises(UsageError, match="has dropped it"):
        runtime.revert(till, to_index=place + 1)
    runtime.revert(till, to_index=begin - 1)
    with pytest.raises(UsageError, match="has dropped it"):
        runtime.revert(till, to_index=begin)
    till.look()  # behind the one that goes on
    check_store(runtime, till)


def test_unknown_agent(runtime: Runtime) -> None:
    with pytest.raises(AgentNotFoundError):
        runtime.revert('Till("nobody")', invocations=1)

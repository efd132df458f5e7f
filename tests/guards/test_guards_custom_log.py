"""What is recorded of durable functions made from parts, when, and what is refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import FunctionType, Runtime, agent, durable, idempotence_mode, oplog_commit
from golem_sdk.core.entries import (
    BeginRemoteWrite,
    EndAtomicRegion,
    EndRemoteWrite,
    ImportedFunctionInvoked,
    Suspend,
)
from golem_sdk.durability import (
    begin_durable_function,
    current,
    end_durable_function,
    is_live,
    persist_durable_function_invocation,
    read_persisted_durable_function_invocation,
    upcoming_idempotency_key,
)
from golem_sdk.errors import AgentFailedError, EncodingError, UsageError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE, BATCH = (
    FunctionType.READ_REMOTE,
    FunctionType.WRITE_REMOTE,
    FunctionType.WRITE_REMOTE_BATCHED,
)
DONE: list[Any] = []
LIFE = [0]
ENGINES: list[MemoryEngine] = []


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    DONE.clear()
    ENGINES.clear()
    LIFE[0] = 0


@durable
def send(what: str) -> str:
    DONE.append(what)
    return what


def keep(what: str) -> str:
    """One part, kept without a begin of its own."""
    if is_live():
        DONE.append(what)
        persist_durable_function_invocation("kept", [what], f"{what} made", WRITE)
        return f"{what} made"
    return str(read_persisted_durable_function_invocation().response)


def made_once(*parts: str) -> list[str]:
    function_type = WRITE if len(parts) == 1 else BATCH
    with idempotence_mode(False):
        begin = begin_durable_function(function_type)
        kept = [keep(part) for part in parts]
        end_durable_function(function_type, begin)
    return kept


def log(end: End) -> list[tuple[int, Any]]:
    (oplog,) = end.oplogs.values()
    kinds = (BeginRemoteWrite, EndRemoteWrite, EndAtomicRegion, ImportedFunctionInvoked)
    return [(index, entry) for index, entry in oplog if isinstance(entry, kinds)]


@agent
def keeps_once(name: str) -> list[str]:
    return [*made_once("cup"), send("after")]


@agent
def keeps_a_batch_once(name: str) -> list[str]:
    return [*made_once("cup", "plate"), send("after")]


@pytest.mark.parametrize("target", [keeps_once, keeps_a_batch_once])
def test_an_announced_write_ends_once_and_is_known_from_then_on(target: Any) -> None:
    calm = drive([Step(target, ("x",))])
    (begin, first), *parts, (ended, end), (sent, after) = log(calm)
    assert isinstance(first, BeginRemoteWrite)
    kind = "custom" if target is keeps_once else "batch"
    assert first.function_name == f"golem:durability/{kind}", "other versions look for it"
    assert parts[0][1].fingerprint == 1253433917, "as other versions made it"
    assert {type(entry) for _, entry in parts} == {ImportedFunctionInvoked}
    assert isinstance(end, EndRemoteWrite)
    assert end.begin == begin
    assert isinstance(after, ImportedFunctionInvoked)
    crashed = drive([Step(target, ("x",))], [CrashPoint(begin, CrashMoment.DURABLE)])
    assert crashed.results[0][:2] == ("error", "UnknownOutcomeError")
    for at in range(ended, sent + 1):
        crashed = drive([Step(target, ("x",))], [CrashPoint(at, CrashMoment.DURABLE)])
        assert crashed.results == calm.results


@agent
def keeps_without_a_begin(name: str) -> list[str]:
    return [keep("cup"), keep("plate"), send("after")]


@agent
def keeps_a_batch(name: str) -> list[str]:
    begin = begin_durable_function(BATCH)
    kept = [keep("cup"), keep("plate")]
    end_durable_function(BATCH, begin)
    return [*kept, send("after")]


@pytest.mark.parametrize("target", [keeps_without_a_begin, keeps_a_batch])
def test_parts_need_no_begin_of_their_own(target: Any) -> None:
    calm = drive([Step(target, ("x",))])
    kinds = [type(entry) for _, entry in log(calm)]
    ends = [EndAtomicRegion] if target is keeps_a_batch else []
    assert kinds == [*2 * [ImportedFunctionInvoked], *ends, ImportedFunctionInvoked]
    for append in range(1, calm.appends + 1):
        crashed = drive([Step(target, ("x",))], [CrashPoint(append, CrashMoment.DURABLE)])
        assert crashed.results == calm.results


def function(what: str, function_type: FunctionType = WRITE, *, forced_commit: bool = False) -> str:
    begin = begin_durable_function(function_type)
    made = keep(what)
    end_durable_function(function_type, begin, forced_commit=forced_commit)
    return made


@agent
def keeps_and_derives(name: str) -> list[str]:
    session = current()
    assert session is not None
    keys = [str(upcoming_idempotency_key(session))]
    function("cup")
    keys.append(str(upcoming_idempotency_key(session)))
    return [*keys, send("after")]


def test_what_follows_has_the_same_key_in_replay() -> None:
    calm = drive([Step(keeps_and_derives, ("x",))])
    assert len(set(calm.results[0][1])) == 3
    for append in range(1, calm.appends + 1):
        crashed = drive(
            [Step(keeps_and_derives, ("x",))], [CrashPoint(append, CrashMoment.DURABLE)]
        )
        assert crashed.results == calm.results


@agent
async def keeps_in_a_task(name: str) -> str:
    return function("cup")


def test_the_task_is_recorded() -> None:
    ((_, alone),) = log(drive([Step(keeps_without_a_begin, ("x",))]))[:1]
    ((_, in_task),) = log(drive([Step(keeps_in_a_task, ("x",))]))
    assert (alone.task, in_task.task) == (0, 1)


# --- what is on disk ------------------------------------------------------------------------------


def chunks() -> int:
    return len(ENGINES[0].scan(Space.OPLOG, b"", None, limit=1000))


@agent
def commits(name: str) -> None:
    for forced_commit in (False, True):
        before = chunks()
        function("cup", READ, forced_commit=forced_commit)
        DONE.append(chunks() - before)
    begin = begin_durable_function(BATCH)
    keep("part")
    before = chunks()
    end_durable_function(BATCH, begin)
    DONE.append(chunks() - before)


def test_the_end_commits_if_it_is_asked_to_and_that_of_a_batch_always() -> None:
    ENGINES.append(MemoryEngine())
    settings = Settings(write_behind_s=None)
    with Runtime.over(ENGINES[0], VirtualEnvironment(), settings) as runtime:
        runtime.trigger(commits, "x").result(timeout=30)
    assert [each for each in DONE if isinstance(each, int)] == [0, 1, 1]


# --- misuse ---------------------------------------------------------------------------------------


@agent
def keeps_what_cannot_be_kept(name: str) -> str:
    begin = begin_durable_function(WRITE)
    if is_live():
        for request, response in ((object(), None), (None, object())):
            with pytest.raises(EncodingError):
                persist_durable_function_invocation("kept", request, response, WRITE)
    made = keep("instead")
    end_durable_function(WRITE, begin)
    return made + send(" after")


def test_k1_what_cannot_be_stored_is_refused_and_another_thing_can_be_kept() -> None:
    calm = drive([Step(keeps_what_cannot_be_kept, ("x",))])
    assert calm.results[0][:2] == ("result", "instead made after")
    (kept, _), *_ = log(calm)
    point = CrashPoint(kept, CrashMoment.DURABLE)
    assert drive([Step(keeps_what_cannot_be_kept, ("x",))], [point]).results == calm.results


@agent
def asks_the_wrong_way(name: str) -> str:
    found = []

    def refused(act: Callable[[], object]) -> None:
        with pytest.raises(UsageError) as caught:
            act()
        found.append(str(caught.value))

    begin = begin_durable_function(WRITE)
    if is_live():
        refused(read_persisted_durable_function_invocation)
    else:
        refused(lambda: keep_live("cup"))
    keep("cup")
    end_durable_function(WRITE, begin)
    if is_live():
        refused(read_persisted_durable_function_invocation)
    DONE.append(found)
    return send("after")


def keep_live(what: str) -> None:
    persist_durable_function_invocation("kept", [what], what, WRITE)


def test_what_is_for_replay_is_refused_live_and_the_other_way_round() -> None:
    calm = drive([Step(asks_the_wrong_way, ("x",))])
    live = [each for each in DONE if isinstance(each, list)]
    assert [len(each) for each in live] == [2]
    assert all("the agent is live" in text for text in live[0])
    DONE.clear()
    (kept, _), *_ = log(calm)
    points = [CrashPoint(kept, CrashMoment.DURABLE)]
    assert drive([Step(asks_the_wrong_way, ("x",))], points).results == calm.results
    (in_replay,) = [each for each in DONE[-2:] if isinstance(each, list)]
    assert "is for live code" in in_replay[0]


@agent
def leaves_and_cleans_up(name: str) -> None:
    begin = begin_durable_function(WRITE)
    try:
        end_durable_function(WRITE, begin)
    finally:
        send("never")


def test_nothing_is_done_once_the_agent_is_parked() -> None:
    with (
        Runtime.memory() as runtime,
        pytest.raises(AgentFailedError, match="ended without being persisted"),
    ):
        runtime.run(leaves_and_cleans_up, "x")
    assert DONE == []


def close_region(begin: int) -> None:
    session = current()
    assert session is not None
    session.operations.end_region(begin)


ACTS: dict[str, Callable[[], object]] = {
    "begin": lambda: begin_durable_function(READ),
    "persist": lambda: keep_live("cup"),
    "read": read_persisted_durable_function_invocation,
    "end": lambda: end_durable_function(READ, 7),
    "commit": lambda: oplog_commit(1),
    "close": lambda: close_region(99),
    "call": lambda: send("never"),
}


def act_all() -> None:
    for name, act in ACTS.items():
        try:
            act()
        except BaseException as signal:
            DONE.append((name, type(signal).__name__))
        else:
            DONE.append((name, "nothing"))


@agent
def goes_on_after_its_suspension(name: str) -> str:
    try:
        time.sleep(60)
    finally:
        if LIFE[0] == 0:
            LIFE[0] = 1
            act_all()
    return "over"


@agent
def goes_on_after_diverging(name: str) -> str:
    try:
        send(f"life {LIFE[0]}")
        send("after")
    finally:
        if LIFE[0]:
            act_all()
    return "over"


def test_nothing_can_be_done_once_the_agent_is_unloaded() -> None:
    end = drive([Step(goes_on_after_its_suspension, ("x",))])
    assert end.results[0][:2] == ("result", "over")
    (oplog,) = end.oplogs.values()
    assert any(isinstance(entry, Suspend) for _, entry in oplog)
    assert [(name, "AgentSuspendedSignal") for name in ACTS] == DONE


def test_nothing_can_be_done_once_the_agent_has_diverged() -> None:
    ((sent, _), _) = log(drive([Step(goes_on_after_diverging, ("x",))]))
    DONE.clear()
    points = [CrashPoint(sent, CrashMoment.DURABLE)]
    end = drive(
        [Step(goes_on_after_diverging, ("x",))],
        points,
        on_crash=lambda crashes: LIFE.__setitem__(0, crashes),
    )
    assert end.results[0][:2] == ("error", "DivergenceError")
    assert [each for each in DONE if isinstance(each, tuple)] == [
        (name, "AgentFencedSignal") for name in ACTS
    ]

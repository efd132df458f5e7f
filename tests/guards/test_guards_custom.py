"""Durable functions made from parts, for library authors (GOLEM.md §2.8)."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    Runtime,
    agent,
    durable,
    idempotence_mode,
    persistence_level,
)
from golem_sdk.core.entries import ExportedFunctionCompleted, ImportedFunctionInvoked, Log
from golem_sdk.durability import (
    begin_durable_function,
    current_durable_execution_state,
    end_durable_function,
    is_live,
    observe_function_call,
    persist_durable_function_invocation,
    read_persisted_durable_function_invocation,
)
from golem_sdk.errors import AgentFailedError, UsageError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

DONE: list[str] = []
WRITE = FunctionType.WRITE_REMOTE


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    DONE.clear()


@durable
def send(what: str) -> str:
    DONE.append(what)
    return what


def custom(what: str, function_type: FunctionType = WRITE) -> str:
    begin = begin_durable_function(function_type)
    if is_live():
        DONE.append(what)
        value = f"{what} made"
        persist_durable_function_invocation("custom", [what], value, function_type)
    else:
        kept = read_persisted_durable_function_invocation()
        assert (kept.function_name, kept.request, kept.failed) == ("custom", [what], False)
        value = kept.response
    end_durable_function(function_type, begin, forced_commit=True)
    return value


@agent
def workshop(name: str) -> list[str]:
    return [send("before"), custom("cup"), custom("plate", FunctionType.READ_REMOTE), send("after")]


@agent
def once_only(name: str) -> str:
    with idempotence_mode(False):
        return custom("cup")


@agent
def bare_zone(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        if is_live():
            send("in the zone")
        value = custom("cup")
    return value + send(" after")


@pytest.mark.parametrize("target", [workshop, bare_zone])
def test_p2_a_crash_anywhere_changes_nothing(target: Any) -> None:
    expected = drive([Step(target, ("x",))])
    for append in range(1, expected.appends + 1):
        for moment in CrashMoment:
            DONE.clear()
            end = drive([Step(target, ("x",))], [CrashPoint(append, moment)])
            assert end.results == expected.results
            assert max(DONE.count(what) for what in DONE) <= 2


def test_idempotence_off_it_is_never_made_twice() -> None:
    appends = drive([Step(once_only, ("x",))]).appends
    outcomes = set()
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            DONE.clear()
            end = drive([Step(once_only, ("x",))], [CrashPoint(append, moment)])
            outcomes.add(end.results[0][:2])
            assert DONE in ([], ["cup"])
    assert outcomes == {("result", "cup made"), ("error", "UnknownOutcomeError")}


def test_a_failure_is_kept_as_such() -> None:
    @agent
    def failing_part(name: str) -> str:
        begin = begin_durable_function(WRITE)
        if is_live():
            persist_durable_function_invocation("custom", None, ValueError("no"), WRITE)
            kept = ValueError("no"), True
        else:
            found = read_persisted_durable_function_invocation()
            kept = found.response, found.failed
        end_durable_function(WRITE, begin)
        send("after")
        return repr(kept)

    for point in ([], [CrashPoint(4, CrashMoment.DURABLE)]):
        assert drive([Step(failing_part, ("x",))], point).results == (
            ("result", "(ValueError('no'), True)"),
        )


def test_an_observed_call_is_a_note() -> None:
    @agent
    def observing(name: str) -> None:
        observe_function_call("my-library", "connect")

    (oplog,) = drive([Step(observing, ("x",))]).oplogs.values()
    (note,) = [entry for _, entry in oplog if isinstance(entry, Log)]
    assert (note.context, note.message) == ("my-library", "connect")


def test_the_state_of_execution() -> None:
    seen: list[Any] = []

    @agent
    def asking(name: str) -> None:
        seen.append(current_durable_execution_state())

    drive([Step(asking, ("x",))])
    assert (seen[0].is_live, seen[0].persistence_level) == (True, PersistenceLevel.SMART)
    outside = current_durable_execution_state()
    assert (outside.is_live, outside.persistence_level) == (True, PersistenceLevel.PERSIST_NOTHING)


def test_misuse_is_explained() -> None:
    @agent
    def confused(name: str) -> list[str]:
        found = []
        outer, inner = begin_durable_function(WRITE), begin_durable_function(WRITE)
        for wrong in (
            lambda: end_durable_function(WRITE, outer),
            lambda: end_durable_function(FunctionType.READ_LOCAL, inner),
            read_persisted_durable_function_invocation,
        ):
            with pytest.raises(UsageError) as caught:
                wrong()
            found.append(str(caught.value))
        end_durable_function(WRITE, inner)
        persist_durable_function_invocation("outer", None, None, WRITE)
        end_durable_function(WRITE, outer)
        with pytest.raises(UsageError, match="ended already"):
            end_durable_function(WRITE, outer)
        return found

    with Runtime.memory() as runtime:
        first, second, third = runtime.run(confused, "x")
    assert "begun last" in first
    assert "begun last" in second
    assert "the agent is live" in third
    with pytest.raises(UsageError, match="inside agents only"):
        begin_durable_function(WRITE)
    observe_function_call("outside", "agents it does nothing")


def measured(what: str) -> list[Any]:
    """A body that makes calls of its own, and uses another library of this kind."""
    begin = begin_durable_function(WRITE)
    if is_live():
        began = time.time()
        time.sleep(0)
        value: Any = [custom(what), send(what), time.time() >= began, random.random() < 1]
        persist_durable_function_invocation("measured", what, value, WRITE)
    else:
        value = read_persisted_durable_function_invocation().response
    end_durable_function(WRITE, begin)
    return list(value)


@agent
def measuring(name: str) -> list[Any]:
    return [measured("cup"), custom("plate"), measured("fork"), send("after")]


@agent
async def measuring_async(name: str) -> list[Any]:
    await asyncio.sleep(1)
    return [measured("cup"), custom("plate"), measured("fork"), send("after")]


@pytest.mark.parametrize("target", [measuring, measuring_async])
def test_p2_a_body_is_one_side_effect(target: Any) -> None:
    expected = drive([Step(target, ("x",))])
    (oplog,) = expected.oplogs.values()
    names = [e.function_name for _, e in oplog if isinstance(e, ImportedFunctionInvoked)]
    assert [name for name in names if "sleep" not in name] == [
        "measured",
        "custom",
        "measured",
        f"{__name__}.send",
    ]
    for append in range(1, expected.appends + 1):
        for moment in CrashMoment:
            end = drive([Step(target, ("x",))], [CrashPoint(append, moment)])
            assert end.results == expected.results


@agent
def leaving(how: str) -> str:
    begin = begin_durable_function(WRITE)
    try:
        if how == "exception":
            raise OSError("no printer")
        if how == "ended":
            end_durable_function(WRITE, begin)
    except OSError:
        pass
    return "done"


@pytest.mark.parametrize("how", ["exception", "ended", "forgotten"])
def test_a_body_that_keeps_nothing_parks_the_agent(how: str) -> None:
    with Runtime.memory() as runtime:
        with pytest.raises(AgentFailedError, match="whose outcome was not kept"):
            runtime.run(leaving, how)
        assert not any(
            isinstance(entry, ExportedFunctionCompleted)
            for _, entry in runtime.oplog(f'leaving("{how}")')
        )


@agent
async def interleaving(name: str) -> str:
    async def other() -> None:
        await asyncio.sleep(0)

    task = asyncio.create_task(other())
    begin = begin_durable_function(WRITE)
    await task
    await asyncio.sleep(1)
    persist_durable_function_invocation("custom", None, None, WRITE)
    end_durable_function(WRITE, begin)
    return "done"


def test_awaiting_in_a_body_parks_the_agent() -> None:
    with (
        Runtime.memory() as runtime,
        pytest.raises(AgentFailedError, match="other durable calls were made"),
    ):
        runtime.run(interleaving, "x")


VERSION = [1]


@agent
def changing(name: str) -> str:
    if VERSION[0] == 1:
        send("x")
    else:
        begin = begin_durable_function(WRITE)
        read_persisted_durable_function_invocation()
        end_durable_function(WRITE, begin)
    return send("after")


def test_d1_the_outcome_of_a_call_is_not_read_as_one_that_was_kept() -> None:
    VERSION[0] = 1
    end = drive(
        [Step(changing, ("x",))],
        [CrashPoint(4, CrashMoment.DURABLE)],
        on_crash=lambda crashes: VERSION.__setitem__(0, 2),
    )
    assert end.results[0][:2] == ("error", "DivergenceError")


BATCHED = FunctionType.WRITE_REMOTE_BATCHED


def batch(*parts: str) -> list[str]:
    begin = begin_durable_function(BATCHED)
    made = [custom(part) for part in parts]
    end_durable_function(BATCHED, begin)
    return made


@agent
def batching(name: str) -> list[str]:
    return [*batch("cup", "plate"), send("after")]


@agent
def batching_once(name: str) -> list[str]:
    with idempotence_mode(False):
        made = batch("cup", "plate")
    return [*made, send("after")]


def test_a_batch_is_made_again_as_a_whole() -> None:
    expected = drive([Step(batching, ("x",))])
    lives: list[int] = []
    seen = set()
    for append in range(1, expected.appends + 1):
        for moment in CrashMoment:
            DONE.clear()
            lives.clear()
            end = drive(
                [Step(batching, ("x",))],
                [CrashPoint(append, moment)],
                on_crash=lambda crashes: lives.append(len(DONE)),
            )
            assert end.results == expected.results
            again = DONE[lives[0] :] if lives else []
            if "plate" in again:
                assert again[:2] == ["cup", "plate"], "never in its middle"
            seen.add(tuple(again))
    assert ("cup", "plate", "after") in seen
    assert ("after",) in seen


def test_idempotence_off_a_batch_is_never_made_again() -> None:
    appends = drive([Step(batching_once, ("x",))]).appends
    outcomes = set()
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            DONE.clear()
            end = drive([Step(batching_once, ("x",))], [CrashPoint(append, moment)])
            outcomes.add(end.results[0][0:2] if end.results[0][0] == "error" else "result")
            assert DONE.count("cup") <= 1
            assert DONE.count("plate") <= 1
    assert outcomes == {"result", ("error", "UnknownOutcomeError")}

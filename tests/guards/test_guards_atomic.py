"""Atomic regions (GOLEM.md §2.4) and jumps (§2.3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from golem_sdk import (
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get_oplog_index,
    mark_begin_operation,
    mark_end_operation,
    oplog_commit,
    retry_policy,
    set_oplog_index,
)
from golem_sdk.core.entries import EndAtomicRegion, Error, Jump
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import current_or_performing
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

SENT: list[str] = []
EMPTY: dict[str, str] = {}


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    SENT.clear()


@durable
def send(what: str) -> str:
    SENT.append(what)
    return what


@agent
def pair(name: str) -> list[str]:
    send("before")
    with atomically():
        both = [send("one"), send("two")]
    return [*both, send("after")]


def kinds(target: Any, *arguments: Any) -> list[str]:
    (oplog,) = drive([Step(target, arguments)]).oplogs.values()
    return [type(entry).__name__ for _, entry in oplog]


@pytest.mark.parametrize("moment", [CrashMoment.BEFORE, CrashMoment.LOST])
def test_a_crash_inside_makes_all_of_it_again(moment: CrashMoment) -> None:
    (oplog,) = drive([Step(pair, ("x",))]).oplogs.values()
    end_at = next(at for at, entry in oplog if isinstance(entry, EndAtomicRegion))
    SENT.clear()
    end = drive([Step(pair, ("x",))], [CrashPoint(end_at, moment)])
    assert end.results == (("result", ["one", "two", "after"]),)
    assert SENT == ["before", "one", "two", "one", "two", "after"]


def test_a_crash_after_it_makes_none_of_it_again() -> None:
    (oplog,) = drive([Step(pair, ("x",))]).oplogs.values()
    SENT.clear()
    end = drive([Step(pair, ("x",))], [CrashPoint(len(oplog), CrashMoment.LOST)])
    assert end.results == (("result", ["one", "two", "after"]),)
    assert SENT == ["before", "one", "two", "after", "after"]


def test_after_the_last_attempt_the_exception_leaves_it_and_it_is_closed() -> None:
    @agent
    def failing(name: str) -> str:
        try:
            with atomically():
                send(name)
                raise ValueError("no")
        except ValueError as error:
            return f"caught {error}, {send('compensated')}"

    assert drive([Step(failing, ("x",))]).results == (("result", "caught no, compensated"),)
    assert SENT == ["x", "x", "x", "compensated"]
    seen = kinds(failing, "x")
    assert [seen.count(kind) for kind in ("Error", "Jump", "EndAtomicRegion")] == [2, 2, 1]


def test_without_an_effect_in_it_an_exception_leaves_it_at_once() -> None:
    runs: list[int] = []

    @agent
    def idle(name: str) -> None:
        with atomically():
            runs.append(1)
            raise ValueError("no")

    with Runtime.memory() as runtime, pytest.raises(ValueError, match="no"):
        runtime.run(idle, "x")
    assert runs == [1]


def test_the_outermost_of_nested_regions_decides() -> None:
    @agent
    def nested(name: str) -> list[str]:
        with atomically():
            send("outer")
            try:
                with atomically():
                    send("inner")
                    raise ValueError("no")
            except ValueError:
                return ["caught in the outer one"]

    assert drive([Step(nested, ("x",))]).results == (("result", ["caught in the outer one"]),)
    assert SENT == ["outer", "inner"]


def test_the_policy_around_it_counts_its_runs() -> None:
    @agent
    def patient(name: str) -> None:
        with (
            retry_policy(RetryPolicy(max_attempts=5, give_up_on=KeyError)),
            atomically(),
        ):
            send(name)
            raise LookupError(name) if name == "x" else KeyError(name)

    assert drive([Step(patient, ("x",))]).results[0][1] == "LookupError"
    assert SENT == ["x"] * 5
    assert drive([Step(patient, ("y",))]).results[0][1] == "KeyError"
    assert SENT == ["x"] * 5 + ["y"]


def test_failed_runs_count_over_crashes() -> None:
    @agent
    def counted(name: str) -> None:
        with atomically():
            send(name)
            raise ValueError("no")

    (oplog,) = drive([Step(counted, ("x",))]).oplogs.values()
    notes = [at for at, entry in oplog if isinstance(entry, Error)]
    for at in notes:
        SENT.clear()
        end = drive([Step(counted, ("x",))], [CrashPoint(at, CrashMoment.DURABLE)])
        assert end.results[0][:2] == ("error", "ValueError")
        assert SENT == ["x"] * 3


def test_keys_are_the_same_in_every_run() -> None:
    keys: list[str] = []

    @agent
    def keyed(name: str) -> None:
        keys.append(str(generate_idempotency_key()))
        with atomically():
            keys.append(str(generate_idempotency_key()))
            send(name)
            raise ValueError("no")

    drive([Step(keyed, ("x",))])
    assert len(keys) == 6
    assert len(set(keys)) == 2


def test_as_a_decorator_on_sync_and_async_functions() -> None:
    @atomically()
    def both(name: str) -> str:
        return send(name) + send(name)

    @atomically()
    async def both_async(name: str) -> str:
        await asyncio.sleep(1)
        return send(name) + send(name)

    @agent
    def sync(name: str) -> str:
        return both(name)

    @agent
    async def asynchronous(name: str) -> str:
        return await both_async(name)

    for target in (sync, asynchronous):
        assert drive([Step(target, ("x",))]).results == (("result", "xx"),)
        assert {"BeginAtomicRegion", "EndAtomicRegion"} <= set(kinds(target, "x"))
    with pytest.raises(UsageError, match="generator"):
        atomically()(iter_nothing)
    with pytest.raises(UsageError, match="functions and methods"):
        atomically()(42)


def iter_nothing() -> Any:
    yield from ()


def test_outside_agents_guards_do_nothing() -> None:
    with atomically():
        assert send("plain") == "plain"
    mark_end_operation(mark_begin_operation())
    assert oplog_commit(1) == 1
    assert generate_idempotency_key() != generate_idempotency_key()
    for only_inside in (get_oplog_index, lambda: set_oplog_index(1), checkpoint):
        with pytest.raises(UsageError, match="inside agents only"):
            only_inside()


def test_manual_operations() -> None:
    @agent
    def manual(name: str) -> str:
        begin = mark_begin_operation()
        inner = mark_begin_operation()
        with pytest.raises(UsageError, match=f"opened last is {inner}"):
            mark_end_operation(begin)
        mark_end_operation(inner)
        send(name)
        mark_end_operation(begin)
        with pytest.raises(UsageError, match="none is open"):
            mark_end_operation(begin)
        return "done"

    assert drive([Step(manual, ("x",))]).results == (("result", "done"),)


def test_an_exception_out_of_the_method_runs_an_open_operation_again() -> None:
    @agent
    def left_open(name: str) -> None:
        mark_begin_operation()
        send(name)
        raise ValueError("no")

    assert drive([Step(left_open, ("x",))]).results[0][:2] == ("error", "ValueError")
    assert SENT == ["x"] * 3
    assert kinds(left_open, "x").count("EndAtomicRegion") == 1


def test_a_jump_back_forgets_and_does_not_undo() -> None:
    @agent
    def again(times: int) -> int:
        place = get_oplog_index()
        send("try")
        if len(SENT) < times:
            set_oplog_index(place)
        return len(SENT)

    end = drive([Step(again, (3,))])
    assert end.results == (("result", 3),)
    (oplog,) = end.oplogs.values()
    assert sum(isinstance(entry, Jump) for _, entry in oplog) == 2


def test_jumps_that_cannot_be_are_refused() -> None:
    @agent
    class Jumper:
        def __init__(self, name: str) -> None:
            self.first = 0

        def place(self) -> int:
            return get_oplog_index()

        def jump(self, to: int, dropped: bool = False) -> str:
            here = get_oplog_index()
            if dropped and not SENT:
                inside = get_oplog_index()
                SENT.append(str(inside))
                set_oplog_index(here)
            set_oplog_index(int(SENT[0]) if dropped else to)
            return "jumped"

    with Runtime.memory() as runtime:
        jumper = runtime.get(Jumper, "a")
        with pytest.raises(UsageError, match="ahead"):
            jumper.jump(10_000)
        with pytest.raises(UsageError, match="has been answered"):
            jumper.jump(jumper.place())
        with pytest.raises(UsageError, match="dropped"):
            jumper.jump(1, dropped=True)
        wrong: Any
        for wrong in (0, -1, True, "3"):
            with pytest.raises(UsageError, match="whole number"):
                jumper.jump(wrong)


@durable
async def send_later(what: str) -> str:
    return what


def test_no_jump_while_writes_are_under_way() -> None:
    @agent
    async def busy(name: str) -> str:
        place = get_oplog_index()
        sending = asyncio.create_task(send_later("x"))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="under way"):
            set_oplog_index(place)
        await sending
        return "done"

    assert drive([Step(busy, ("x",))]).results == (("result", "done"),)


def test_a_checkpoint_gives_up_after_its_attempts() -> None:
    @agent
    def reverting(attempts: int) -> str:
        place = checkpoint(attempts)
        send("try")
        return place.run_or_revert(lambda: str(EMPTY["missing"]))

    for attempts in (1, 3):
        SENT.clear()
        assert drive([Step(reverting, (attempts,))]).results[0][:3] == (
            "error",
            "KeyError",
            ("missing",),
        )
        assert ["try"] * attempts == SENT


@pytest.mark.parametrize("replicas", [0, -1, True, 1.5])
def test_oplog_commit_takes_a_count(replicas: Any) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        oplog_commit(replicas)


@durable
def key_of_call() -> str:
    session = current_or_performing()
    assert session is not None
    return str(session.keys.upcoming())


@agent
class Payer:
    def __init__(self, name: str) -> None:
        pass

    def pay(self) -> list[str]:
        return [str(generate_idempotency_key()), key_of_call()]


def test_p3_two_agents_with_the_same_invocation_key_have_keys_of_their_own() -> None:
    """Else a server would take the second one's charge for a repetition of the first one's."""
    with Runtime.memory() as runtime:
        keys = [
            key
            for name in ("a", "b")
            for key in runtime.trigger(runtime.get(Payer, name).pay, key="order-17").result()
        ]
    assert len(set(keys)) == 4

"""Regions opened by hand, places in the oplog, and what is counted anew for each invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get_oplog_index,
    mark_begin_operation,
    mark_end_operation,
    persistence_level,
    saga,
)
from golem_sdk.core.entries import (
    BeginAtomicRegion,
    EndAtomicRegion,
    ImportedFunctionInvoked,
    Jump,
    OplogRegion,
)
from golem_sdk.durability import current
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import SCOPE
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable

DONE: list[Any] = []
NOTHING = PersistenceLevel.PERSIST_NOTHING


@pytest.fixture(autouse=True)
def fresh() -> None:
    DONE.clear()


@durable(function_type=FunctionType.READ_LOCAL)
def look(what: str) -> str:
    DONE.append(what)
    return what


def result(end: End) -> Any:
    kind, value, *_ = end.results[-1]
    assert kind == "result", end.results
    return value


def regions(end: End) -> list[tuple[str, int]]:
    """Begins with their index, ends with that of their begin."""
    (oplog,) = end.oplogs.values()
    return [
        ("begin", index) if isinstance(entry, BeginAtomicRegion) else ("end", entry.begin)
        for index, entry in oplog
        if isinstance(entry, BeginAtomicRegion | EndAtomicRegion)
    ]


@agent
def left_open_in_a_block(name: str) -> str:
    with atomically():
        mark_begin_operation()
        begin = mark_begin_operation()
        look("inside")
    with pytest.raises(UsageError, match="none is open"):
        mark_end_operation(begin)
    return look("after")


def test_the_end_of_a_block_ends_what_was_opened_in_it_last_first() -> None:
    end = drive([Step(left_open_in_a_block, ("x",))])
    (_, outer), (_, middle), (_, inner) = regions(end)[:3]
    assert regions(end)[3:] == [("end", inner), ("end", middle), ("end", outer)]
    for at, _ in next(iter(end.oplogs.values())):
        again = drive([Step(left_open_in_a_block, ("x",))], [CrashPoint(at, CrashMoment.DURABLE)])
        assert result(again) == "after"


@agent
def left_open_at_the_end(name: str) -> str:
    mark_begin_operation()
    mark_begin_operation()
    return look("inside")


def test_the_end_of_an_invocation_ends_what_it_has_opened() -> None:
    end = drive([Step(left_open_at_the_end, ("x",))])
    (_, outer), (_, inner) = regions(end)[:2]
    assert regions(end)[2:] == [("end", inner), ("end", outer)]


@pytest.mark.parametrize("use", [mark_begin_operation, get_oplog_index])
def test_there_is_no_place_in_a_zone_that_replay_skips(use: Callable[[], int]) -> None:
    @agent(name=f"placed_in_a_zone_{use.__name__}")
    def placed(name: str) -> str:
        with persistence_level(NOTHING), pytest.raises(UsageError, match="before the block"):
            use()
        return look("after")

    assert result(drive([Step(placed, ("x",))])) == "after"


@agent
class CountedAnew:
    """What an invocation does must not depend on those before it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def keys(self) -> list[str]:
        with saga(infallible=True):
            one = str(generate_idempotency_key())
        with persistence_level(NOTHING):
            zone = str(generate_idempotency_key())
        with saga(infallible=True):
            return [one, zone, str(generate_idempotency_key())]

    def leaves_open(self) -> None:
        mark_begin_operation()

    def nothing_is_open(self) -> None:
        with pytest.raises(UsageError, match="none is open"):
            mark_end_operation(3)
        checkpoint()


def test_keys_do_not_depend_on_earlier_invocations() -> None:
    alone = drive([Step(CountedAnew, ("x",), "leaves_open"), Step(CountedAnew, ("x",), "keys")])
    later = drive([Step(CountedAnew, ("x",), "keys"), Step(CountedAnew, ("x",), "keys")])
    assert result(alone) == result(later)
    assert len(set(result(alone))) == 3


def test_what_an_earlier_invocation_has_opened_is_closed() -> None:
    steps = [Step(CountedAnew, ("x",), name) for name in ("leaves_open", "nothing_is_open")]
    assert result(drive(steps)) is None


def may_have_been_made() -> None:
    session = current()
    assert session is not None
    DONE.append(session.operations.may_have_been_made(SCOPE.get().region))


@agent
def asks_whether_it_was_made(name: str) -> str:
    may_have_been_made()
    look("first")
    may_have_been_made()
    with atomically():
        may_have_been_made()
        look("in a block")
        if DONE.count("in a block") == 1:
            raise ValueError("once more")
    begin = mark_begin_operation()
    may_have_been_made()
    look("by hand")
    mark_end_operation(begin)
    may_have_been_made()
    return "made"


def test_only_a_life_before_or_a_region_s_earlier_run_may_have_made_a_call() -> None:
    end = drive([Step(asks_whether_it_was_made, ("x",))], suspend_after_s=1e9)
    assert result(end) == "made"
    first_run = [False, "first", False, False, "in a block"]
    second_run = [True, True, True, "in a block", False, "by hand", False]
    assert first_run + second_run == DONE


@durable
def send(what: str) -> str:
    DONE.append(what)
    return what


@agent
def sends_by_hand(name: str) -> str:
    look("first")
    begin = mark_begin_operation()
    look("second")
    may_have_been_made()
    send("third")
    mark_end_operation(begin)
    may_have_been_made()
    return "made"


def test_of_an_interrupted_operation_every_call_may_have_been_made() -> None:
    calm = drive([Step(sends_by_hand, ("x",))])
    (oplog,) = calm.oplogs.values()
    *_, sent = [at for at, entry in oplog if isinstance(entry, ImportedFunctionInvoked)]
    assert DONE == ["first", "second", False, "third", False]
    DONE.clear()
    third = CrashPoint(sent, CrashMoment.BEFORE)
    end = drive([Step(sends_by_hand, ("x",))], [third])
    assert result(end) == "made"
    (oplog,) = end.oplogs.values()
    (jump,) = [(at, entry.region) for at, entry in oplog if isinstance(entry, Jump)]
    assert jump == (jump[0], OplogRegion(regions(end)[0][1] + 1, jump[0]))
    assert DONE == ["first", "second", False, "third", "second", True, "third", False]

"""Replay of announced writes, of kept values and of other entries that agent code makes; refusals last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk.core.cursor import Cursor
from golem_sdk.core.entries import (
    BeginRemoteWrite,
    EndRemoteWrite,
    Entry,
    ImportedFunctionInvoked,
    NoOp,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.machine import Machine, Mismatch, StartedCall

if TYPE_CHECKING:
    from collections.abc import Callable

OUTCOME = ImportedFunctionInvoked(5, 1, "send", 4, b"", 7, b"out", False, 0, 0)
BEGIN = BeginRemoteWrite(6, 1, "send", b"", 7, 0, 0)


def machine_over(*entries: Entry) -> Machine:
    """What is recorded begins at index 2."""
    return Machine(Cursor(iter(list(enumerate(entries, start=2)))))


def send(machine: Machine, begin: int = 2) -> StartedCall:
    return machine.start("send", FunctionType.WRITE_REMOTE, b"", 7, begin=begin)


def kept(machine: Machine, begin: int = 0) -> ImportedFunctionInvoked | None:
    return machine.replay_persisted(begin, lambda entry: entry.function_name == "send")


def delivered(machine: Machine) -> ImportedFunctionInvoked:
    call = send(machine)
    found = machine.replay_delivery()
    assert found is not None
    assert found[0] is call
    return found[1]


ANSWERS: dict[str, Callable[[Machine], Any]] = {
    "in place": lambda machine: machine.replay_call(send(machine)),
    "delivered": delivered,
    "kept": lambda machine: kept(machine, 2),
}


@pytest.mark.parametrize("way", ANSWERS)
def test_an_announced_write_is_met_with_its_end(way: str) -> None:
    machine = machine_over(OUTCOME, EndRemoteWrite(9, 2))
    assert ANSWERS[way](machine) == OUTCOME
    assert (machine.is_live, machine.now, machine.outcomes) == (True, 9, 1)
    assert machine.pending == {}
    assert not machine.progressed, "it is replay"
    assert [index for index, _ in machine.agreed] == [2, 3]


@pytest.mark.parametrize("way", ANSWERS)
@pytest.mark.parametrize(
    ("behind", "index"), [((), 0), ((EndRemoteWrite(9, 3),), 3), ((NoOp(9),), 3)], ids="abc"
)
def test_the_end_lies_right_behind_the_outcome(
    way: str, behind: tuple[Entry, ...], index: int
) -> None:
    with pytest.raises(Mismatch, match="the end of send was to follow") as mismatch:
        ANSWERS[way](machine_over(OUTCOME, *behind))
    assert mismatch.value.index == index
    assert mismatch.value.recorded == (behind[0] if behind else None)


def test_a_write_that_was_not_performed_and_begun_again() -> None:
    again = BeginRemoteWrite(8, 1, "send", b"", 7, 0, 0)
    machine = machine_over(EndRemoteWrite(7, 2), again, OUTCOME, EndRemoteWrite(9, 3))
    assert machine.replay_call(send(machine)) == OUTCOME
    assert machine.announced_again == {1}
    assert machine.is_live


def test_a_write_that_was_not_performed_is_live() -> None:
    machine = machine_over(EndRemoteWrite(7, 2))
    call = send(machine)
    assert machine.replay_call(call) is None
    assert machine.pending == {1: call}
    assert (machine.is_live, machine.announced_again) == (True, set())


@pytest.mark.parametrize("other", [NoOp(8), evolve(BEGIN, call=2)], ids="ab")
def test_only_its_own_begin_begins_it_again(other: Entry) -> None:
    machine = machine_over(EndRemoteWrite(7, 2), other)
    send(machine)
    assert machine.replay_delivery() is None
    assert machine.announced_again == set()
    assert machine.pending[1].begin == 2
    assert machine.upcoming == 2
    assert not machine.is_live


def test_a_begun_again_write_has_its_new_begin() -> None:
    machine = machine_over(EndRemoteWrite(7, 2), BEGIN)
    send(machine)
    assert machine.replay_delivery() is None
    assert machine.pending[1].begin == 3


def test_nothing_is_delivered_behind_the_end() -> None:
    with pytest.raises(IndexError):
        machine_over().replay_delivery()


def test_a_kept_value_counts_as_a_call() -> None:
    machine = machine_over(OUTCOME)
    assert kept(machine) == OUTCOME
    assert (machine.upcoming, machine.outcomes, machine.now) == (2, 1, 5)
    assert kept(machine) is None, "live"


@pytest.mark.parametrize(
    "entry", [NoOp(5), evolve(OUTCOME, call=2), evolve(OUTCOME, function_name="get")], ids="abc"
)
def test_a_kept_value_must_be_the_next(entry: Entry) -> None:
    with pytest.raises(Mismatch, match="reads what it had kept"):
        kept(machine_over(entry))


def test_other_entries_are_met_by_their_kind() -> None:
    machine = machine_over(NoOp(5))
    assert machine.meet(NoOp, "a place is marked") == (2, NoOp(5))
    assert machine.meet(NoOp, "a place is marked") is None, "live"
    with pytest.raises(Mismatch, match="a write ends") as mismatch:
        machine_over(NoOp(5)).meet(EndRemoteWrite, "a write ends")
    assert (mismatch.value.index, mismatch.value.recorded) == (2, NoOp(5))


def test_what_is_recorded_beyond_is_dropped() -> None:
    machine = machine_over(NoOp(5), OUTCOME)
    machine.meet(NoOp, "")
    assert machine.rerun() == [OUTCOME]
    assert machine.is_live
    assert machine.log() is True
    assert machine.replay_completion(failed=False, same=lambda entry: True) is False


def test_d1_what_was_refused_once_is_refused_for_ever() -> None:
    machine = machine_over(NoOp(5))
    mismatch = machine.refuse(2, NoOp(5), "something else")
    assert (mismatch.index, mismatch.recorded) == (2, NoOp(5))
    assert mismatch.attempted == "something else"
    for again in (lambda: machine.meet(NoOp, ""), machine.rerun, lambda: kept(machine)):
        with pytest.raises(Mismatch) as later:
            again()
        assert later.value is mismatch


def test_what_need_not_be_said_of_a_call() -> None:
    machine = machine_over()
    assert machine.now == 0
    call = machine.start("send", FunctionType.WRITE_REMOTE, b"", 7)
    assert call == StartedCall(1, "send", FunctionType.WRITE_REMOTE, b"", 7, 0, 0)
    assert call.place == (None, 0)
    assert (call.site, call.task, call.begin, call.repeatable) == (0, 0, 0, True)


def test_the_last_five_entries_are_told_when_one_does_not_fit() -> None:
    machine = machine_over(*[NoOp(at) for at in range(9)])
    for _ in range(7):
        machine.meet(NoOp, "")
    assert list(machine.agreed) == [(index, NoOp(index - 2)) for index in range(4, 9)]
    assert machine.refuse(9, None, "x").args == (9, None, "x")


def test_only_what_is_live_is_progress() -> None:
    machine = machine_over()
    call = send(machine, 0)
    assert not machine.progressed
    machine.complete(call, 8, b"", b"", failed=False)
    assert (machine.progressed, machine.now, machine.outcomes) == (True, 8, 1)

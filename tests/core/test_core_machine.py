"""The machine: live answers, recorded, are the answers of replay; what does not fit is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.cursor import Cursor
from golem_sdk.core.entries import (
    DescribeCallSite,
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Log,
    OplogRegion,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.machine import Machine, Mismatch, StartedCall
from golem_sdk.core.regions import Regions
from golem_sdk.testing.histories import CREATE

Items = list[tuple[int, Entry]]
NOTE = DescribeCallSite(1, 1, "f.py", 1, "f", "f()")


def machine_over(items: Items) -> Machine:
    return Machine(Cursor(iter(items)), now=CREATE.timestamp)


def start(machine: Machine, number: int, name: str = "call") -> StartedCall:
    return machine.start(name, FunctionType.WRITE_REMOTE, b"%d" % number, number)


def recall(machine: Machine, number: int, name: str = "call") -> ImportedFunctionInvoked | None:
    return machine.recall(name, FunctionType.WRITE_REMOTE, number)


class Program:
    """Agent code made from a seed: starts calls, waits for some in any order, withdraws others, logs.

    ``recalls``: it asks for calls in place in one step.
    """

    def __init__(self, seed: int, steps: int, *, recalls: bool = False) -> None:
        self.seed, self.steps, self.recalls = seed, steps, recalls

    def run(self, machine: Machine, log: Items) -> tuple[list[Any], int]:
        """What the code saw, and how many effects were performed. Live entries go to ``log``."""
        code, world = random.Random(self.seed), random.Random(len(log) * 1000 + self.seed)
        seen: list[Any] = []
        performed = 0
        if machine.replay_invocation() is None:
            log.append((len(log) + 2, ExportedFunctionInvoked(5, "key", "go", b"")))
        for step in range(self.steps):
            what = code.choice(["inline", "start", "deliver", "withdraw", "log"])
            if what == "inline":
                entry = recall(machine, step) if self.recalls else None
                if entry is None:
                    call = start(machine, step)
                    entry = machine.replay_call(call)
                if entry is None:
                    performed += 1
                    entry = machine.complete(call, 100 + step, b"", b"in %d" % step, failed=False)
                    log.append((len(log) + 2, entry))
                seen.append((entry.outcome, machine.now))
            elif what == "start":
                seen.append(start(machine, step).number)
            elif what == "deliver" and machine.pending:
                if machine.is_live:
                    call = machine.pending[world.choice(sorted(machine.pending))]
                    performed += 1
                    outcome = b"out %d" % call.number
                    entry = machine.complete(call, 100 + step, b"", outcome, failed=False)
                    log.append((len(log) + 2, entry))
                else:
                    delivered = machine.replay_delivery()
                    assert delivered is not None, "no operator meddled"
                    _, entry = delivered
                seen.append((entry.call, entry.outcome, machine.now))
            elif what == "withdraw" and machine.pending:
                machine.withdraw(min(machine.pending))
            elif what == "log" and machine.log():
                log.append((len(log) + 2, Log(1, "info", "", f"line {step}")))
                log.append((len(log) + 2, NOTE))
        return seen, performed


@given(st.integers(0, 10**6), st.integers(0, 40), st.data())
def test_p1_p2_p5_any_prefix_of_a_history_replays_to_its_end_and_goes_on(
    seed: int, steps: int, data: st.DataObject
) -> None:
    history: Items = []
    first, _ = Program(seed, steps).run(machine_over([]), history)
    again: Items = list(history)
    program = Program(seed, steps, recalls=data.draw(st.booleans()))
    seen, performed = program.run(machine_over(again), again)
    assert (seen, performed, again) == (first, 0, history), "a whole history: nothing is performed"
    cut = data.draw(st.integers(0, len(history)))
    resumed = list(history[:cut])
    machine = machine_over(list(resumed))
    seen, _ = program.run(machine, resumed)
    assert resumed[:cut] == history[:cut], "nothing is written before the first live call"
    lines = [entry.message for _, entry in resumed if isinstance(entry, Log)]
    assert lines == [entry.message for _, entry in history if isinstance(entry, Log)], (
        "each line once"
    )
    assert machine.is_live


def recorded_call(**changes: Any) -> Items:
    call = StartedCall(1, "call", FunctionType.WRITE_REMOTE, b"1", 1, 0, 0)
    entry = Machine(Cursor(iter([]))).complete(call, 9, b"1", b"out", failed=False)
    return [(2, evolve(entry, **changes))]


def test_p5_a_call_in_place_is_recalled_in_one_step() -> None:
    machine = machine_over(recorded_call())
    recorded = recall(machine, 1)
    assert recorded is not None
    assert (recorded.outcome, machine.now, machine.outcomes) == (b"out", 9, 1)
    assert machine.is_live
    assert recall(machine, 2) is None
    assert start(machine, 2).number == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"function_name": "other"},
        {"function_type": int(FunctionType.READ_LOCAL)},
        {"fingerprint": 2},
        {"call": 2},
    ],
)
def test_d1_a_call_that_differs_is_refused_and_so_is_everything_after(
    changes: dict[str, Any],
) -> None:
    machine = machine_over(recorded_call(**changes))
    assert recall(machine, 1) is None
    call = start(machine, 1)
    assert call.number == 1, "nothing has happened"
    with pytest.raises(Mismatch) as first:
        machine.replay_call(call)
    assert first.value.index == 2
    assert first.value.attempted is call
    for again in (
        lambda: start(machine, 2),
        lambda: machine.replay_call(call),
        machine.replay_delivery,
        machine.replay_invocation,
        lambda: machine.replay_completion(failed=False, same=lambda entry: True),
        lambda: machine.complete(call, 1, b"", b"", failed=False),
    ):
        with pytest.raises(Mismatch) as later:
            again()
        assert later.value is first.value
    assert recall(machine, 2) is None, "to be refused when it is started"


def test_d1_the_same_call_is_answered() -> None:
    machine = machine_over(recorded_call())
    entry = machine.replay_call(start(machine, 1))
    assert entry is not None
    assert entry.outcome == b"out"
    assert machine.now == 9
    assert machine.is_live


def test_d1_what_is_waited_for_must_be_what_was_delivered() -> None:
    machine = machine_over(recorded_call())
    with pytest.raises(Mismatch, match="waits, but for no durable call"):
        machine.replay_delivery()
    machine = machine_over(recorded_call())
    machine.withdraw(start(machine, 1).number)
    start(machine, 2)
    with pytest.raises(Mismatch, match=r"waits for call \(call 2\)"):
        machine.replay_delivery()


def test_d1_the_end_of_an_invocation_must_be_where_it_was_and_what_it_was() -> None:
    completed: Items = [(2, ExportedFunctionCompleted(1, b"out", False))]
    assert machine_over(completed).replay_completion(
        failed=False, same=lambda e: e.outcome == b"out"
    )
    assert not machine_over([]).replay_completion(failed=False, same=lambda e: False)
    for items, failed, same in (
        (completed, True, True),
        (completed, False, False),
        (recorded_call(), False, True),
    ):
        with pytest.raises(Mismatch):
            machine_over(items).replay_completion(failed=failed, same=equal if same else differs)
    with pytest.raises(Mismatch):
        machine_over(recorded_call()).replay_invocation()


def equal(entry: ExportedFunctionCompleted) -> bool:
    return True


def differs(entry: ExportedFunctionCompleted) -> bool:
    return False


def test_skipped_regions_do_not_exist_for_the_cursor() -> None:
    items: Items = [(i, ExportedFunctionInvoked(1, str(i), "m", b"")) for i in range(2, 9)]
    cursor = Cursor(iter(items), Regions((OplogRegion(3, 4), OplogRegion(7, 8))))
    taken = []
    while cursor.upcoming is not None:
        taken.append(cursor.upcoming[0])
        cursor.advance()
    assert taken == [2, 5, 6]

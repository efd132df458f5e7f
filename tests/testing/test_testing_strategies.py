"""The strategies give what they promise, everything of it, and print as code."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from codec.strategies import same
from golem_sdk import agent, testing
from golem_sdk.codec.values import decode, encode
from golem_sdk.core.entries import ENTRY_KINDS, Create, EndAtomicRegion, Entry, Jump, Revert
from golem_sdk.core.plan import fold_plan
from golem_sdk.testing import CrashMoment, CrashPoint, Step, samples

WHOLE = settings(max_examples=3000, database=None, derandomize=True)
UNSHRUNK = settings(WHOLE, phases=[Phase.generate])


@pytest.mark.parametrize(
    "kind",
    [float, bytes, dict, set, frozenset, tuple, samples.Color, samples.Item, samples.Basket],
)
def test_values_of_every_kind_come_up(kind: type[Any]) -> None:
    assert isinstance(
        find(testing.values(), lambda value: type(value) is kind, settings=UNSHRUNK), kind
    )


@given(value=testing.values())
def test_values_can_be_stored(value: object) -> None:
    assert same(decode(encode(value)), value)


def test_own_kinds_come_up() -> None:
    own = testing.values(containers=[lambda parts: st.builds(samples.Basket, st.just([7]), parts)])
    found = find(own, lambda v: isinstance(v, samples.Basket) and v.items == [7], settings=WHOLE)
    assert found == samples.Basket([7], None)


@given(log=testing.oplogs())
def test_oplogs_keep_the_rules(log: list[tuple[int, Entry]]) -> None:
    assert [index for index, _ in log] == list(range(1, len(log) + 1))
    assert isinstance(log[0][1], Create)
    fold_plan(log)


@pytest.mark.parametrize("kind", [Jump, Revert, EndAtomicRegion])
def test_oplogs_have_regions(kind: type[Entry]) -> None:
    assert find(
        testing.oplogs(),
        lambda log: any(type(entry) is kind for _, entry in log),
        settings=UNSHRUNK,
    )


@pytest.mark.parametrize("kind", [kind.entry_class for kind in ENTRY_KINDS.values()])
def test_entries_of_every_kind_come_up(kind: type[Entry]) -> None:
    found = find(testing.entries(), lambda entry: type(entry) is kind, settings=UNSHRUNK)
    assert type(found) is kind


def test_crashes_shrink_to_the_earliest() -> None:
    assert find(testing.crash_points(), lambda point: True) == CrashPoint(1, CrashMoment.BEFORE)
    found = find(testing.crash_schedules(), lambda points: sum(p.append for p in points) > 9)
    assert found == [CrashPoint(10, CrashMoment.BEFORE)]


@pytest.mark.parametrize("concurrent", [False, True])
def test_programs_are_plain_data_that_use_all_guards(concurrent: bool) -> None:
    own = "gather" if concurrent else "operation"
    wanted = {"atomically", "patient", "remote", "saga", "try", "once", "nothing", "flaky", own}
    seen = set[str]()

    @settings(WHOLE, max_examples=300)
    @given(program=testing.programs(concurrent=concurrent))
    def look(program: list[Any]) -> None:
        assert ast.literal_eval(repr(program)) == program
        seen.update(op for op in wanted if f"'{op}'" in repr(program))

    look()
    assert seen == wanted


def test_a_failing_program_prints_as_data() -> None:
    @settings(database=None, derandomize=True)
    @given(program=testing.programs())
    def never_atomic(program: list[Any]) -> None:
        assert "atomically" not in repr(program)

    with pytest.raises(AssertionError) as caught:
        never_atomic()
    assert "program=[['atomically', []]]," in "\n".join(caught.value.__notes__)


@agent(name="StepOfTests")
class Stepper:
    def __init__(self, name: str) -> None:
        self.name = name

    def go(self, far: int) -> int:
        return far


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step(Stepper, ("a",), "go", (1,)), "Step(Stepper, ('a',), 'go', (1,))"),
        (Step(Stepper, ("a",), "go"), "Step(Stepper, ('a',), 'go')"),
        (Step(Stepper, ()), "Step(Stepper, ())"),
    ],
)
def test_a_step_is_printed_as_code(step: Step, text: str) -> None:
    assert repr(step) == text


def test_steps_take_strategies_anywhere() -> None:
    drawn = testing.steps(Stepper, st.tuples(st.just("b")), "go", st.integers(5, 9))
    assert find(drawn, lambda step: True) == Step(Stepper, ("b",), "go", (5,))

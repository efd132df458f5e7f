"""The state machine finds planted bugs, shrinks them, and prints them as tests that run."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from static.source_tree import ROOT
from testing.machines import ForgetfulMachine, RepeatingMachine, SoundMachine

if TYPE_CHECKING:
    from pathlib import Path

    from golem_sdk.testing import AgentStateMachine

pytestmark = pytest.mark.once


SHORT = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    stateful_step_count=8,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


INVOKED = "state.invoke(step=Step(PostOffice, ('Ulm',), 'mail', (Stamp.PLAIN, 0)))"


def failure_of(machine: type[RuleBasedStateMachine]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # of any type: it is looked at
        run_state_machine_as_test(machine, settings=SHORT)
    return caught.value


def printed_test(failure: BaseException) -> str:
    (note,) = (n for n in failure.__notes__ if n.startswith("As a test by itself:"))
    return note.partition("\n\n")[2]


def program_in(source: str) -> list[str]:
    """The steps, without the invariants that were checked in between."""
    lines = [line.strip() for line in source.splitlines() if line.startswith("    state")]
    return [line for line in lines if not line.endswith("nothing_is_sent_twice()")]


def test_the_shortest_program_and_the_earliest_crash_are_found() -> None:
    source = printed_test(failure_of(RepeatingMachine))
    # Create, the constructor's begin and end, the call's begin, its line of code: entry 5 tells of the write.
    first, *steps, last = program_in(source)
    assert (first, last) == ("state = RepeatingMachine()", "state.teardown()")
    assert steps in (
        ["state.crash_at(append=5, moment=CrashMoment.BEFORE)", INVOKED],
        [INVOKED, "state.crash_at(append=2, moment=CrashMoment.BEFORE)", INVOKED],
    ), "on a busy machine the shorter one may not have failed twice in the same way"


@pytest.mark.parametrize("machine", [RepeatingMachine, ForgetfulMachine])
def test_what_is_printed_runs_and_fails_alike(
    machine: type[AgentStateMachine], tmp_path: Path
) -> None:
    failure = failure_of(machine)
    file = tmp_path / "test_printed.py"
    file.write_text(printed_test(failure))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert re.search(rf"^E +.*{type(failure).__name__}", ran.stdout, re.MULTILINE), ran.stdout


def test_a_divergence_is_found_without_any_rule_that_looks_for_it() -> None:
    source = printed_test(failure_of(ForgetfulMachine))
    first, *steps, last = program_in(source)
    assert (first, last) == ("state = ForgetfulMachine()", "state.teardown()")
    assert "state.ask(number=0)" in steps
    assert len(steps) <= 3, "what this process has cached already may ask for a restart"


def test_a_sound_agent_passes(fuzz_scale: int) -> None:
    run_state_machine_as_test(
        SoundMachine, settings=settings(SHORT, max_examples=40 * fuzz_scale, stateful_step_count=12)
    )

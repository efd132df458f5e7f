"""Planted faults are found and explained; the corrected forms pass."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import agent
from golem_sdk.errors import UsageError
from golem_sdk.testing import (
    WORLD,
    Call,
    Report,
    Verdict,
    crash_at_every_index,
    run_program,
)
from golem_sdk.testing.bench import Bench
from golem_sdk.testing.campaigns import Options, fuzz
from golem_sdk.testing.crews import LocalCrew
from golem_sdk.testing.subjects import Calm, Subject
from golem_sdk.testing.verdicts import Cause
from promises.checkers import check_d2
from testing import planted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from golem_sdk.testing.crews import Done, Task

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    def forget() -> None:
        for remembered in (planted.CALLS, planted.MADE, planted.PRICES):
            remembered.clear()

    forget()
    yield
    forget()  # with which the loop that never ends does


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        yield bound


def received(receiver: socket.socket) -> int:
    count = 0
    while True:
        try:
            receiver.recv(100)
        except BlockingIOError:
            return count
        count += 1


def only_cause(report: Report) -> Cause:
    (finding,) = report.findings
    return finding.judgement.cause


# --- a forgotten side effect ------------------------------------------------------------------------


def test_a_forgotten_side_effect_is_found_and_not_done_five_hundred_times(
    receiver: socket.socket,
) -> None:
    report = crash_at_every_index(planted.planted_datagram, receiver.getsockname()[1])
    assert only_cause(report) is Cause.UNJOURNALED
    assert check_d2(report, ["socket.sendto"], "planted.py") == []
    assert "@durable" in str(report)
    assert received(receiver) == 3, "the calm run, one crash and its recovery"


def test_the_corrected_form_sends_once(receiver: socket.socket) -> None:
    report = crash_at_every_index(planted.mended_datagram, receiver.getsockname()[1])
    assert report.ok, str(report)
    assert received(receiver) == 1, "later runs are answered from the recording"
    assert report.tried > 50


@pytest.mark.parametrize(
    ("target", "event"),
    [(planted.planted_ctypes, "ctypes.dlopen"), (planted.planted_file, "open")],
    ids=["ctypes", "file"],
)
def test_other_ways_past_the_journal_are_found(
    target: Callable[..., Any], event: str, tmp_path: Path
) -> None:
    report = crash_at_every_index(target, str(tmp_path / "log"))
    assert {finding.judgement.cause for finding in report.findings} == {Cause.UNJOURNALED}
    assert check_d2(report, [event], "planted.py") == []


def test_a_ctypes_call_inside_a_durable_function_is_fine() -> None:
    report = crash_at_every_index(planted.mended_ctypes, "x")
    assert report.ok, str(report)


def test_files_that_agent_code_writes_are_fine(tmp_path: Path) -> None:
    report = crash_at_every_index(planted.mended_file, str(tmp_path / "log"))
    assert report.ok, str(report)


def test_closing_an_asynchronous_client_is_no_effect() -> None:
    report = crash_at_every_index(planted.client_that_is_closed, "x")
    assert report.ok, str(report)


def test_writing_to_what_was_open_before_is_found() -> None:
    reading, writing = os.pipe()
    try:
        report = crash_at_every_index(planted.planted_pipe, writing)
        assert only_cause(report) is Cause.UNJOURNALED
        assert "write" in report.findings[0].judgement.reason
    finally:
        os.close(reading)
        os.close(writing)


def test_what_is_allowed_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "log"
    report = crash_at_every_index(
        planted.planted_file, str(path), allow=["open", "TextIOWrapper.write"]
    )
    assert report.ok, str(report)
    assert len(path.read_text().splitlines()) > 10, "it is really done again each time"


# --- the order of a set, a cache of the process -------------------------------------------------------


def test_a_dependence_on_set_order_is_found_with_other_hash_seeds() -> None:
    report = crash_at_every_index(planted.planted_order, list("abcde"), hash_seeds=1)
    (finding,) = report.findings
    assert finding.judgement.verdict is Verdict.DIVERGED
    assert finding.task.hash_seed == 1
    assert "sorted(" in " ".join(finding.explanation)
    again = crash_at_every_index(
        planted.planted_order, list("abcde"), at=str(finding.task), hash_seeds=1
    )
    assert again.tried == 1
    assert not again.ok


def test_a_sorted_set_passes_with_other_hash_seeds() -> None:
    report = crash_at_every_index(planted.mended_order, list("abcde"), hash_seeds=1)
    assert report.ok, str(report)


def test_a_cache_of_the_process_is_found() -> None:
    report = crash_at_every_index(planted.planted_cache, "lamp")
    (finding,) = report.findings
    assert finding.judgement.verdict is Verdict.DIVERGED
    assert finding.task.schedule == ()
    assert "cache" in " ".join(finding.explanation)


def test_in_processes_of_its_own_it_is_told_from_other_causes() -> None:
    report = crash_at_every_index(planted.planted_cache, "lamp", jobs=2)
    (finding,) = report.findings
    assert "in a new process all is the same" in " ".join(finding.explanation)


def test_a_cache_of_the_agent_passes() -> None:
    report = crash_at_every_index(planted.mended_cache, "lamp", all_pairs=True, random=20)
    assert report.ok, str(report)


# --- repeats ------------------------------------------------------------------------------------------


def test_a_repeat_with_another_request_is_found() -> None:
    report = crash_at_every_index(planted.planted_region, "lamp")
    assert only_cause(report) is Cause.OTHER_REQUEST
    assert "before the region" in str(report)
    again = crash_at_every_index(planted.planted_region, "lamp", at=str(report.findings[0].task))
    assert not again.ok


def test_another_request_is_not_put_down_to_a_region_where_nothing_was_drawn_anew() -> None:
    report = crash_at_every_index(planted.planted_address, "lamp", at="3:before")
    assert only_cause(report) is Cause.OTHER_REQUEST
    assert "atomically" not in str(report)
    assert "id()" in str(report)


def test_a_repeat_with_the_same_request_passes() -> None:
    report = crash_at_every_index(planted.mended_region, "lamp")
    assert report.ok, str(report)
    assert report.verdicts[Verdict.AGAIN] > 0, "it is told that calls are made again"


def test_a_repeat_is_a_fault_of_what_must_not_be_repeated() -> None:
    assert crash_at_every_index(planted.planted_dispenser, 5).ok
    report = crash_at_every_index(planted.planted_dispenser, 5, once=["testing.planted.charge"])
    assert only_cause(report) is Cause.ONCE
    mended = crash_at_every_index(planted.mended_dispenser, 5, once=["testing.planted.charge"])
    assert mended.ok, str(mended)
    assert mended.verdicts[Verdict.PARKED] > 0


# --- class agents -------------------------------------------------------------------------------------


def test_the_state_of_class_agents_is_compared() -> None:
    calls = [("put", "book"), ("put", "pen")]
    report = crash_at_every_index(planted.PlantedShelf, "a", calls=calls)
    assert Cause.OTHER_STATE in {finding.judgement.cause for finding in report.findings}
    assert "number" in str(report)


def test_one_fault_is_told_once_however_its_values_differ() -> None:
    report = crash_at_every_index(planted.PlantedShelf, "b", calls=[("put", "book")])
    assert [f.judgement.about for f in report.findings] == ['number of PlantedShelf("b")']
    assert report.findings[0].count == report.verdicts[Verdict.DIVERGED] > 10


def test_a_class_agent_whose_state_is_its_own_passes() -> None:
    calls: list[Call | Sequence[Any]] = [
        ("put", "book"),
        Call("put", ("pen",), {"times": 2}),
        "empty",
        ("put", "cup"),
    ]
    report = crash_at_every_index(planted.MendedShelf, "a", calls=calls)
    assert report.ok, str(report)
    assert planted.CALLS == ["book", "pen", "cup"], "each was done once, in the calm run"


def test_at_every_wait_the_agent_may_be_unloaded() -> None:
    report = crash_at_every_index(planted.mended_patience, "b", suspend_after=0)
    assert report.ok, str(report)
    assert any(row.kind == "Suspend" for row in report.rows)


# --- effects ------------------------------------------------------------------------------------------


def test_stubs_are_called_in_place_of_durable_functions() -> None:
    report = crash_at_every_index(
        planted.mended_cache,
        "lamp",
        stubs={planted.charge: planted.stub_charge, "testing.planted.price_of": lambda item: 7},
    )
    assert report.ok, str(report)
    assert planted.CALLS == []
    assert any("stubbed lamp for 7" in row.text for row in report.rows)


def test_names_that_no_call_has_are_told() -> None:
    agent, known = planted.mended_dispenser, "testing.planted.charge"
    told = crash_at_every_index(agent, 5, once=["charge"], stubs={"charge": print}, at="none").notes
    assert [note.partition(" has had")[0] for note in told[:2]] == [
        "once 'charge'",
        "stub 'charge'",
    ]
    assert told[0].endswith(f"no call has this name. The calls are {known}.")
    stubs = {planted.charge: planted.stub_charge}
    report = crash_at_every_index(agent, 5, once=[known], stubs=stubs, at="none")
    assert "no effect" not in str(report)


def test_real_effects_are_performed_in_every_run() -> None:
    report = crash_at_every_index(planted.mended_dispenser, 5, effects="real")
    assert report.ok, str(report)
    assert len(planted.CALLS) > 20


# --- errors, and ends that do not come ----------------------------------------------------------------


def test_an_agent_that_raises_raises_the_same_after_every_crash() -> None:
    report = crash_at_every_index(planted.raising, "x")
    assert report.ok, str(report)
    assert "already raises ValueError('charged x')" in str(report)


def test_a_region_whose_call_fails_once_is_no_fault() -> None:
    WORLD.clear()
    parts = [["effect", "first"], ["flaky", "second"], ["effect", "third"]]
    report = crash_at_every_index(run_program, [["atomically", parts]])
    assert report.ok, str(report)


class Hurried(Bench):
    """Has half a second for each run but the calm one, which ends however long the machine is held up."""

    def calm(self) -> Calm:
        calm = super().calm()
        self._limit_s = 0.5
        return calm


def test_a_run_that_does_not_end_is_a_fault() -> None:
    crew = LocalCrew(Hurried(Subject(planted.planted_loop, ("x",))))
    report = fuzz(crew, Options())
    assert only_cause(report) is Cause.NO_END
    assert report.left_out > 0, "the others are not tried beside it"
    assert report.findings[0].judgement.reason == "call 1 from outside had not ended after 0.5 s"


class Leaving(LocalCrew):
    """Says that it can ask another process, and notes until when it may."""

    can_leave = True

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.asked: list[float | None] = []

    def run(self, tasks: Sequence[Task], ends_at: float | None) -> Iterator[Done]:
        if all(task.hash_seed is None for task in tasks):
            yield from super().run(tasks, ends_at)
        else:
            self.asked.append(ends_at)


def test_nothing_is_begun_after_the_time_limit_not_even_to_explain_a_fault() -> None:
    crew = Leaving(Bench(Subject(planted.planted_cache, ("lamp",))))
    report = fuzz(crew, Options(time_limit_s=3_600.0))
    assert len(report.findings) == 1
    (ends_at,) = crew.asked
    assert ends_at is not None
    assert ends_at > 3_600.0


def test_a_report_of_nothing_is_not_ok() -> None:
    report = crash_at_every_index(planted.mended_dispenser, 5, at="99:lost")
    assert not report.ok
    assert report.verdicts == {Verdict.UNREACHED: 1}
    assert "1 run in" in str(report)
    (note,) = report.notes
    assert note.endswith("The last entries without crashes: 7 of mended_dispenser(5).")
    nothing = evolve(report, verdicts={}, left_out=7)
    assert not nothing.ok
    assert "7 more runs were planned" in str(nothing)
    assert "nothing was shown: nothing was tried" in str(nothing)


def test_a_process_that_ends_itself_is_told() -> None:
    with pytest.raises(Exception, match="status 7"):
        crash_at_every_index(planted.planted_leaving, "x", jobs=2)


@pytest.mark.parametrize(
    ("target", "options", "complaint"),
    [
        pytest.param(planted.no_agent, {}, "@agent", id="no-agent"),
        pytest.param(planted.MendedShelf, {}, "which of its methods", id="no-calls"),
        pytest.param(planted.raising, {"calls": ["run"]}, "no methods", id="function-with-calls"),
        pytest.param(planted.raising, {"calls": [7]}, "method, .arguments", id="no-call"),
        pytest.param(planted.raising, {"effects": "some"}, "recorded", id="effects"),
        pytest.param(planted.raising, {"at": "7"}, "INDEX:MOMENT", id="at"),
        pytest.param(planted.raising, {"kwargs": {"more": 1}}, "more", id="arguments"),
        pytest.param(planted.raising, {"more": 1}, "no option .more.", id="options"),
        pytest.param(planted.MendedShelf, {"calls": ["put"]}, "put.*'item'", id="too-few"),
        pytest.param(planted.MendedShelf, {"calls": [("empty", 1)]}, "empty.*many", id="too-many"),
    ],
)
def test_what_cannot_be_run_is_refused(
    target: Callable[..., Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        crash_at_every_index(target, "x", **options)


def test_an_agent_that_cannot_be_imported_runs_in_this_process_only() -> None:
    def local(text: str) -> str:
        return text

    local.__qualname__ = "somewhere.<locals>.local"
    agent(name="unimportable_agent")(local)
    assert crash_at_every_index(local, "x").ok
    with pytest.raises(UsageError, match="cannot be imported"):
        crash_at_every_index(local, "x", jobs=2)

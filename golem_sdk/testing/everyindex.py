"""Runs one test of pytest calmly, and then killed at each oplog append."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _pytest.runner import get_reraise_exceptions, runtestprotocol  # as pytest-rerunfailures does

from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.plugin import APPENDS, POINT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run_at_every_index"]


def run_at_every_index(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test, and report one outcome: the first failure, or that of the calm run."""
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = _run(item, None)
    if _all_passed(reports):
        appends = item.stash.get(APPENDS, 0)
        if not appends:
            reports[1] = _unsuitable(item, reports[1])
        runs = 0
        for point in _points(appends):
            failed = _run(item, point)
            runs += 1
            if not _all_passed(failed):
                reports = [_told(report, point, appends) for report in failed]
                break
        item.user_properties.append(("golem_crashes", runs))
    for report in reports:
        if report.when != "teardown" or report.failed:
            hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logreport(report=_left(item, nextitem))
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _run(item: pytest.Item, point: CrashPoint | None) -> list[pytest.TestReport]:
    item.stash[POINT] = point
    # As if the next test were another one of the same module: only this one's own fixtures end.
    above: pytest.Item = item.parent  # type: ignore[assignment]  # only its place in the tree counts
    return runtestprotocol(item, log=False, nextitem=above)


def _left(item: pytest.Item, nextitem: pytest.Item | None) -> pytest.TestReport:
    """End the fixtures that the next test does not need. The hooks of a teardown have been called already."""
    call = pytest.CallInfo.from_call(
        lambda: item.session._setupstate.teardown_exact(nextitem),
        when="teardown",
        reraise=get_reraise_exceptions(item.config),
    )
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return report


def _points(appends: int) -> Iterator[CrashPoint]:
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            yield CrashPoint(append, moment)


def _all_passed(reports: list[pytest.TestReport]) -> bool:
    return len(reports) == 3 and all(report.passed for report in reports)


def _told(report: pytest.TestReport, point: CrashPoint, appends: int) -> pytest.TestReport:
    if not report.passed:
        where = f"append={point.append}, moment=CrashMoment.{point.moment.name}"
        report.sections.append(
            (
                "golem: the test passed without a crash",
                f"It failed when the process was killed at oplog append {point.append} of {appends},"
                f" {point.moment.value}.\nTo repeat only this, begin the test with: crash({where})",
            )
        )
    return report


def _unsuitable(item: pytest.Item, report: pytest.TestReport) -> pytest.TestReport:
    report.outcome = "failed"
    report.longrepr = (
        f"{item.name} is marked every_index, but no agent did anything on the `runtime` fixture: there is"
        " nothing to kill. Take the fixture, or the marker away"
    )
    return report

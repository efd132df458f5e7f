"""What ``golem fuzz`` writes: inert, whatever agents are named, and the same names in every run."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from attrs import evolve

from golem_sdk.cli.fuzz import Bar
from golem_sdk.cli.output import print_yaml
from golem_sdk.testing.crews import Task
from golem_sdk.testing.reports import Finding, Report, report_html, report_junit, report_lines
from golem_sdk.testing.schedules import CrashAt, Moment, Row
from golem_sdk.testing.verdicts import Cause, Judgement, Verdict

if TYPE_CHECKING:
    import pytest

HOSTILE = "\x1b[2J\u202eevil<b>"
REPORT = Report(
    f"A({HOSTILE})",
    (Row(f"A({HOSTILE})", 1, "write-remote", HOSTILE, HOSTILE, 1),),
    {(f"A({HOSTILE})", 1, "lost"): Verdict.LOST},
    (
        Finding(
            Task((CrashAt(1, Moment.LOST, HOSTILE),)),
            Judgement(Verdict.LOST, Cause.MISSING, HOSTILE, HOSTILE),
            2,
            (HOSTILE,),
            (f"why: {HOSTILE}",),
        ),
    ),
    {Verdict.LOST: 2},
    2,
    0,
    0.1,
    0.2,
    (HOSTILE,),
    1,
    f"golem fuzz {HOSTILE}",
)


def test_what_agents_are_named_is_inert_in_every_report() -> None:
    for text in ("\n".join(report_lines(REPORT)), report_html(REPORT), report_junit(REPORT)):
        assert "evil" in text
        assert not {"\x1b", "\u202e"} & set(text)
    assert "<b>" not in report_html(REPORT)
    ElementTree.fromstring(report_junit(REPORT))


def test_a_line_is_never_longer_than_the_screen() -> None:
    matrix = list(report_lines(REPORT, None, 60))[2:4]
    assert max(map(len, matrix)) <= 60


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_on_a_terminal_and_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    bar = Bar(stream)
    bar(0, 0, 0)
    bar(1, 2, 0)
    bar(2, 2, 1)
    bar.close()
    text = stream.getvalue()
    assert "the first run, without crashes" in text
    assert "1 of 2 runs" in text
    assert "2 of 2 runs, 1 with a fault" in text
    assert text.endswith("\r\x1b[K")


def test_no_bar_elsewhere() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar(1, 2, 0)
    bar.close()
    assert stream.getvalue() == ""


def test_yaml_is_printed_in_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    print_yaml({"a": [1, {"b": None, "c": []}, "x: \u202e"], "d": {}, "e": True})
    assert capsys.readouterr().out == (
        '"a":\n  - 1\n  -\n    "b": null\n    "c": []\n  - "x: \\u202e"\n"d": {}\n"e": true\n'
    )


def test_the_cli_does_not_load_the_testing_room() -> None:
    program = "import sys, golem_sdk.cli.command_line; print('golem_sdk.testing' in sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "False\n"


def test_a_test_of_the_junit_file_has_the_same_name_whatever_it_shows() -> None:
    calm = evolve(REPORT, cells=dict.fromkeys(REPORT.cells, Verdict.SAME), findings=())
    failed = ElementTree.fromstring(report_junit(REPORT))[0]
    passed = ElementTree.fromstring(report_junit(calm))[0]
    names = [[case.get("name") for case in suite.iter("testcase")] for suite in (failed, passed)]
    assert names == [["1 lost", "fault 1: an effect is missing"], ["1 lost"]]
    assert failed.get("failures") == str(len(failed.findall("testcase/failure"))) == "2"
    assert passed.get("failures") == str(len(passed.findall("testcase/failure"))) == "0"

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from cli.shelf import golem
from golem_sdk import originals
from golem_sdk.cli.command_line import run_command_line
from golem_sdk.cli.fuzz import Bar

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
from dataclasses import dataclass
from golem_sdk import agent, atomically, durable
from uuid import uuid4

@durable
def ship(item, *, times=1):
    with open("shipped", "a") as file:
        file.write(item)
    return f"{item} x {times}"

def pretend(item, *, times=1):
    return f"pretended {item}"

@agent
def parcel(item, times=1):
    return ship(item, times=times)

@agent
class Depot:
    def __init__(self, town):
        self.sent = []

    def send(self, item, times=1):
        self.sent.append(ship(item, times=times))
        return len(self.sent)

@agent
def planted(item):
    with atomically():
        order = str(uuid4())
        ship(order)
        return ship(item)

@agent
def endless(item):
    while True:
        pass

@agent
def leaving(item):
    os._exit(5)

@agent
def raising(item):
    raise ValueError(ship(item))

@dataclass
class Parcel:
    number: int

class RefusedError(OSError):
    def __init__(self, parcel):
        super().__init__(parcel)

packed = []

@agent
def packing(item):
    packed.append(item)
    ship(item)
    return Parcel(len(packed))

@agent
def asking(item):
    packed.append(item)
    ship(Parcel(len(packed)))

@agent
def refusing(item):
    ship(item)
    raise RefusedError(Parcel(1))

count = 7
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fuzzed_shop.py").write_text(PROGRAM)
    (tmp_path / "fuzzed_broken.py").write_text("import fuzzed_shop\nraise OSError('no disk')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def run(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run_command_line(["fuzz", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.err == "", "a progress bar is for terminals only"
    return printed.out


def complaint(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert run_command_line(["fuzz", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("golem: ")
    return printed.err


def test_a_durable_agent_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = run(capsys, 0, "fuzzed_shop:parcel", '"lamp"', "times=2", "--hash-seeds", "1")
    header, _, titles, *rows = text.splitlines()
    assert header.startswith('parcel("lamp", 2): 5 oplog entries, 1 durable call; ')
    assert titles.split() == [
        "#",
        "ENTRY",
        "EFFECT",
        "BEFORE",
        "LOST",
        "DURABLE",
        "PAIRS",
        "SEEDS",
        "SOURCE",
    ]
    (call,) = (row for row in rows if "fuzzed_shop.ship" in row and "write-remote" in row)
    assert call.split()[-7:-1] == ["same", "again", "again", "same", "again", "same"]
    assert "fuzzed_shop.py:" in call
    assert "no fault: " in rows[-1]
    assert (tmp_path / "shipped").read_text() == "lamp", "it was really shipped once"


def test_a_fault_is_told_with_the_command_that_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["fuzzed_shop:planted", '"lamp"', "--hash-seeds", "0"]
    text = run(capsys, 1, *arguments)
    assert "1. REPEATED: the same call with another request" in text
    (line,) = (line for line in text.splitlines() if line.startswith("   try  "))
    assert line.split()[1:4] == ["golem", "fuzz", "fuzzed_shop:planted"]
    schedule = line.split()[-1]
    again = run(capsys, 1, *arguments[:2], "--at", schedule)
    assert "1. REPEATED: the same call with another request" in again
    assert "2 runs in" in again


@pytest.mark.parametrize("agent", ["packing", "asking"])
def test_values_of_classes_that_only_the_agent_s_process_has_are_compared_and_shown(
    agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(capsys, 1, f"fuzzed_shop:{agent}", '"lamp"', "--hash-seeds", "0")
    assert "DIVERGED" in text
    assert "Parcel(number=1)" in text
    assert "Parcel(number=2)" in text


def test_the_same_exception_with_such_a_value_is_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = run(capsys, 0, "fuzzed_shop:refusing", '"lamp"', "--hash-seeds", "0")
    assert "already raises " in text
    assert "Parcel(number=1)" in text


def test_a_schedule_without_fault_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, 0, "fuzzed_shop:parcel", '"lamp"', "--at", "4:before,4:lost")
    assert "The process dies after the effect of entry 4 has happened" in text
    assert "The recovery dies after entry 4 is appended" in text
    assert "no fault: 1 again" in text


def test_methods_of_a_class_agent_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    calls = ["--call", "send", '"lamp"', "times=3", "--call", "send", '"pen"']
    output = run(
        capsys,
        0,
        "fuzzed_shop:Depot",
        '"Ulm"',
        *calls,
        "--format",
        "json",
        *("--jobs", "2", "--random", "5", "--hash-seeds", "0"),
    )
    values: dict[str, Any] = json.loads(output)
    assert (values["ok"], values["agent_id"], values["findings"]) == (True, 'Depot("Ulm")', [])
    texts = [entry["call"] for entry in values["entries"]]
    assert "send('lamp', times=3)" in texts
    assert values["runs"] == sum(values["verdicts"].values())
    ship = next(entry for entry in values["entries"] if "fuzzed_shop.ship" in entry["call"])
    assert ship["verdicts"].keys() >= {"before", "lost", "durable"}


def test_calls_may_be_stubbed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = run(
        capsys,
        0,
        *("fuzzed_shop:parcel", '"lamp"', "--hash-seeds", "0"),
        *("--stub", "fuzzed_shop.ship=fuzzed_shop:pretend"),
    )
    assert "pretended lamp" in text
    assert not (tmp_path / "shipped").exists()


def test_what_must_not_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(
        capsys,
        1,
        *("fuzzed_shop:parcel", '"lamp"', "--hash-seeds", "0", "--once", "fuzzed_shop.ship"),
    )
    assert "idempotence_mode(False)" in text
    assert "--once fuzzed_shop.ship --at " in text


def test_an_agent_that_raises_is_compared_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = run(capsys, 0, "fuzzed_shop:raising", '"lamp"', "--hash-seeds", "0")
    assert "already raises ValueError('lamp x 1')" in text


def test_reports_are_written_for_people_and_for_machines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(
        capsys,
        1,
        *("fuzzed_shop:planted", '"<lamp>"', "--hash-seeds", "0"),
        *("--html", "report.html", "--junit", "report.xml", "--format", "yaml"),
    )
    page = (tmp_path / "report.html").read_text()
    assert "&lt;lamp&gt;" in page
    assert "<lamp>" not in page
    assert "REPEATED" in page
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    told = [failure.get("message") for failure in suite.findall("testcase/failure")]
    assert set(told) == {"REPEATED"}
    assert suite.get("failures") == str(len(told))


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["fuzzed_nowhere:x"], "there is no module fuzzed_nowhere", id="no-module"),
        pytest.param(["fuzzed_shop:nothing"], "has no nothing", id="no-such-name"),
        pytest.param(["fuzzed_shop.py:parcel"], "MODULE:NAME", id="file-name"),
        pytest.param(["fuzzed_shop"], "MODULE:NAME", id="no-name"),
        pytest.param(["fuzzed_broken:x"], "no disk", id="broken-module"),
        pytest.param(["fuzzed_shop:pretend"], "@agent", id="no-agent"),
        pytest.param(["fuzzed_shop:count"], "is 7, neither", id="no-function"),
        pytest.param(["fuzzed_shop:parcel"], "missing a required argument", id="no-argument"),
        pytest.param(["fuzzed_shop:parcel", "lamp"], "a text is written '\"lamp\"'", id="no-json"),
        pytest.param(["fuzzed_shop:parcel", "item={"], "arguments are JSON", id="broken-json"),
        pytest.param(["fuzzed_shop:Depot", '"Ulm"'], "which of its methods", id="no-call"),
        pytest.param(
            ["fuzzed_shop:Depot", '"Ulm"', "--call", "fly"], "no method 'fly'", id="no-method"
        ),
        pytest.param(
            ["fuzzed_shop:parcel", "1", "--call", "send"], "no methods", id="call-of-function"
        ),
        pytest.param(["fuzzed_shop:parcel", "1", "--at", "7"], "INDEX:MOMENT", id="no-schedule"),
        pytest.param(["fuzzed_shop:parcel", "1", "--stub", "x"], "CALL=MODULE", id="no-stub"),
        pytest.param(
            ["fuzzed_shop:parcel", "1", "--stub", "x=fuzzed_shop:nothing"],
            "has no nothing",
            id="no-such-stub",
        ),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in complaint(capsys, 2, *arguments)


@pytest.mark.parametrize(
    "options",
    [
        ["--jobs", "0"],
        ["--random", "-1"],
        ["--time-limit", "0"],
        ["--time-limit", "soon"],
        ["--format", "xml"],
        ["--at"],
    ],
)
def test_wrong_options_are_status_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command_line(["fuzz", "fuzzed_shop:parcel", "1", *options])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "usage: golem fuzz" in said
    assert "_seconds" not in said, "no name of ours"


def test_an_agent_that_never_ends_ends_with_the_time_limit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = complaint(capsys, 1, "fuzzed_shop:endless", '"x"', "--time-limit", "0.3")
    assert "did not end in time: call 1 from outside had not ended after 0.3 s" in text


def test_an_agent_that_ends_its_process_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "status 5" in complaint(capsys, 1, "fuzzed_shop:leaving", '"x"')


def test_a_report_that_cannot_be_written_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("fuzzed_shop:parcel", "1", "--at", "none", "--html")
    assert run_command_line(["fuzz", *arguments, str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "cannot be written" in printed.err
    assert "no fault: 1 same" in printed.out, "what was found is not lost"
    assert "no directory" in complaint(capsys, 2, *arguments, "gone/report.html"), "told at once"


def test_time_that_is_up_is_no_fault_but_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, passed = originals.monotonic, [0.0]
    monkeypatch.setattr(originals, "monotonic", lambda: now() + passed[0])
    monkeypatch.setattr(Bar, "__call__", lambda *_: passed.append(passed.pop() + 1e6))
    text = run(capsys, 0, "fuzzed_shop:parcel", "1", "--time-limit", "1000")
    assert "more runs were planned and not made" in text


def test_where_nothing_was_shown_nothing_has_passed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    places = ("--html", "report.html", "--junit", "report.xml")
    text = run(capsys, 1, "fuzzed_shop:parcel", '"x"', "--at", "99:before", *places)
    assert "nothing was shown: 1 not reached" in text
    assert "nothing was shown" in (tmp_path / "report.html").read_text()
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.get("failures"), len(suite.findall("testcase/failure"))) == ("1", 1)


def test_a_misspelt_call_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--at", "none", "--once", "fuzzed_shop.shp", "--stub", "shp=fuzzed_shop:pretend")
    text = run(capsys, 0, "fuzzed_shop:parcel", '"x"', *given)
    assert "once 'fuzzed_shop.shp' has had no effect: no call has this name" in text
    assert "stub 'shp' has had no effect" in text


def test_the_command_runs_as_a_program() -> None:
    finished = golem("fuzz", "fuzzed_shop:parcel", '"lamp"', "--at", "4:lost")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "no fault" in finished.stdout

"""The command that runs everything: what it publishes, and when it does not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import prove
from proof.figures import FIGURES, NAMES, Counts
from proof.junit import Results
from proof.report import (
    BEGIN,
    END,
    NOTHING,
    README,
    load_run,
    section,
    table,
    too_few,
    with_section,
)
from proof.suites import ROOT, SUITES, Outcome, Suite, run_suite

if TYPE_CHECKING:
    from pathlib import Path


def enough() -> Counts:
    counts: Counts = Counter()
    for name in NAMES:
        counts[name] = FIGURES[name].least
        counts.update({f"{name}: {detail}": 7_000 for detail in FIGURES[name].details})
    return counts


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}what was there{END}after\n")
    monkeypatch.setattr(prove, "README", path)
    monkeypatch.setattr(prove, "RECORD", tmp_path / "record.json")
    return path


def give(monkeypatch: pytest.MonkeyPatch, first: Results, broken: str = "") -> None:
    """The first suite gives these results, the others nothing."""

    def run(suite: Suite, seed: int, scratch: Path) -> Outcome:
        if suite is SUITES[0]:
            return Outcome(suite, first, 60.4, 30.0, broken)
        return Outcome(suite, Results(tests=1), 1.0, 1.0)

    monkeypatch.setattr(prove, "run_suite", run)


def test_a_full_run_is_published(
    readme: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, Results(enough(), tests=40))
    assert prove.main(["--seed", "17"]) == 0
    run = load_run(readme.with_name("record.json"))
    assert run is not None
    assert readme.read_text() == f"before\n{BEGIN}{section(run)}{END}after\n"
    assert (run.seed, run.tests) == (17, 40 + len(SUITES) - 1)
    assert Counter(run.counts) == enough()
    assert f"x{SUITES[0].scale}" in capsys.readouterr().out
    assert prove.main(["--seed", "18"]) == 0  # in place of the other
    assert readme.read_text().count("seed") == 1


def lacking(name: str) -> Results:
    counts = enough()
    counts[name] -= 1
    return Results(counts, skipped=("test_x: no strace",))


@pytest.mark.parametrize(
    ("given", "broken", "said"),
    [
        (
            Results(enough(), failed=("test_a",)),
            "",
            "failed: test_a\n    again: GOLEM_FUZZ=70 GOLEM_SEED=",
        ),
        (Results(enough()), "pytest ended with 3", "pytest ended with 3"),
        (lacking("double crashes"), "", "double crashes: 19,999 of 20,000"),
        (lacking("simulated years"), "", "simulated years: 0.0 of 1"),
        (lacking("power-loss states"), "", "skipped: test_x: no strace"),
    ],
    ids=["failed", "broken", "few", "none", "skipped"],
)
def test_what_is_not_whole_is_not_published(
    readme: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: Results,
    broken: str,
    said: str,
) -> None:
    give(monkeypatch, given, broken)
    assert prove.main([]) == 1
    assert said in capsys.readouterr().out
    assert "what was there" in readme.read_text()
    assert not readme.with_name("record.json").exists()


@pytest.mark.parametrize("option", [["--dry"], ["--only", *(suite.name for suite in SUITES)]])
def test_a_dry_run_writes_nothing(
    readme: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    give(monkeypatch, Results(enough()))
    assert prove.main(option) == 0
    assert "what was there" in readme.read_text()


def test_a_suite_is_run_at_its_size_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")  # its conftest is in another place
    path = tmp_path / "test_proof_inner.py"
    path.write_text(
        "def test_one(proved, fuzz_scale, fuzz_seed):\n    proved('real kills', fuzz_scale * fuzz_seed)\n"
        "def test_other(proved):\n    proved('real kills')\n"
    )
    suite = Suite("inner", str(path), 6, "one")
    options = ["-p", "conftest", "-c", str(ROOT / "pyproject.toml")]
    outcome = run_suite(suite, 7, tmp_path, *options)
    assert outcome.broken == ""
    assert outcome.results.counts == {"real kills": 42}
    assert outcome.results.tests == 1


def test_a_suite_that_is_not_there_is_no_suite_that_passes(tmp_path: Path) -> None:
    outcome = run_suite(Suite("gone", "tests/proof/test_proof_gone.py", 1), 1, tmp_path)
    assert "pytest ended with 4" in outcome.broken
    outcome = run_suite(Suite("none", "tests/proof/test_proof_command.py", 1, "gone"), 1, tmp_path)
    assert "pytest ended with 5" in outcome.broken


def test_a_run_of_any_size_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.xml"
    case = '<testcase classname="a" name="b"><properties>{}</properties></testcase>'
    one = '<property name="proved" value="{{&quot;{}&quot;: 1}}"/>'
    report.write_text(f"<testsuites>{case.format(''.join(map(one.format, NAMES)))}</testsuites>")
    assert prove.main(["--read", str(report)]) == 0
    assert capsys.readouterr().out.strip() == table(Counter(dict.fromkeys(NAMES, 1))).strip()
    report.write_text(f"<testsuites>{case.format(one.format(NAMES[0]))}</testsuites>")
    assert prove.main(["--read", str(report)]) == 1
    assert "nothing was counted: real kills" in capsys.readouterr().out


def test_a_readme_without_marks_is_refused() -> None:
    for text in ("", BEGIN, END, END + BEGIN):
        with pytest.raises(ValueError, match="lacks its marks"):
            with_section(text, "x")


@pytest.mark.static
def test_the_readme_shows_the_last_full_run_as_the_command_writes_it() -> None:
    run, readme = load_run(), README.read_text()
    assert with_section(readme, section(run)) == readme
    assert run is None or list(too_few(Counter(run.counts))) == []
    assert (run is None) == (NOTHING in readme)

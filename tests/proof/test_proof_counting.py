"""What is published was counted by tests that passed, once, whoever ran them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proof.figures import FIGURES, FigureName
from proof.junit import Results, read_junit
from static.source_tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
    import pytest

    def test_once(proved):
        proved("real kills", writes=3, again=1)

    def test_equal_cases(proved):
        for case in ["a", ("b", 1), "a", ("b", 1), ("b", 2)]:
            proved("damaged stores", 2, case=case, noticed=1, harmless=0)

    @pytest.mark.parametrize("number", [1, 20])
    def test_many(proved, record_property, number):
        proved("real kills", number, writes=2, again=0)
        record_property("other", 5)
        proved("real kills", number, writes=5, again=0)
        proved("simulated years", 0.5)

    def test_fails_after_counting(proved):
        proved("real kills", 4000)
        assert False

    @pytest.fixture
    def broken():
        yield
        raise LookupError

    def test_fails_at_its_end(proved, broken):
        proved("real kills", 5000)

    def test_skipped_after_counting(proved):
        proved("real kills", 6000)
        pytest.skip("no strace")

    def test_that_counts_nothing():
        pass
"""


@pytest.fixture
def results(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    """Runs tests in processes of their own and gives what is read of their report."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(source: str, *options: str) -> Results:
        pytester.makepyfile(source)
        pytester.makeini("[pytest]\nfilterwarnings = error\njunit_family = xunit1\n")
        pytester.runpytest_subprocess("-p", "proof.counting", "--junit-xml=report.xml", *options)
        return read_junit(pytester.path / "report.xml")

    return run


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["one", "workers"])
def test_only_tests_that_passed_count_and_each_once(results: object, options: tuple[str]) -> None:
    found = results(TESTS, *options)  # type: ignore[operator]  # a fixture that is called
    assert found.counts == {
        "real kills": 43,
        "real kills: writes": 17,
        "real kills: again": 1,
        "simulated years": 1.0,
        "damaged stores": 6,
        "damaged stores: noticed": 3,
    }
    assert found.tests == 7
    counted, ended = sorted(found.failed)
    assert "::test_fails_after_counting: assert False" in counted
    assert "::test_fails_at_its_end: " in ended
    assert "LookupError" in ended
    (reason,) = found.skipped
    assert reason.endswith("no strace")


@pytest.mark.parametrize(
    "call", ['"real kils"', '"real kills", lost=3', '"real kills", -1', '"real kills", again=-1']
)
def test_what_has_no_place_in_the_table_fails(results: object, call: str) -> None:
    found = results(f"def test_one(proved):\n    proved({call})")  # type: ignore[operator]  # as above
    assert len(found.failed) == 1
    assert not found.counts


def test_results_add_up(tmp_path: Path) -> None:
    one, other = Results(tests=2, failed=("a",)), Results(tests=3, skipped=("b",))
    one.counts["real kills"], other.counts["real kills"] = 4, 5
    assert one + other == Results(one.counts + other.counts, 5, ("a",), ("b",))
    assert (one + other).counts["real kills"] == 9


@pytest.mark.parametrize(
    ("name", "count", "shown"),
    [
        ("real kills", 1999.99, "1,999"),
        ("real kills", 12_345_678, "12,345,678"),
        ("simulated years", 0.99, "0.9"),
        ("simulated years", 7.0, "7.0"),
    ],
)
def test_a_number_is_never_rounded_up(name: FigureName, count: float, shown: str) -> None:
    assert FIGURES[name].number(count) == shown

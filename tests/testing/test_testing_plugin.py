"""The pytest plugin, as users see it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from static.source_tree import ROOT, run_python
from testing.inner import run_tests

if TYPE_CHECKING:
    import pytest

SHOP = """
    import time
    from datetime import timedelta

    import pytest

    from golem_sdk import agent, durable

    SENT = []

    @durable
    def send(item: str) -> str:
        SENT.append(item)
        return f"{item} sent"

    @agent
    class Shop:
        def __init__(self, town: str) -> None:
            self.sold = 0

        def sell(self, item: str) -> int:
            send(item)
            time.sleep(3600)
            self.sold += 1
            return self.sold

    @pytest.fixture(autouse=True)
    def nothing_sent():
        SENT.clear()
"""


def shop(pytester: pytest.Pytester, tests: str) -> None:
    dedented = re.sub(r"(?m)^    ", "", tests)
    pytester.makepyfile(test_shop=re.sub(r"(?m)^    ", "", SHOP) + dedented)


def test_runtime_clock_and_crash(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(
        pytester,
        """
    def test_time_stands_still(runtime, clock):
        began = clock.now
        handle = runtime.trigger(runtime.get(Shop, "Ulm").sell, "lamp")
        clock.advance(1800)
        assert handle.status().name == "RUNNING"
        assert timedelta(minutes=29) < clock.advance_to_next_timer() < timedelta(minutes=31)
        assert handle.status().name == "COMPLETED"
        assert timedelta(minutes=59) < clock.now - began < timedelta(minutes=61)

    def test_it_passes_for_who_waits(runtime, clock):
        began = clock.now
        assert runtime.get(Shop, "Ulm").sell("lamp") == 1
        assert clock.now - began >= timedelta(hours=1)

    def test_crashes(runtime, crash):
        ulm = runtime.get(Shop, "Ulm")
        assert ulm.sell("lamp") == 1
        assert crash() is runtime
        assert crash(append=3) is runtime
        assert ulm.sell("chair") == 2
        assert runtime.crashes == 2
        assert SENT == ["lamp", "chair", "chair"]
    """,
    )
    run_tests(pytester, monkeypatch).assert_outcomes(passed=3)


def test_every_index_passes_with_fresh_fixtures_each_time(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(
        pytester,
        """
    RUNS = []

    @pytest.fixture
    def fresh():
        RUNS.append("begun")
        yield
        RUNS.append("ended")

    @pytest.fixture(scope="module")
    def shared():
        RUNS.append("module")

    @pytest.mark.every_index
    @pytest.mark.parametrize("item", ["lamp", "chair"])
    def test_sells(runtime, item, fresh, shared):
        assert runtime.get(Shop, "Ulm").sell(item) == 1
        assert set(SENT) == {item}

    def test_after(shared):
        assert RUNS.count("module") == 1
        begun = RUNS.count("begun")
        assert begun == RUNS.count("ended")
        assert begun == 2 + 2 * 3 * 11, begun  # 11 entries, 3 moments
    """,
    )
    result = run_tests(pytester, monkeypatch, "--junitxml=out.xml")
    result.assert_outcomes(passed=3)
    assert 'name="golem_crashes" value="33"' in (pytester.path / "out.xml").read_text()


def test_every_index_tells_the_earliest_crash_that_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(
        pytester,
        """
    @pytest.mark.every_index
    def test_sells_once(runtime):
        runtime.get(Shop, "Ulm").sell("lamp")
        assert SENT == ["lamp"]

    @pytest.mark.every_index
    def test_fails_anyway(runtime):
        assert runtime.get(Shop, "Ulm").sell("lamp") == 2

    @pytest.mark.every_index
    def test_kills_nothing():
        pass

    @pytest.mark.every_index
    def test_is_skipped(runtime):
        pytest.skip("not today")

    def test_again(runtime, crash):
        from golem_sdk.testing import CrashMoment
        crash(append=5, moment=CrashMoment.BEFORE)
        runtime.get(Shop, "Ulm").sell("lamp")
        assert SENT == ["lamp", "lamp"]
    """,
    )
    result = run_tests(pytester, monkeypatch)
    result.assert_outcomes(passed=1, failed=3, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: assert ?'lamp', 'lamp'? == ?'lamp'?*",
            "*golem: the test passed without a crash*",
            "*killed at oplog append 5 of 11, before the append*",
            "*crash(append=5, moment=CrashMoment.BEFORE)",
        ]
    )
    assert result.stdout.str().count("golem: the test passed without a crash") == 1
    result.stdout.fnmatch_lines("*but no agent did anything on the `runtime` fixture*")


def test_who_has_fixtures_of_these_names_keeps_them(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import sys
        import pytest

        @pytest.fixture
        def runtime():
            return "mine"

        def test_it(runtime, request):
            assert runtime == "mine"
            heavy = {"golem_sdk.app", "golem_sdk.testing.virtual", "hypothesis", "lmdb", "msgpack"}
            assert heavy & set(sys.modules) == set()
        """
    )
    run_tests(pytester, monkeypatch).assert_outcomes(passed=1)


def test_importing_the_plugin_loads_next_to_nothing() -> None:
    program = (
        "import pytest, sys, json; before = set(sys.modules); import golem_sdk.testing.plugin;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    finished = run_python("-c", program)
    assert finished.returncode == 0, finished.stderr
    loaded = set(json.loads(finished.stdout))
    assert loaded == {"golem_sdk", "golem_sdk.testing", "golem_sdk.testing.plugin"}


def test_the_package_announces_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"golem": "golem_sdk.testing.plugin"}
    wanted = {re.split("[<>=]", each)[0] for each in project["optional-dependencies"]["testing"]}
    assert wanted == {"hypothesis", "pytest"}


def test_it_is_found_by_its_entry_point(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = pytester.mkdir("golem_announced-1.0.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: golem_announced\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest11]\ngolem = golem_sdk.testing.plugin\n")
    pytester.makepyfile("def test_it(runtime): assert runtime.appends == 0")
    monkeypatch.syspath_prepend(Path.cwd())
    run_tests(pytester, monkeypatch, plugin="golem").assert_outcomes(passed=1)

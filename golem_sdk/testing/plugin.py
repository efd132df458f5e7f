"""The pytest plugin: fixtures, the marker for a crash at every index, and cassettes.

It is there as soon as golem_sdk is installed beside pytest, and loads nothing until a test uses it:

- ``runtime``: a `VirtualRuntime`; ``clock``: its `VirtualClock`; ``crash``: ``crash()`` kills the process
  now, ``crash(append=3)`` at the third oplog append from now. Nothing sleeps, no file is written.
- ``@pytest.mark.every_index``: the test runs once calmly, and then once for each oplog append and each moment
  around it, at which the process is killed. Fixtures with function scope are made anew for each run.
- ``@pytest.mark.cassette``: durable calls are answered from ``tests/cassettes`` (ini option
  ``golem_cassettes``) and nothing is performed; ``pytest --golem-record`` performs and records them.

``-p no:golem`` switches it off. A fixture of your own with one of these names takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from golem_sdk.testing.clock import VirtualClock
    from golem_sdk.testing.crash import CrashMoment, CrashPoint
    from golem_sdk.testing.virtual import VirtualRuntime

__all__ = ["Crash", "clock", "crash", "runtime"]

POINT: pytest.StashKey[CrashPoint | None] = pytest.StashKey()
"""Where the run of a test is to be killed."""

APPENDS: pytest.StashKey[int] = pytest.StashKey()
"""How many entries the run of a test has appended."""

PASSED: pytest.StashKey[bool] = pytest.StashKey()
"""Whether the body of a test has passed."""

_ORPHANS: pytest.StashKey[list[str]] = pytest.StashKey()
_TAPE: pytest.StashKey[Any] = pytest.StashKey()
_CASSETTE = "golem_cassette"  # the user property with which workers tell of cassettes


class Crash(Protocol):
    """The fixture ``crash``."""

    def __call__(
        self, append: int | None = None, moment: CrashMoment | None = None
    ) -> VirtualRuntime:
        """Kill the process and open it again; see `VirtualRuntime.crash`. Gives the runtime."""
        ...


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Iterator[VirtualRuntime]:
    """A durable runtime in memory, on a virtual clock, that survives crashes (golem_sdk)."""
    from golem_sdk.testing.virtual import VirtualRuntime

    point = request.node.stash.get(POINT, None)
    tape = _tape(request)
    with VirtualRuntime(
        crashes=[] if point is None else [point], performer=None if tape is None else tape.player
    ) as made:
        yield made
        if tape is not None and request.node.stash.get(PASSED, False):
            request.node.user_properties.extend((_CASSETTE, line) for line in tape.ended(made))
        made.clock.advance()  # what goes on in the background has appended what it will
        request.node.stash[APPENDS] = made.appends


@pytest.fixture
def clock(runtime: VirtualRuntime) -> VirtualClock:
    """The virtual clock of ``runtime``: now, advance(seconds), advance_to_next_timer() (golem_sdk)."""
    return runtime.clock


@pytest.fixture
def crash(runtime: VirtualRuntime) -> Crash:
    """Kills ``runtime`` now, or at the n-th oplog append from now, and gives it recovered (golem_sdk)."""

    def kill(append: int | None = None, moment: CrashMoment | None = None) -> VirtualRuntime:
        runtime.crash(append, **({} if moment is None else {"moment": moment}))
        return runtime

    return kill


def _tape(request: pytest.FixtureRequest) -> Any:
    if request.node.get_closest_marker("cassette") is None:
        return None
    from golem_sdk.testing.tapes import open_tape

    tape = request.node.stash[_TAPE] = open_tape(request.node)
    return tape


# --- hooks ----------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the ini option of cassettes."""
    parser.getgroup("golem", "golem_sdk: durable agents").addoption(
        "--golem-record",
        action="store_true",
        help="perform the durable calls of tests marked `cassette`, and record their cassettes",
    )
    parser.addini(
        "golem_cassettes",
        "where the cassettes of durable calls are, relative to the root directory",
        default="tests/cassettes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.stash[_ORPHANS] = []
    for line in (
        "every_index: run calmly, then killed at every oplog append of the golem_sdk `runtime`",
        "cassette: durable calls of the golem_sdk `runtime` are answered from a recorded file",
    ):
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)  # before tests are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Look for cassettes that belong to no test."""
    if (config.rootpath / str(config.getini("golem_cassettes"))).is_dir():
        from golem_sdk.testing.tapes import orphans

        config.stash[_ORPHANS] = orphans(config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test marked `every_index` as often as it takes."""
    if item.get_closest_marker("every_index") is None:
        return None
    from golem_sdk.testing.everyindex import run_at_every_index

    run_at_every_index(item, nextitem)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep whether the test's body passed, for its cassette; tell what was missing there if it did not."""
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
        tape = item.stash.get(_TAPE, None)
        if tape is not None and report.failed:
            told = report.longreprtext
            report.sections.extend(
                ("golem cassette", text) for text in tape.missing() if text[:60] not in told
            )
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell which cassettes were recorded, what changed in them, and which are stale."""
    orphans = config.stash[_ORPHANS]
    told: dict[str, None] = dict.fromkeys(orphans)
    told |= {
        line: None
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, line in getattr(report, "user_properties", ())
        if name == _CASSETTE
    }
    if told:
        terminalreporter.section("golem cassettes")
        for line in told:
            terminalreporter.line(line)

"""What is told of agent code that stands still while threads of its agent wait, look by look."""

from __future__ import annotations

import sys
import threading
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from attrs import define, field

from golem_sdk import originals
from golem_sdk.runtime import watch as room
from golem_sdk.runtime.watch import _is_agent_code, _Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

HOLDER = 7
CALLS, AGENT = "golem_sdk.runtime.execution", "shop"


@define(eq=False)
class Threads:
    """The lanes of an agent: one has the baton, others wait or not."""

    waiting: list[str] = field(factory=lambda: ["shop.py:3"])
    alive: list[str] = field(factory=lambda: ["a thread"])
    baton: Any = field(factory=lambda: SimpleNamespace(holder=HOLDER, turns=1))

    def __len__(self) -> int:
        return len(self.alive)

    def waiting_at(self) -> list[str]:
        return self.waiting


def below(modules: tuple[str, ...], ask: Callable[[FrameType], Any]) -> Any:
    """Have a function look at a stack of calls: code of the first module has called that of the next."""
    inner: Callable[[], Any] = lambda: ask(sys._getframe(1))  # noqa: E731  # a def would have no type of its own
    for module in reversed(modules):
        code: dict[str, Any] = {"__name__": module, "inner": inner}
        exec("def call():\n    return inner()", code)
        inner = code["call"]
    return inner()


def standing(
    monkeypatch: pytest.MonkeyPatch, modules: tuple[str, ...], look: Callable[[_Watch], object]
) -> Any:
    """What a watch sees while the baton's holder is in code of these modules."""

    def held(frame: FrameType) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "_current_frames", lambda: {HOLDER: frame})
            return look(_Watch())

    return below(modules, held)


def test_a_place_is_told_at_the_second_look_and_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def look(watch: _Watch) -> list[int]:
        lanes: Any = Threads()
        told: list[int] = []
        before: tuple[object, ...] = ()
        for _ in range(3):
            before = watch._look(lanes, before)
            told.append(len(caplog.records))
        return told

    assert standing(monkeypatch, (CALLS, AGENT), look) == [0, 1, 1]
    [record] = caplog.records
    assert record.name == "golem_sdk"
    assert "threads of the agent wait for it to go on: at shop.py:3." in record.getMessage()


@pytest.mark.parametrize(("waiting", "turns"), [([], 0), (["shop.py:3"], 1)])
def test_code_is_not_told_that_keeps_nobody_waiting_or_goes_on(
    waiting: list[str],
    turns: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def look(watch: _Watch) -> None:
        lanes: Any = Threads(waiting)
        before = watch._look(lanes, ())
        lanes.baton.turns += turns
        watch._look(lanes, before)

    standing(monkeypatch, (CALLS, AGENT), look)
    assert not caplog.records


def test_a_durable_call_is_not_told_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def look(watch: _Watch) -> object:
        lanes: Any = Threads()
        return watch._look(lanes, watch._look(lanes, ()))

    assert standing(monkeypatch, (CALLS, AGENT, "golem_sdk.intercept.files"), look) == ()
    assert not caplog.records


def test_code_that_nobody_drives_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes: Any = Threads(baton=SimpleNamespace(holder=None, turns=1))
    assert standing(monkeypatch, (CALLS, AGENT), lambda watch: watch._look(lanes, ())) == ()


@pytest.mark.parametrize(
    ("modules", "is_agent_code"),
    [
        ((CALLS, AGENT), True),
        (("golem_sdk.runtime.lanes", AGENT), True),
        (("golem_sdk.runtime.loop", "asyncio.events", AGENT), True),
        (("golem_sdk.runtime.threads", "threading", AGENT), True),
        ((CALLS, AGENT, "golem_sdk.intercept.locks"), True),
        ((CALLS, AGENT, "golem_sdk.intercept.threads", "threading"), True),
        ((CALLS, AGENT, "golem_sdk.intercept.files", "pathlib"), False),
        ((CALLS,), False),
        (("golem_sdk.runtime.performing", AGENT), False),
        ((AGENT,), False),
    ],
)
def test_agent_code_is_what_the_sdk_has_called_last_and_is_not_its_own(
    modules: tuple[str, ...], is_agent_code: bool
) -> None:
    assert below(modules, _is_agent_code) is is_agent_code


def test_a_thread_watches_as_long_as_there_are_threads_to_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_PERIOD_S", 0.0)
    watch = _Watch()
    for _ in range(2):
        others = threading.enumerate()
        first, second = Threads(waiting=[]), Threads(waiting=[])
        for lanes in (first, second):
            watch.begin(lanes)  # type: ignore[arg-type]  # it is asked for no more than these have
        [thread] = [each for each in threading.enumerate() if each not in others]
        assert thread.name == "golem-watch"
        assert thread.daemon, "it keeps no process from its end"
        for lanes in (first, second):
            assert thread.is_alive()
            lanes.alive.clear()
        thread.join(60)
        assert not thread.is_alive()


def test_who_has_no_threads_any_more_is_not_kept_in_memory_by_the_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begins, goes_on = Event(), Event()

    def sleep(seconds: float) -> None:
        begins.set()
        goes_on.wait(60)

    monkeypatch.setattr(originals, "sleep", sleep)
    watch, lanes, others = _Watch(), Threads(waiting=[]), threading.enumerate()
    watch.begin(lanes)  # type: ignore[arg-type]  # it is asked for no more than these have
    [thread] = [each for each in threading.enumerate() if each not in others]
    assert begins.wait(60)
    known = ref(lanes)
    del lanes
    assert known() is None
    goes_on.set()
    thread.join(60)
    assert not thread.is_alive()

"""What an agent finds on disk when it is taken up again, and what becomes of those who are damaged."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable, idempotence_mode
from golem_sdk.codec.values import encode
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus, StatusRecord
from golem_sdk.errors import (
    AgentFailedError,
    DivergenceError,
    StoreCorruptError,
    UnknownAgentTypeError,
    UnknownOutcomeError,
)
from golem_sdk.runtime import definitions
from golem_sdk.runtime.definitions import code_of
from golem_sdk.runtime.kernel import Kernel
from golem_sdk.runtime.loading import parked_error
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import load_inbox
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.runtime.actor import Actor

GATE, REACHED, DONE = Event(), Event(), Event()
RAN: list[str] = []
SEEDS = count()


@agent
class LoadedAnew:
    def __init__(self, name: str) -> None:
        self.name = name

    def work(self, what: str) -> str:
        RAN.append(f"{self.name}: {what}")
        REACHED.set()
        GATE.wait(30)
        DONE.set()
        return what


@agent
class AlsoLoaded:
    def __init__(self, name: str) -> None:
        self.name = name

    def work(self, what: str) -> str:
        RAN.append(f"{self.name}: {what}")
        REACHED.set()
        GATE.wait(30)
        DONE.set()
        return what


@durable
def lost_on_the_way(what: str) -> None:
    REACHED.set()
    GATE.wait(30)


@agent
class SendsOnce:
    def __init__(self, name: str) -> None:
        self.name = name

    def send(self) -> None:
        with idempotence_mode(False):
            lost_on_the_way("x")

    def look(self) -> str:
        return self.name


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    for event in (GATE, REACHED, DONE):
        event.clear()
    RAN.clear()
    yield
    GATE.set()


@contextmanager
def opened(engine: MemoryEngine) -> Iterator[Runtime]:
    environment = VirtualEnvironment(next(SEEDS))  # each has fresh keys of its own
    with Runtime.over(engine, environment, Settings(write_behind_s=None)) as runtime:
        yield runtime
        GATE.set()
    environment.join(30)  # what was blocked notes nothing in the next one


def interrupted(*methods: tuple[Any, str]) -> MemoryEngine:
    """The store of a process that was killed while these ran."""
    engine = MemoryEngine()
    with opened(engine) as runtime:
        for kind, name in methods:
            REACHED.clear()
            target = runtime.get(kind, name)
            runtime.trigger(target.send if kind is SendsOnce else target.work, *_given(kind))
            assert REACHED.wait(30)
        left = engine.snapshot()
    for event in (GATE, REACHED, DONE):
        event.clear()
    RAN.clear()
    return left


def _given(kind: Any) -> tuple[str, ...]:
    return () if kind is SendsOnce else ("first",)


def test_libraries_are_prepared_before_an_agent_is_replayed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some may have been imported since. Replay is to meet what live code met."""
    GATE.set()
    with opened(MemoryEngine()) as runtime:
        runtime.get(LoadedAnew, "x").work("first")
        engine = runtime._kernel.engine.snapshot()  # type: ignore[attr-defined]  # it is in memory
    RAN.clear()
    with opened(engine) as runtime:
        kernel = runtime._kernel
        monkeypatch.setattr(kernel, "before_invocation", lambda: RAN.append("prepared"))
        runtime.get(LoadedAnew, "x").work("second")
    assert RAN == ["prepared", "x: first", "prepared", "x: second"]


# --- parked -----------------------------------------------------------------------------------------


def failed(error_type: str, code: str | None = None) -> StatusRecord:
    return StatusRecord(
        status=AgentStatus.FAILED,
        error="it went wrong",
        error_code=code_of("LoadedAnew") or "" if code is None else code,
        error_type=error_type,
    )


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        ("UnknownOutcomeError", UnknownOutcomeError),
        ("DivergenceError", DivergenceError),
        ("AgentFailedError", AgentFailedError),
    ],
)
def test_why_an_agent_is_parked(error_type: str, kind: type[AgentFailedError]) -> None:
    error = parked_error("LoadedAnew", "LoadedAnew(1)", failed(error_type))
    assert type(error) is kind
    assert error.agent_id == "LoadedAnew(1)"
    assert "it went wrong" in str(error)


def test_who_is_not_parked() -> None:
    assert parked_error("LoadedAnew", "LoadedAnew(1)", StatusRecord()) is None
    assert parked_error("LoadedAnew", "LoadedAnew(1)", failed("AgentFailedError", "other")) is None


def test_a_parked_agent_takes_no_new_calls_in_a_later_life() -> None:
    with opened(interrupted((SendsOnce, "x"))) as runtime:
        sender = runtime.get(SendsOnce, "x")
        with pytest.raises(UnknownOutcomeError):
            sender.look()
        again = runtime._kernel.engine.snapshot()  # type: ignore[attr-defined]  # it is in memory
    with opened(again) as runtime:
        with pytest.raises(
            UnknownOutcomeError, match="its code is still the one with which it failed"
        ):
            runtime.trigger(runtime.get(SendsOnce, "x").look, key="new")
        assert runtime.metadata('SendsOnce("x")').status is AgentStatus.FAILED


def test_a_parked_agent_whose_head_was_lost_stays_parked() -> None:
    with opened(interrupted((SendsOnce, "x"))) as runtime:
        with pytest.raises(UnknownOutcomeError):
            runtime.get(SendsOnce, "x").look()
        again = runtime._kernel.engine.snapshot()  # type: ignore[attr-defined]  # it is in memory
    again.commit([Batch(dels=((Space.HEAD, storage_key('SendsOnce("x")')),))])
    before = again.scan(Space.OPLOG, b"\0", None, limit=99)
    with opened(again) as runtime:
        with pytest.raises(
            UnknownOutcomeError, match="its code is still the one with which it failed"
        ):
            runtime.get(SendsOnce, "x").look()
        assert again.scan(Space.OPLOG, b"\0", None, limit=99) == before, "nothing was done"


# --- damage -----------------------------------------------------------------------------------------


def test_k2_an_oplog_whose_end_was_lost_is_damaged() -> None:
    GATE.set()
    with opened(MemoryEngine()) as runtime:
        runtime.get(LoadedAnew, "x").work("first")
        engine = runtime._kernel.engine.snapshot()  # type: ignore[attr-defined]  # it is in memory
    while page := engine.scan(Space.OPLOG, b"\0", None, limit=1, reverse=True):
        engine.commit([Batch(dels=((Space.OPLOG, page[0][0]),))])
    RAN.clear()
    damaged = pytest.raises(StoreCorruptError, match=r"ends at entry 0, but its entry \d was on")
    with opened(engine) as runtime, damaged:
        runtime.get(LoadedAnew, "x").work("more")
    assert RAN == []


def test_k2_a_damaged_agent_with_work_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    engine = interrupted((LoadedAnew, "hurt"), (LoadedAnew, "sound"))
    engine.commit([Batch(puts=((Space.HEAD, storage_key('LoadedAnew("hurt")'), b"\x91\xc0"),))])
    GATE.set()
    with opened(engine):
        assert DONE.wait(30), "it goes on by itself"
    assert RAN == ["sound: first"]
    assert "a damaged record was set aside, what does not need it runs on" in caplog.text


def test_k2_what_is_scheduled_for_a_damaged_agent_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened(MemoryEngine()) as runtime:
        runtime._kernel.environment.enter()  # time stands still
        runtime.schedule(timedelta(days=1), runtime.get(LoadedAnew, "hurt").work, "later")
        left = runtime._kernel.engine.snapshot()  # type: ignore[attr-defined]  # it is in memory
    left.commit([Batch(puts=((Space.HEAD, storage_key('LoadedAnew("hurt")'), b"\x91\xc0"),))])
    with opened(left):
        pass
    assert caplog.text.count("a damaged record was set aside") == 1


# --- code that arrives late -------------------------------------------------------------------------


def test_agents_go_on_when_their_code_arrives() -> None:
    engine = interrupted((AlsoLoaded, "a"), (LoadedAnew, "b"))
    late = definitions._definitions.pop("LoadedAnew")
    try:
        with opened(engine) as runtime:
            assert REACHED.wait(30), "others go on"
            REACHED.clear()
            with pytest.raises(UnknownAgentTypeError, match="no agent type named 'LoadedAnew'"):
                runtime.get(LoadedAnew, "b").work("more")
            definitions.register(late)
            assert REACHED.wait(30), "it goes on by itself"
            assert RAN == ["a: first", "b: first"]
    finally:
        definitions.register(late)


# --- resumed ----------------------------------------------------------------------------------------


def test_one_that_is_resumed_as_soon_as_it_is_parked_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its failure is on disk, where an operator sees it, before its actor has ended."""
    ended, resumed = Kernel.agent_ended, list[BaseException]()

    def late(kernel: Kernel, actor: Actor, reason: BaseException) -> None:
        if isinstance(reason, UnknownOutcomeError) and not resumed:
            resumed.append(reason)
            kernel.resolve(actor.agent_type, actor.agent_id, encode(None))
        ended(kernel, actor, reason)

    engine = interrupted((SendsOnce, "x"))
    monkeypatch.setattr(Kernel, "agent_ended", late)
    with opened(engine) as runtime:
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        assert len(resumed) == 1
        assert not load_inbox(engine, 'SendsOnce("x")'), "the invocation is over"
        assert runtime.get(SendsOnce, "x").look() == "x"

"""Runs the bodies of cases: bare, patched outside agents, in an agent live, in replay, and over crashes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk import Runtime, agent, intercept
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.driver import End, Step, drive
from intercept.replaying import PATIENT, engine_of, let_connections_close, only_new_objects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from golem_sdk.testing.crash import CrashPoint
    from intercept.suite.case import Case, Outside

__all__ = ["Life", "Run", "bare", "crash", "live_and_replayed", "patched", "run_bare", "similar"]

_ON_STAGE: list[tuple[Callable[[Any], Any], Any]] = []
"""The body and the outside of the run that is under way."""

_OUTCOMES: list[list[Any]] = []
_BARE: dict[tuple[str, str], Run] = {}


@frozen
class Run:
    """What a body gave, and what its outside remembers.

    Attributes:
        outcome: ``["result", value]``, or ``["error", type, args, text]``.
        writes, trace: of the outside.
    """

    outcome: list[Any]
    writes: list[Any]
    trace: list[Any]


@frozen
class Life:
    """An agent's live run and its replay without an outside.

    Attributes:
        live: the run.
        replayed: the outcome in replay.
        performed: names of calls that replay wanted to perform.
        changed: whether the outside was reached in replay.
        calls: names of the durable calls that were recorded.
    """

    live: Run
    replayed: list[Any]
    performed: list[str]
    changed: bool
    calls: list[str]


@agent
class Suite:
    """Does what is on stage."""

    def __init__(self, case: str) -> None:
        self.case = case

    def go(self) -> list[Any]:
        body, outside = _ON_STAGE[-1]
        _OUTCOMES.append(_outcome(body, outside))
        return _OUTCOMES[-1]

    async def go_async(self) -> list[Any]:
        body, outside = _ON_STAGE[-1]
        _OUTCOMES.append(await _outcome_async(body, outside))
        return _OUTCOMES[-1]

    def recall(self) -> None:
        """Does nothing; to answer, an agent that was unloaded has to be replayed."""


def run_bare(cases: Iterable[Case]) -> None:
    """Run all of these without any patch. Once for all of them: to take patches away and back takes long."""
    intercept.uninstall()
    try:
        for case in cases:
            for part in ("body", "failing"):
                _BARE[case.name, part] = _outside_agents(case.outside, getattr(case, part))
    finally:
        intercept.install()


def bare(case: Case, part: str) -> Run:
    """Without any patch (see `run_bare`). ``part``: ``"body"`` or ``"failing"``."""
    return _BARE[case.name, part]


def patched(case: Case, part: str) -> Run:
    """With patches in place, but outside agents."""
    intercept.install()
    return _outside_agents(case.outside, getattr(case, part))


@only_new_objects()
def live_and_replayed(case: Case, part: str) -> Life:
    """In an agent, and again in replay, when the outside is gone and nothing may be performed."""
    with case.outside() as outside:
        _put_on_stage(getattr(case, part), outside)
        with Runtime.over(MemoryEngine(), RealEnvironment(), PATIENT) as runtime:
            handle = runtime.get(Suite, case.name)
            runtime.trigger(getattr(handle, _method(case, part))).result(60)
            left = engine_of(runtime).snapshot()
            let_connections_close(runtime)
    live = _run(_OUTCOMES[-1], outside)
    refusal = _Refusal()
    with Runtime.over(left, RealEnvironment(), Settings(performer=refusal)) as runtime:
        handle = runtime.get(Suite, case.name)
        handle.recall()
        entries = [entry for _, entry in runtime.oplog(handle)]
    calls = [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]
    live_outcome, replayed = _OUTCOMES
    assert live_outcome == live.outcome
    changed = live != _run(live.outcome, outside)
    return Life(live, replayed, refusal.performed, changed, calls)


def crash(case: Case, part: str, points: Sequence[CrashPoint] = ()) -> tuple[End, Run]:
    """In an agent whose process dies at these points."""
    with case.outside() as outside:
        _put_on_stage(getattr(case, part), outside)
        step = Step(Suite, (case.name,), _method(case, part))
        end = drive([step], points, suspend_after_s=1.0)
        gc.collect()  # connections that a crash left open complain now, in this test
    kind, outcome = end.results[0][:2]
    assert kind == "result", end.results
    return end, _run(outcome, outside)


def similar(case: Case, outcome: list[Any]) -> list[Any]:
    """What outcomes of two runs must have in common."""
    kind, *rest = outcome
    if kind == "result":
        return [kind, case.view(rest[0])]
    return [kind, *(re.sub(r"0x[0-9a-f]+|\d{4,}", "#", text) for text in rest)]


class _Refusal:
    """A performer of durable calls that performs none."""

    def __init__(self) -> None:
        self.performed: list[str] = []

    def perform(self, session: Any, call: Any, scope: Any, action: Any) -> Any:
        self.performed.append(call.function_name)
        raise AssertionError(f"replay performs {call.function_name}")

    def perform_async(self, session: Any, call: Any, scope: Any, action: Any) -> Any:
        async def performing() -> Any:
            self.perform(session, call, scope, action)

        return performing


def _put_on_stage(body: Callable[[Any], Any], outside: Any) -> None:
    _ON_STAGE[:] = [(body, outside)]
    _OUTCOMES.clear()


def _method(case: Case, part: str) -> str:
    return "go_async" if inspect.iscoroutinefunction(getattr(case, part)) else "go"


def _outside_agents(make: Callable[[], Outside], body: Callable[[Any], Any]) -> Run:
    with make() as outside:
        if inspect.iscoroutinefunction(body):
            outcome = asyncio.run(_outcome_async(body, outside))
        else:
            outcome = _outcome(body, outside)
    return _run(outcome, outside)


def _run(outcome: list[Any], outside: Outside) -> Run:
    return Run(outcome, list(outside.writes), list(outside.trace))


def _outcome(body: Callable[[Any], Any], outside: Any) -> list[Any]:
    try:
        return ["result", body(outside)]
    except Exception as error:
        return _told(error)


async def _outcome_async(body: Callable[[Any], Awaitable[Any]], outside: Any) -> list[Any]:
    try:
        return ["result", await body(outside)]
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> list[Any]:
    kind = type(error)
    return ["error", f"{kind.__module__}.{kind.__qualname__}", repr(error.args), str(error)]

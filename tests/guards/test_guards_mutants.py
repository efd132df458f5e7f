"""A fault planted in each guard is caught by crashing a small program at every append.

A table: the program with what must hold of it in every life, and the faults of its guard.
"""

from __future__ import annotations

from collections.abc import Callable  # attrs classes are resolved at run time
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, frozen

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get_oplog_index,
    idempotence_mode,
    mark_begin_operation,
    mark_end_operation,
    oplog_commit,
    persistence_level,
    retry_policy,
    saga,
)
from golem_sdk.core.scopes import Scope
from golem_sdk.durability import is_live
from golem_sdk.errors import GolemError
from golem_sdk.guards.saga import Saga, _Done
from golem_sdk.runtime import retries
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.keys import Keys
from golem_sdk.runtime.operations import Operations
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

HAPPENED: list[tuple[int, str]] = []
"""Every effect: the life in which it happened, and what it was."""

LIFE: list[int] = [0]
FAILED: set[str] = set()


def happen(what: str) -> str:
    HAPPENED.append((LIFE[0], what))
    return what


effect = durable(name="mutants:effect")(happen)
look = durable(name="mutants:look", function_type=FunctionType.READ_LOCAL)(happen)


@durable
def down_once(what: str) -> str:
    if what not in FAILED:
        FAILED.add(what)
        raise ConnectionError(f"{what} is down")
    return happen(what)


def lives(what: str) -> list[int]:
    return [life for life, each in HAPPENED if each == what]


# --- programs, and what must hold ------------------------------------------------------------------


@agent
def mutant_region() -> str:
    with atomically():
        effect("a")
        effect("b")
    return effect("after")


def region_holds(result: Any) -> None:
    assert result == ("result", "after")
    assert lives("b"), "it was done"
    last = max(lives("b"))
    assert last in lives("a"), "both in one life: together"
    assert all(life < last or life not in lives("after") or life == last for life in lives("a"))
    assert not any(life > min(lives("after")) for life in lives("a")), "closed for ever"


@agent
def mutant_region_fails() -> str:
    with atomically():
        effect("a")
        if "b" not in FAILED:
            FAILED.add("b")
            raise ValueError("b")
        return effect("b")


def region_is_tried_again(result: Any) -> None:
    assert result == ("result", "b")
    assert max(lives("b")) in lives("a")


@agent
def mutant_operation() -> str:
    begin = mark_begin_operation()
    effect("a")
    effect("b")
    mark_end_operation(begin)
    return effect("after")


@agent
def mutant_once() -> str:
    with idempotence_mode(False):
        effect("wire")
    return effect("after")


def sent_at_most_once(result: Any) -> None:
    assert len(lives("wire")) <= 1, "never sent twice"
    unknown = result[:2] == ("error", "UnknownOutcomeError")
    assert unknown or result == ("result", "after")
    assert not (unknown and lives("after")), "what was noted is known"


@agent
def mutant_nothing() -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        if is_live():
            effect("unkept")
    return effect("after")


def zone_is_skipped(result: Any) -> None:
    assert result == ("result", "after")
    assert not any(life > min(lives("after")) for life in lives("unkept")), "skipped in replay"


@agent
def mutant_remote() -> str:
    with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        look("local")
        effect("remote")
        oplog_commit(1)
    return effect("after")


def local_runs_again(result: Any) -> None:
    assert result == ("result", "after")
    assert {life for life, _ in HAPPENED} == set(lives("local")), "in every life, replay or not"
    assert not any(life > min(lives("after")) for life in lives("remote"))


@agent
def mutant_retry() -> str:
    with retry_policy(RetryPolicy(max_attempts=3, min_delay=0.5)):
        return down_once("flaky")


def failure_is_hidden(result: Any) -> None:
    assert result == ("result", "flaky")


def book(s: Saga, name: str) -> None:
    s.step(lambda: effect(f"do {name}"), lambda done: effect(f"undo {name}"))


@agent
def mutant_saga() -> list[str]:
    try:
        with saga() as s:
            book(s, "a")
            book(s, "b")
            raise ValueError("no c")
    except ValueError:
        return ["undone"]


def undone_in_reverse(result: Any) -> None:
    assert result == ("result", ["undone"])
    assert lives("undo a")
    assert lives("undo b")
    first = [min(lives(what)) for what in ("do a", "do b", "undo b", "undo a")]
    assert first == sorted(first)
    order = [what for _, what in HAPPENED]
    assert order.index("do b") < order.index("undo b") < order.index("undo a")


@agent
def mutant_key() -> str:
    return effect(f"key {generate_idempotency_key()}")


def key_is_the_same(result: Any) -> None:
    assert {what for _, what in HAPPENED} == {result[1]}


@agent
def mutant_checkpoint() -> int:
    place = get_oplog_index()
    point = checkpoint(attempts=3)
    effect("try")
    if len(HAPPENED) < 2:
        point.revert("once more")
    return place


def reverted(result: Any) -> None:
    assert result[0] == "result"
    assert len(lives("try")) >= 2


@frozen
class Mutant:
    """A program, what must hold of it, and a fault of its guard.

    Attributes:
        broken: gives the owner's function, or the one to put in its place, from the original.
    """

    program: Callable[[], Any]
    holds: Callable[[Any], None]
    owner: type | ModuleType
    name: str
    broken: Callable[[Any], Any]


def nothing(original: Any) -> Any:
    return lambda self, *args, **kwargs: None


MUTANTS = {
    "an open region goes on in its middle": Mutant(
        mutant_region, region_holds, Operations, "_rerun", nothing
    ),
    "the end of a region is not noted": Mutant(
        mutant_region, region_holds, Operations, "end_region", nothing
    ),
    "a region that fails is not run again": Mutant(
        mutant_region_fails, region_is_tried_again, Operations, "retry_region", nothing
    ),
    "an open operation goes on in its middle": Mutant(
        mutant_operation, region_holds, Operations, "_rerun", nothing
    ),
    "the end of an operation is not noted": Mutant(
        mutant_operation, region_holds, Operations, "end_region", nothing
    ),
    "a write is not announced": Mutant(
        mutant_once, sent_at_most_once, Announcements, "announce", lambda original: lambda *args: 0
    ),
    "the end of an announced write is not noted": Mutant(
        mutant_once, sent_at_most_once, Announcements, "performed", nothing
    ),
    "a zone is not skipped": Mutant(
        mutant_nothing,
        zone_is_skipped,
        Operations,
        "change_level",
        lambda original: lambda *args: (original(*args)[0], False),
    ),
    "local calls are kept at the remote level": Mutant(
        mutant_remote,
        local_runs_again,
        Scope,
        "skips",
        lambda original: lambda self, function_type: False,
    ),
    "remote calls are not kept at the remote level": Mutant(
        mutant_remote,
        local_runs_again,
        Scope,
        "skips",
        lambda original: lambda self, function_type: self.level is not PersistenceLevel.SMART,
    ),
    "a failure is not tried again": Mutant(
        mutant_retry,
        failure_is_hidden,
        retries,
        "settled",
        lambda original: lambda session, call, mail, scope: mail,
    ),
    "steps are undone in the order in which they were done": Mutant(
        mutant_saga, undone_in_reverse, Saga, "step", lambda original: _in_front
    ),
    "a saga that fails is not undone": Mutant(
        mutant_saga,
        undone_in_reverse,
        Saga,
        "__exit__",
        lambda original: lambda self, kind, error, traceback: self._end(),
    ),
    "a key is drawn anew in each life": Mutant(
        mutant_key,
        key_is_the_same,
        Keys,
        "generate",
        lambda original: lambda self: f"{LIFE[0]} {original(self)}",
    ),
    "a checkpoint does not go back": Mutant(
        mutant_checkpoint, reverted, Operations, "revert", nothing
    ),
}


def _in_front(self: Saga, do: Any, undo: Any) -> Any:
    result = do()
    self._done.insert(0, _Done(undo, result))
    return result


def check(mutant: Mutant) -> None:
    """Run the program whole, then crash it at every append.

    Raises:
        AssertionError: what must hold does not.
        GolemError: the SDK itself has noticed.
    """
    appends = _run(mutant, [])
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            _run(mutant, [CrashPoint(append, moment)])


def _run(mutant: Mutant, points: list[CrashPoint]) -> int:
    HAPPENED.clear()
    FAILED.clear()
    LIFE[0] = 0

    def crashed(crashes: int) -> None:
        LIFE[0] = crashes

    end = drive([Step(mutant.program, ())], points, suspend_after_s=1e9, on_crash=crashed)
    result = end.results[0]
    mutant.holds(result[:2])
    return end.appends


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    original = getattr(mutant.owner, mutant.name)
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.broken(original))
    with pytest.raises((AssertionError, GolemError)):
        check(mutant)


@pytest.mark.parametrize(
    "mutant",
    {each.program: each for each in MUTANTS.values()}.values(),
    ids=lambda m: m.program.__name__,
)
def test_without_the_fault_everything_holds(mutant: Mutant) -> None:
    check(evolve(mutant, broken=lambda original: original))

"""P2 and P3 over programs of several tasks, whose completions come in another order in every life."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from golem_sdk import (
    agent,
    atomically,
    durable,
    generate_idempotency_key,
    idempotence_mode,
    saga,
)
from golem_sdk.durability import current, upcoming_idempotency_key
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive
from golem_sdk.testing.evidence import broken_oplogs

if TYPE_CHECKING:
    from proof.counting import Proved
    from proof.figures import FigureName

Program = list[Any]
"""Operations, each a list of its name and what it takes. See `operation`."""


class World:
    """The outside: what it was asked for, under which keys, and how soon it answers."""

    def __init__(self) -> None:
        self.start(0)

    def start(self, order: int) -> None:
        self.order, self.life = order, 0
        self.keys: dict[str, list[str]] = defaultdict(list)
        self.failed: set[str] = set()

    def turns(self, what: str) -> int:
        return random.Random(f"{self.order} {self.life} {what}").randrange(30)


WORLD = World()


FAILS_FIRST, FAILS = 1, 2
"""The first time; every time."""


@durable
async def effect(what: str, keys: list[str], fails: int) -> str:
    for _ in range(WORLD.turns(what)):
        await asyncio.sleep(0)
    WORLD.keys[what] += keys
    if fails == FAILS or (fails == FAILS_FIRST and what not in WORLD.failed):
        WORLD.failed.add(what)
        raise LookupError(what)
    return what


async def ask(what: str, *, fails: int = 0) -> str:
    session = current()
    assert session is not None
    keys = [str(generate_idempotency_key()), str(upcoming_idempotency_key(session))]
    return await effect(what, keys, fails)


async def run_all(program: Program, path: str) -> list[Any]:
    return [await run_one(each, f"{path}.{at}") for at, each in enumerate(program)]


async def run_one(each: list[Any], path: str) -> Any:
    match each:
        case ["send"]:
            return await ask(f"send {path}")
        case ["once"]:
            with idempotence_mode(False):
                return await ask(f"once {path}")
        case ["nap"]:
            return await asyncio.sleep(3, "nap")
        case ["tasks", *programs]:
            tasks = [run_all(each, f"{path}/{at}") for at, each in enumerate(programs)]
            return await asyncio.gather(*tasks)
        case ["region", program, fails]:
            try:
                with atomically():
                    done = await run_all(program, path)
                    await ask(f"send {path} end", fails=FAILS_FIRST if fails else 0)
                    return done
            except LookupError:  # beside a write that is sent once it does not run again
                return await expected(program, path)
        case ["saga", fails]:
            try:
                async with saga() as s:
                    await s.step(lambda: ask(f"send {path} do"), lambda what: ask(f"{what} undo"))
                    # In a region beside it all this runs again, under the same keys. Another answer to the
                    # same key would make it another program then.
                    await ask(f"send {path} end", fails=FAILS if fails else 0)
            except LookupError:
                return "undone"
            return "done"
        case ["cancelled"]:
            task = asyncio.ensure_future(asyncio.sleep(1000))
            await ask(f"send {path}")
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0].__class__.__name__
    raise AssertionError(each)


async def expected(program: Program, path: str) -> list[Any]:
    """What `run_all` gives, without any effect."""
    found: list[Any] = []
    for at, each in enumerate(program):
        match each:
            case ["send" | "once" as name]:
                found.append(f"{name} {path}.{at}")
            case ["nap"]:
                found.append("nap")
            case ["tasks", *programs]:
                found.append(
                    [await expected(p, f"{path}.{at}/{n}") for n, p in enumerate(programs)]
                )
            case ["region", inner, _]:
                found.append(await expected(inner, f"{path}.{at}"))
            case ["saga", fails]:
                found.append("undone" if fails else "done")
            case ["cancelled"]:
                found.append("CancelledError")
    return found


@agent
async def many_tasks(program: Program) -> list[Any]:
    return await run_all(program, "")


def operation(depth: int, *, saga_allowed: bool) -> st.SearchStrategy[list[Any]]:
    """One operation: effects, naps, and blocks of further ones."""
    leaves: list[st.SearchStrategy[Any]] = [
        st.just(["send"]),
        st.just(["once"]),
        st.just(["nap"]),
        st.just(["cancelled"]),
    ]
    if saga_allowed:
        leaves.append(st.booleans().map(lambda fails: ["saga", fails]))
    if not depth:
        return st.one_of(leaves)
    inside = st.lists(operation(depth - 1, saga_allowed=False), min_size=1, max_size=3)
    beside = st.lists(operation(depth - 1, saga_allowed=saga_allowed), min_size=1, max_size=3)
    return st.one_of(
        *leaves,
        st.tuples(st.just("region"), inside, st.booleans()).map(list),
        st.lists(beside, min_size=2, max_size=3).map(lambda programs: ["tasks", *programs]),
    )


PROGRAMS = st.lists(operation(2, saga_allowed=True), min_size=1, max_size=3)
CRASHES = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(CrashMoment)), min_size=1, max_size=3
)
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))


def run(program: Program, points: list[CrashPoint], order: int) -> End:
    WORLD.start(order)

    def next_life(crashes: int) -> None:
        WORLD.life = crashes

    return drive([Step(many_tasks, (program,))], points, suspend_after_s=1e9, on_crash=next_life)


@FUZZ
@given(program=PROGRAMS, order=st.integers(0, 999), crashes=CRASHES)
def test_programs_of_many_tasks(
    program: Program, order: int, crashes: list[tuple[int, CrashMoment]], proved: Proved
) -> None:
    whole = run(program, [], order)
    result = asyncio.run(expected(program, ""))
    assert whole.results == (("result", result),)
    check_keys(WORLD.keys)
    points = [CrashPoint(1 + at % whole.appends, moment) for at, moment in crashes]
    end = run(program, points, order)
    check_keys(WORLD.keys)
    event(end.results[0][0])
    if end.results[0][:2] == ("error", "UnknownOutcomeError"):
        assert "once" in repr(program)
    else:
        assert end.results == (("result", result),), "P2"
    assert broken_oplogs(end.oplogs, end.heads) == []
    if end.crashes:
        figure: FigureName = "single crashes" if end.crashes == 1 else "double crashes"
        effects = sum(len(used) for used in WORLD.keys.values()) // 2  # each has told of two keys
        case = (program, order, points[: end.crashes])
        proved(figure, case=case, effects=effects, again=effects - len(WORLD.keys))


def check_keys(keys: dict[str, list[str]]) -> None:
    owners: dict[str, str] = {}
    for what, used in keys.items():
        assert len(set(used)) == 2, f"P3: {what} has one key, and made one"
        assert len(used) == 2 or not what.startswith("once"), f"P3: {what} at most once"
        for key in used:
            assert owners.setdefault(key, what) == what, "P3: no two effects have the same key"

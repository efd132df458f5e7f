"""Agents that interpret small programs, which nest all guards; a world outside that counts.

A program is plain data: a list of steps, each a list of an operation and its operand. ``["effect", "a"]``
writes to the world, ``["flaky", "a"]`` does so after it has failed once, ``["local", "a"]`` reads,
``["boom", "a"]`` raises `ValueError`, ``["atomically", [steps]]`` and the other guards nest. Crash such an
agent anywhere: what it gives, and what the world has seen, must be what it is without crashes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    durable,
    generate_idempotency_key,
    idempotence_mode,
    mark_begin_operation,
    mark_end_operation,
    persistence_level,
    retry_policy,
    saga,
)
from golem_sdk.durability import is_live
from golem_sdk.runtime.context import current_or_performing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WORLD", "Program", "World", "programs", "run_program", "run_program_async"]

Program = list[Any]
"""Steps, each ``[operation, operand]``."""

_PATIENT = RetryPolicy(max_attempts=10, min_delay=0.5, max_delay=4.0)
"""More attempts than a program has calls that fail once."""


class World:
    """What happened outside.

    Attributes:
        effects: how often each effect happened, by idempotency key and name.
        failures: how often something was asked for that fails once, by name.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing has happened."""
        self.effects = Counter[tuple[str, str]]()
        self.failures = Counter[str]()


WORLD = World()
"""The one world of all programs: clear it before each."""


@durable
def _effect(what: str) -> str:
    WORLD.effects[_key(), what] += 1
    return f"{what} done"


@durable(function_type=FunctionType.READ_LOCAL)
def _local(what: str) -> str:
    return f"{what} read"


@durable
def _flaky(what: str) -> str:
    """The outside is down once, then it works for ever."""
    WORLD.failures[what] += 1
    if WORLD.failures[what] <= 1:
        raise ConnectionError(f"{what} is down")
    WORLD.effects[_key(), what] += 1
    return f"{what} works"


@durable
async def _effect_async(what: str) -> str:
    await asyncio.sleep(0)
    WORLD.effects["", what] += 1
    return f"{what} done"


def _key() -> str:
    session = current_or_performing()
    return "" if session is None else str(session.keys.upcoming())


@agent(name="GolemProgram")
def run_program(program: Program) -> list[Any]:
    """Interpret a program: a function agent."""
    with retry_policy(_PATIENT):
        return _block(program)


@agent(name="GolemProgramAsync")
async def run_program_async(program: Program) -> list[Any]:
    """The same in asynchronous code: steps named "gather" run their parts at the same time."""
    with retry_policy(_PATIENT):
        return await _block_async(program)


def _block(program: Program) -> list[Any]:
    return [_step(op, args) for op, *args in program]


def _step(op: str, args: list[Any]) -> Any:
    match op:
        case "effect":
            return _effect(args[0])
        case "flaky":
            return _flaky(args[0])
        case "local":
            return _local(args[0])
        case "key":
            return str(generate_idempotency_key())
        case "boom":
            raise ValueError(args[0])
        case "try":
            try:
                return _block(args[0])
            except ValueError as error:
                return ["caught", *map(str, error.args)]
        case "operation":
            begin = mark_begin_operation()
            done = _block(args[0])
            mark_end_operation(begin)
            return done
        case "once":
            with _guard(op):
                return _effect(args[0])
        case "saga":
            with saga() as s:
                return [
                    s.step(partial(_step, inner, rest), partial(_undo, [inner, *rest]))
                    for inner, *rest in args[0]
                ]
        case "nothing":
            with _guard(op):
                if is_live():
                    _effect(args[0])
            return "nothing kept"
    with _guard(op):
        return _block(args[0])


def _undo(node: Program, done: Any) -> None:
    _effect(f"undo {node}")


async def _undo_async(node: Program, done: Any) -> None:
    await _effect_async(f"undo {node}")


async def _block_async(program: Program) -> list[Any]:
    return [await _step_async(op, args) for op, *args in program]


async def _step_async(op: str, args: list[Any]) -> Any:
    match op:
        case "gather":
            parts = [asyncio.create_task(_block_async(part)) for part in args[0]]
            return await asyncio.gather(*parts)
        case "effect":
            return await _effect_async(args[0])
        case "sleep":
            return await asyncio.sleep(args[0], "slept")
        case "try":
            try:
                return await _block_async(args[0])
            except ValueError as error:
                return ["caught", *map(str, error.args)]
        case "saga":
            async with saga() as s:
                return [
                    await s.step(
                        partial(_step_async, inner, rest), partial(_undo_async, [inner, *rest])
                    )
                    for inner, *rest in args[0]
                ]
        case "atomically" | "remote" | "patient":
            with _guard(op):
                return await _block_async(args[0])
    return _step(op, args)


def _guard(op: str) -> Any:
    match op:
        case "atomically":
            return atomically()
        case "patient":
            return retry_policy(_PATIENT)
        case "once":
            return idempotence_mode(False)
        case "remote":
            return persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS)
        case "nothing":
            return persistence_level(PersistenceLevel.PERSIST_NOTHING)
    raise AssertionError(op)


def _leaves(names: st.SearchStrategy[str]) -> st.SearchStrategy[Program]:
    return st.sampled_from(
        ["effect", "effect", "flaky", "local", "key", "nothing", "once", "boom"]
    ).flatmap(lambda op: names.map(lambda name: [op, f"{op} {name}"]))


def programs(*, concurrent: bool = False) -> st.SearchStrategy[Program]:
    """Programs of nested guards, effects and exceptions; every name in one is used once.

    Args:
        concurrent: with parts that run at the same time, for `run_program_async`.

    Example:
        >>> from hypothesis import assume, given
        >>> from golem_sdk.errors import UnknownOutcomeError
        >>> from golem_sdk.testing import (
        ...     WORLD,
        ...     VirtualRuntime,
        ...     crash_schedules,
        ...     programs,
        ...     run_program,
        ... )
        >>> def outcome(program: list, crashes: list) -> object:
        ...     WORLD.clear()
        ...     with VirtualRuntime(crashes=crashes) as runtime:
        ...         try:
        ...             return runtime.run(run_program, program)
        ...         except UnknownOutcomeError:
        ...             assume(False)  # a crash beside a write that must not be sent twice
        ...         except Exception as error:
        ...             return repr(error)
        >>> @given(program=programs(), crashes=crash_schedules())
        ... def test_a_crash_changes_nothing(program: list, crashes: list) -> None:
        ...     assert outcome(program, crashes) == outcome(program, [])
        >>> test_a_crash_changes_nothing()
    """
    kinds = [
        "atomically",
        "patient",
        "remote",
        "saga",
        "try",
        *(["gather"] if concurrent else ["operation"]),
    ]

    def nested(inside: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
        block = st.lists(inside, max_size=3)

        def node(kind: str) -> st.SearchStrategy[Program]:
            if kind == "gather":
                return st.lists(block, max_size=3).map(lambda parts: [kind, parts])
            return block.map(lambda steps: [kind, steps])

        return st.sampled_from(kinds).flatmap(node)

    tree = st.recursive(_leaves(st.just("")), nested, max_leaves=7)
    program = st.lists(tree, min_size=1, max_size=3)

    @st.composite
    def named(draw: st.DrawFn) -> Program:  # and not `map`: hypothesis would print the function
        return _named(draw(program))

    return named()


def _named(program: Program) -> Program:
    counter = iter(range(1000))

    def name(node: Any) -> Any:
        if isinstance(node, list):
            return [name(each) for each in node]
        return f"{node}{next(counter)}" if isinstance(node, str) and node.endswith(" ") else node

    named: Program = name(_allowed(program, in_region=False))
    return named


def _allowed(program: Any, *, in_region: bool) -> Any:
    """The program without sagas inside regions, where they are refused.

    In an operation one call fails at most: it runs again when all blocks are left, that of the patient
    policy, too, and after more failures it has no attempt left, or one more by the grace of a crash.
    """
    if not isinstance(program, list):
        return program
    inside = in_region or program[:1] in (["atomically"], ["operation"])
    kept = [_allowed(each, in_region=inside) for each in program]
    if kept[:1] == ["operation"]:
        kept = _failing_once(kept, iter(["flaky"]))
    return ["remote", *kept[1:]] if in_region and kept[:1] == ["saga"] else kept


def _failing_once(program: Any, first: Iterator[str]) -> Any:
    if not isinstance(program, list):
        return program
    if program[:1] == ["flaky"]:
        op = next(first, "effect")
        return [op, f"{op} "]
    return [_failing_once(each, first) for each in program]

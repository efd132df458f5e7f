"""Agents that interpret small programs, which nest all guards; a world outside that counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

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

__all__ = ["WORLD", "Program", "guarded", "guarded_async", "programs"]

Program = list[Any]

PATIENT = RetryPolicy(max_attempts=10, min_delay=0.5, max_delay=4.0)
"""More attempts than a program has calls that fail once."""


class World:
    """What happened outside: effects by idempotency key, and how often something has failed."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.effects = Counter[tuple[str, str]]()
        self.failures = Counter[str]()


WORLD = World()


@durable
def effect(what: str) -> str:
    WORLD.effects[_key(), what] += 1
    return f"{what} done"


@durable(function_type=FunctionType.READ_LOCAL)
def local(what: str) -> str:
    return f"{what} read"


@durable
def flaky(what: str) -> str:
    """The outside is down once, then it works for ever."""
    WORLD.failures[what] += 1
    if WORLD.failures[what] <= 1:
        raise ConnectionError(f"{what} is down")
    WORLD.effects[_key(), what] += 1
    return f"{what} works"


@durable
async def effect_async(what: str) -> str:
    await asyncio.sleep(0)
    WORLD.effects["", what] += 1
    return f"{what} done"


def _key() -> str:
    session = current_or_performing()
    return "" if session is None else str(session.keys.upcoming())


@agent
def guarded(program: Program) -> list[Any]:
    """Interpret a program."""
    with retry_policy(PATIENT):
        return block(program)


@agent
async def guarded_async(program: Program) -> list[Any]:
    """The same in asynchronous code: blocks named "gather" run their parts at the same time."""
    with retry_policy(PATIENT):
        return await block_async(program)


def block(program: Program) -> list[Any]:
    return [step(op, args) for op, *args in program]


def step(op: str, args: list[Any]) -> Any:
    match op:
        case "effect":
            return effect(args[0])
        case "flaky":
            return flaky(args[0])
        case "local":
            return local(args[0])
        case "key":
            return str(generate_idempotency_key())
        case "boom":
            raise ValueError(args[0])
        case "try":
            try:
                return block(args[0])
            except ValueError as error:
                return ["caught", *map(str, error.args)]
        case "operation":
            begin = mark_begin_operation()
            done = block(args[0])
            mark_end_operation(begin)
            return done
        case "once":
            with guard(op):
                return effect(args[0])
        case "saga":
            with saga() as s:
                return [
                    s.step(partial(step, inner, rest), partial(undo, [inner, *rest]))
                    for inner, *rest in args[0]
                ]
        case "nothing":
            with guard(op):
                if is_live():
                    effect(args[0])
            return "nothing kept"
    with guard(op):
        return block(args[0])


def undo(node: Program, done: Any) -> None:
    effect(f"undo {node}")


async def undo_async(node: Program, done: Any) -> None:
    await effect_async(f"undo {node}")


async def block_async(program: Program) -> list[Any]:
    return [await step_async(op, args) for op, *args in program]


async def step_async(op: str, args: list[Any]) -> Any:
    match op:
        case "gather":
            parts = [asyncio.create_task(block_async(part)) for part in args[0]]
            return await asyncio.gather(*parts)
        case "effect":
            return await effect_async(args[0])
        case "sleep":
            return await asyncio.sleep(args[0], "slept")
        case "try":
            try:
                return await block_async(args[0])
            except ValueError as error:
                return ["caught", *map(str, error.args)]
        case "saga":
            async with saga() as s:
                return [
                    await s.step(
                        partial(step_async, inner, rest), partial(undo_async, [inner, *rest])
                    )
                    for inner, *rest in args[0]
                ]
        case "atomically" | "remote" | "patient":
            with guard(op):
                return await block_async(args[0])
    return step(op, args)


def guard(op: str) -> Any:
    match op:
        case "atomically":
            return atomically()
        case "patient":
            return retry_policy(PATIENT)
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
    """Programs of nested guards, effects and exceptions; every name in one is used once."""
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
    return st.lists(tree, min_size=1, max_size=3).map(_named)


def _named(program: Program) -> Program:
    counter = iter(range(1000))

    def name(node: Any) -> Any:
        if isinstance(node, list):
            return [name(each) for each in node]
        return f"{node}{next(counter)}" if isinstance(node, str) and node.endswith(" ") else node

    named: Program = name(program)
    return named

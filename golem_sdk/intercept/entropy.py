"""Randomness of agent code: the `random`, `os` and `uuid` modules.

Covers: the functions of the `random` module (inside an agent: the agent's own generator, which is
seeded from one recorded value, so a simulation writes no entries); ``random.Random()`` and
``Random.seed(None)``; ``os.urandom`` and ``os.getrandom``, and what ends there (`secrets`,
``random.SystemRandom``, ``uuid.uuid4``, numpy's unseeded ``default_rng()``); ``uuid.uuid1``. Bytes and
identifiers are recorded one by one, so those that left the process stay the same, and one call
more or less is noticed on replay. They are in the oplog: random secrets too.

The generator behind `tempfile` is made once per process, by whoever comes first: it is nobody's and is
not recorded, and neither are the names that it draws.

Does not cover: ``/dev/urandom`` opened as a file, and generators of compiled libraries (OpenSSL, torch);
for numpy's process-wide one see `golem_sdk.intercept.numpy`.
"""

from __future__ import annotations

import functools
import random
import uuid
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["os_patches", "random_patches", "tempfile_patches", "uuid_patches"]

_LOCAL = FunctionType.READ_LOCAL
_SEED_BYTES = 32
_GREGORIAN_TO_UNIX = 0x01B21DD213814000
"""By how many steps of 100 ns the calendar of UUIDs of version 1 is ahead (RFC 9562)."""
# Spelled out, because taking and passing on any arguments would cost more than the rest.
_LIMITED = frozenset({"randint", "uniform"})


def random_patches(module: ModuleType) -> list[Patch]:
    """The patches of `random`: the functions that share the process's generator, and unseeded ones."""
    shared = [
        name
        for name, value in vars(module).items()
        if isinstance(getattr(value, "__self__", None), random.Random) and name != "_inst"
    ]
    return [
        *(Patch(module, name, _of_agent(name), spread=True) for name in shared),
        Patch(module.Random, "seed", _seed),
    ]


def os_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    return [
        Patch(module, "urandom", _urandom, spread=True),
        Patch(module, "getrandom", _getrandom, spread=True),
    ]


def uuid_patches(module: ModuleType) -> list[Patch]:
    """The patch of `uuid`; ``uuid4`` takes its bytes from ``os.urandom``."""
    return [Patch(module, "uuid1", _uuid1, spread=True)]


def tempfile_patches(module: ModuleType) -> list[Patch]:
    """The patch of `tempfile`, which is in place once that is imported."""
    return [Patch(module, "_Random", _unrecorded)]


def _unrecorded(original: type[random.Random]) -> Callable[[], random.Random]:
    def make() -> random.Random:
        session = durability.current()
        if session is None:
            return original()
        with durability.suppressed(session):
            return original()

    return make


def _of_agent(name: str) -> Callable[[Any], MethodType]:
    if name == "random":
        return _without_arguments
    return _with_two_limits(name) if name in _LIMITED else _with_any_arguments(name)


def _without_arguments(original: Callable[[], float]) -> MethodType:
    nearby, current = durability.nearby, durability.current
    agent_random = durability.agent_random

    def function(_home: object) -> float:
        if nearby() is None or (session := current()) is None:
            return original()
        return agent_random(session).random()

    return replacement_of(original, function, "random")


def _with_two_limits(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[[Any, Any], Any]) -> MethodType:
        current, agent_random = durability.current, durability.agent_random

        def function(_home: object, a: Any, b: Any) -> Any:
            session = current()
            if session is None:
                return original(a, b)
            return getattr(agent_random(session), name)(a, b)

        return replacement_of(original, function, "random")

    return make


def _with_any_arguments(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[..., Any]) -> MethodType:
        current, agent_random = durability.current, durability.agent_random

        def function(_home: object, /, *args: Any, **kwargs: Any) -> Any:
            session = current()
            if session is None:
                return original(*args, **kwargs)
            return getattr(agent_random(session), name)(*args, **kwargs)

        return replacement_of(original, function, "random")

    return make


def _urandom(original: Callable[[int], bytes]) -> MethodType:
    current, call, read = durability.current, durability.durable_call, durability.reading

    def urandom(_home: object, size: int, /) -> bytes:
        session = current()
        if session is None:
            return original(size)
        # No lambda: a variable that one closes over costs every call, also outside agents.
        real, virtual = functools.partial(original, size), functools.partial(_drawn, size)
        return call(session, "os.urandom", _LOCAL, size, read(session, real, virtual))

    return replacement_of(original, urandom, "os")


def _getrandom(original: Callable[[int, int], bytes]) -> MethodType:
    def getrandom(_home: object, size: int, flags: int = 0) -> bytes:
        session = durability.current()
        if session is None:
            return original(size, flags)
        draw = durability.reading(
            session, lambda: original(size, flags), lambda source: source.entropy(size)
        )
        return durability.durable_call(session, "os.getrandom", _LOCAL, [size, flags], draw)

    return replacement_of(original, getrandom, "os")


def _drawn(size: int, source: durability.Source) -> bytes:
    return source.entropy(size)


def _uuid1(original: Callable[..., uuid.UUID]) -> MethodType:
    def uuid1(_home: object, node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        session = durability.current()
        if session is None:
            return original(node, clock_seq)
        make = durability.reading(
            session,
            lambda: original(node, clock_seq).bytes,
            lambda source: _uuid1_of(source, node, clock_seq).bytes,
        )
        made = durability.durable_call(session, "uuid.uuid1", _LOCAL, None, make)
        return uuid.UUID(bytes=made)

    return replacement_of(original, uuid1, "uuid")


def _uuid1_of(source: durability.Source, node: int | None, clock_seq: int | None) -> uuid.UUID:
    steps = source.now_ns() // 100 + _GREGORIAN_TO_UNIX
    drawn = int.from_bytes(source.entropy(8), "big")
    sequence = drawn >> 48 if clock_seq is None else clock_seq
    return uuid.UUID(
        fields=(
            steps & 0xFFFFFFFF,
            steps >> 32 & 0xFFFF,
            steps >> 48 & 0x0FFF,
            sequence >> 8 & 0x3F,
            sequence & 0xFF,
            drawn & 0xFFFFFFFFFFFF if node is None else node,
        ),
        version=1,
    )


_real_seed = functools.partial(originals.urandom, _SEED_BYTES)
_virtual_seed = functools.partial(_drawn, _SEED_BYTES)


def _seed(original: Callable[..., None]) -> Callable[..., None]:
    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and (session := durability.current()) is not None:
            a = durability.durable_call(
                session,
                "random.Random.seed",
                _LOCAL,
                None,
                durability.reading(session, _real_seed, _virtual_seed),
            )
        original(self, a, version)

    seed.__doc__ = original.__doc__
    seed.__qualname__ = original.__qualname__
    seed.__module__ = original.__module__
    return seed

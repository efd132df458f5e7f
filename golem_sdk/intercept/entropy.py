"""Randomness of agent code: the `random`, `os` and `uuid` modules.

Covers: the functions of the `random` module (inside an agent: the agent's own generator, which is
seeded from one recorded value, so a simulation writes no entries); ``random.Random()`` and
``Random.seed(None)``; ``os.urandom`` and ``os.getrandom``, and what ends there (`secrets`,
``random.SystemRandom``, numpy's unseeded ``default_rng()``); ``uuid.uuid1`` and ``uuid.uuid4``. Bytes and
identifiers are recorded one by one, so those that left the process stay the same, and one call
more or less is noticed on replay. They are in the oplog: random secrets too.

The generator behind `tempfile` is made once per process, by whoever comes first: it is nobody's and is
not recorded, and neither are the names that it draws.

Does not cover: numpy's process-wide generator (``numpy.random.rand``), ``/dev/urandom`` opened as a
file, and generators of compiled libraries (OpenSSL, torch).
"""

from __future__ import annotations

import os
import platform
import random
import uuid
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["entropy_patches", "tempfile_patches"]

_LOCAL = FunctionType.READ_LOCAL
_SEED_BYTES = 32


def entropy_patches(version: str) -> list[Patch]:
    """The patches; `version` is Python's, for the inventory."""
    shared = [
        name
        for name, value in vars(random).items()
        if isinstance(getattr(value, "__self__", None), random.Random) and name != "_inst"
    ]
    return [
        *(_patch(random, name, _of_agent(name), version) for name in shared),
        *(_patch(os, name, _system_bytes(name), version) for name in ("urandom", "getrandom")),
        *(_patch(uuid, name, _identifier(name), version) for name in ("uuid1", "uuid4")),
        Patch(random.Random, "seed", _seed, "python", version),
    ]


def tempfile_patches(module: ModuleType) -> list[Patch]:
    """The patch of `tempfile`, which is in place once that is imported."""
    return [Patch(module, "_Random", _unrecorded, "python", platform.python_version())]


def _unrecorded(original: type[random.Random]) -> Callable[[], random.Random]:
    def make() -> random.Random:
        session = durability.current()
        if session is None:
            return original()
        with durability.suppressed(session):
            return original()

    return make


def _patch(module: Any, name: str, make: Callable[[Any], Any], version: str) -> Patch:
    return Patch(module, name, make, "python", version, spread=True)


def _of_agent(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[..., Any]) -> MethodType:
        current, agent_random = durability.current, durability.agent_random

        def function(_home: object, /, *args: Any, **kwargs: Any) -> Any:
            session = current()
            if session is None:
                return original(*args, **kwargs)
            return getattr(agent_random(session), name)(*args, **kwargs)

        return replacement_of(original, function, "random")

    return make


def _system_bytes(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[..., bytes]) -> MethodType:
        def function(_home: object, /, *args: int, **kwargs: int) -> bytes:
            session = durability.current()
            if session is None:
                return original(*args, **kwargs)
            request = [*args, *kwargs.values()]
            return durability.durable_call(
                session, f"os.{name}", _LOCAL, request, lambda: original(*args, **kwargs)
            )

        return replacement_of(original, function, "os")

    return make


def _identifier(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[..., uuid.UUID]) -> MethodType:
        def function(_home: object, /, *args: Any, **kwargs: Any) -> uuid.UUID:
            session = durability.current()
            if session is None:
                return original(*args, **kwargs)
            return uuid.UUID(
                bytes=durability.durable_call(
                    session, f"uuid.{name}", _LOCAL, None, lambda: original(*args, **kwargs).bytes
                )
            )

        return replacement_of(original, function, "uuid")

    return make


def _seed(original: Callable[..., None]) -> Callable[..., None]:
    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and (session := durability.current()) is not None:
            a = durability.durable_call(
                session, "random.Random.seed", _LOCAL, None, lambda: originals.urandom(_SEED_BYTES)
            )
        original(self, a, version)

    seed.__doc__ = original.__doc__
    seed.__qualname__ = original.__qualname__
    seed.__module__ = original.__module__
    return seed

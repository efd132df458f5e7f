"""Generators of UUIDs in libraries that agent frameworks are made of, and what these make once.

They remember the newest one of the process, so that each is greater than the one before: how often they ask
for entropy, and what they give, depends on what this process has done before, and would be another thing in
replay. Or they are compiled, and draw unnoticed. In an agent each identifier is one recorded read. What a
framework makes once in a process, whoever comes first, is not recorded: nobody else would come by it.

Covers: ``uuid_utils`` and ``uuid_utils.compat`` (so langchain-core), ``pydantic_ai``, and the checkpoints
of LangGraph. Arguments are passed on and not recorded.

Does not cover: names that were bound before the first runtime was opened, in anything but a module or class.
"""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import MethodType, ModuleType

__all__ = [
    "compat_patches",
    "graph_patches",
    "langgraph_patches",
    "prices_patches",
    "pydantic_ai_patches",
    "uuid_utils_patches",
]

_GREGORIAN_TO_UNIX = 0x01B21DD213814000
"""By how many steps of 100 ns the calendar of versions 1 and 6 is ahead (RFC 9562)."""
_RANDOM = ("uuid1", "uuid4", "uuid6", "uuid7")


def uuid_utils_patches(module: ModuleType) -> list[Patch]:
    """The patches of `uuid_utils`."""
    return [_patch("uuid_utils", module, name, module.UUID) for name in _RANDOM]


def compat_patches(module: ModuleType) -> list[Patch]:
    """The patches of `uuid_utils.compat`, which gives Python's own UUIDs."""
    return [_patch("uuid_utils", module, name, uuid.UUID) for name in _RANDOM]


def pydantic_ai_patches(module: ModuleType) -> list[Patch]:
    """The patch of `pydantic_ai._uuid`."""
    return [_patch("pydantic_ai", module, "uuid7", uuid.UUID)]


def graph_patches(module: ModuleType) -> list[Patch]:
    """The patch of `pydantic_ai._agent_graph`: graphs of agents are made once in a process, with UUIDs."""
    return [Patch(module, "build_agent_graph", _unrecorded, spread=True)]


def prices_patches(module: ModuleType) -> list[Patch]:
    """The patch of `pydantic_ai._genai_prices`: prices are loaded once, and it is noted when."""
    return [Patch(module, "preload_pricing_data", _unrecorded, spread=True)]


def langgraph_patches(module: ModuleType) -> list[Patch]:
    """The patch of `langgraph.checkpoint.base.id`, which has a class of its own."""
    return [_patch("langgraph", module, "uuid6", module.UUID)]


def _patch(interceptor: str, module: ModuleType, name: str, kind: Callable[..., Any]) -> Patch:
    make = functools.partial(_recorded, interceptor, f"{module.__name__}.{name}", kind)
    return Patch(module, name, make, spread=True)


def _recorded(
    interceptor: str, called: str, kind: Callable[..., Any], original: Callable[..., Any]
) -> MethodType:
    current = durability.current_since
    draw = functools.partial(_drawn, int(called[-1]))

    def generate(_home: object, /, *args: Any, **kwargs: Any) -> Any:
        session = current(interceptor)
        if session is None:
            return original(*args, **kwargs)
        real = functools.partial(_bytes_of, original, args, kwargs)
        make = durability.reading(session, real, draw)
        return kind(
            bytes=durability.durable_call(session, called, FunctionType.READ_LOCAL, None, make)
        )

    return replacement_of(original, generate, called.rpartition(".")[0])


def _unrecorded(original: Callable[..., Any]) -> MethodType:
    def build(_home: object, /, *args: Any, **kwargs: Any) -> Any:
        session = durability.current()
        if session is None:
            return original(*args, **kwargs)
        with durability.suppressed(session):
            return original(*args, **kwargs)

    return replacement_of(original, build, original.__module__)


def _bytes_of(
    original: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bytes:
    made: bytes = original(*args, **kwargs).bytes
    return made


def _drawn(version: int, source: durability.Source) -> bytes:
    """One of a simulation: as in RFC 9562, greater than those of earlier moments where others are, too."""
    now_ns, dice = source.now_ns(), source.entropy(16)
    if version == 4:
        return uuid.UUID(bytes=dice, version=4).bytes
    steps = now_ns // 100 + _GREGORIAN_TO_UNIX
    match version:
        case 1:
            time, rest = (steps & 0xFFFFFFFF) << 16 | steps >> 32 & 0xFFFF, steps >> 48
        case 6:
            time, rest = steps >> 12, steps & 0xFFF
        case _:
            time, rest = now_ns // 10**6, now_ns % 10**6 * 4096 // 10**6
    top = time << 16 | version << 12 | rest & 0xFFF
    return (top << 64 | 1 << 63 | int.from_bytes(dice, "big") >> 66).to_bytes(16, "big")

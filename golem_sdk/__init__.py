"""Durable agents in plain Python: after a crash they go on where they stopped.

Decorate a class or a function with `agent`, mark home-made side effects with `durable`, and run agents
with a `Runtime`. Everything here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from golem_sdk.app import Runtime
    from golem_sdk.core.function_type import FunctionType
    from golem_sdk.decorators import agent, durable
    from golem_sdk.host import get, run, schedule, trigger

__all__ = ["FunctionType", "Runtime", "agent", "durable", "get", "run", "schedule", "trigger"]

_HOME = {
    "FunctionType": "core.function_type",
    "Runtime": "app",
    "agent": "decorators",
    "durable": "decorators",
    "get": "host",
    "run": "host",
    "schedule": "host",
    "trigger": "host",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

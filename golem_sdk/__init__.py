"""Durable agents in plain Python: after a crash they go on where they stopped.

Decorate a class or a function with `agent`, mark home-made side effects with `durable`, and run agents
with a `Runtime`. Everything here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from golem_sdk.app import Runtime
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.function_type import FunctionType
    from golem_sdk.core.retry import NamedPolicy, RetryPolicy
    from golem_sdk.core.scopes import PersistenceLevel
    from golem_sdk.decorators import agent, durable, durable_cached
    from golem_sdk.guards.atomic import atomically, mark_begin_operation, mark_end_operation
    from golem_sdk.guards.idempotence import (
        get_idempotence_mode,
        idempotence_mode,
        set_idempotence_mode,
    )
    from golem_sdk.guards.level import (
        get_oplog_persistence_level,
        persistence_level,
        set_oplog_persistence_level,
    )
    from golem_sdk.guards.retry import get_retry_policy, retry_policy, set_retry_policy
    from golem_sdk.guards.saga import saga
    from golem_sdk.host.agents import get, run, schedule, trigger
    from golem_sdk.host.oplog import (
        checkpoint,
        generate_idempotency_key,
        get_oplog_index,
        oplog_commit,
        set_oplog_index,
    )
    from golem_sdk.host.workspace import workspace

__all__ = [
    "FunctionType",
    "NamedPolicy",
    "OplogIndex",
    "PersistenceLevel",
    "RetryPolicy",
    "Runtime",
    "agent",
    "atomically",
    "checkpoint",
    "durable",
    "durable_cached",
    "generate_idempotency_key",
    "get",
    "get_idempotence_mode",
    "get_oplog_index",
    "get_oplog_persistence_level",
    "get_retry_policy",
    "idempotence_mode",
    "mark_begin_operation",
    "mark_end_operation",
    "oplog_commit",
    "persistence_level",
    "retry_policy",
    "run",
    "saga",
    "schedule",
    "set_idempotence_mode",
    "set_oplog_index",
    "set_oplog_persistence_level",
    "set_retry_policy",
    "trigger",
    "workspace",
]

_HOME = {
    "FunctionType": "core.function_type",
    "NamedPolicy": "core.retry",
    "OplogIndex": "core.entries",
    "PersistenceLevel": "core.scopes",
    "RetryPolicy": "core.retry",
    "Runtime": "app",
    "agent": "decorators",
    "atomically": "guards.atomic",
    "checkpoint": "host.oplog",
    "durable": "decorators",
    "durable_cached": "decorators",
    "generate_idempotency_key": "host.oplog",
    "get": "host.agents",
    "get_idempotence_mode": "guards.idempotence",
    "get_oplog_index": "host.oplog",
    "get_oplog_persistence_level": "guards.level",
    "get_retry_policy": "guards.retry",
    "idempotence_mode": "guards.idempotence",
    "mark_begin_operation": "guards.atomic",
    "mark_end_operation": "guards.atomic",
    "oplog_commit": "host.oplog",
    "persistence_level": "guards.level",
    "retry_policy": "guards.retry",
    "run": "host.agents",
    "saga": "guards.saga",
    "schedule": "host.agents",
    "set_idempotence_mode": "guards.idempotence",
    "set_oplog_index": "host.oplog",
    "set_oplog_persistence_level": "guards.level",
    "set_retry_policy": "guards.retry",
    "trigger": "host.agents",
    "workspace": "host.workspace",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

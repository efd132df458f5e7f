"""What a user can import: the public names and no others, at little cost."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest

from golem_sdk.core.entries import Entry
from golem_sdk.errors import AgentControlSignal, GolemError
from static.source_tree import module_name, python_files, run_python

PUBLIC_NAMES: dict[str, str] = {
    "golem_sdk": """
        agent durable durable_cached FunctionType
        Runtime get run trigger schedule UpdateMode
        atomically persistence_level PersistenceLevel idempotence_mode retry_policy RetryPolicy
        generate_idempotency_key oplog_commit get_oplog_index set_oplog_index OplogIndex
        mark_begin_operation mark_end_operation
        get_oplog_persistence_level set_oplog_persistence_level
        get_idempotence_mode set_idempotence_mode get_retry_policy set_retry_policy
        checkpoint saga NamedPolicy workspace
        create_promise await_promise promise complete_promise delete_promise PromiseId
        get_self_metadata get_agent_metadata current_context start_span
    """,
    "golem_sdk.durability": """
        is_live current_durable_execution_state observe_function_call
        begin_durable_function end_durable_function
        persist_durable_function_invocation read_persisted_durable_function_invocation
        durable_call
    """,
    "golem_sdk.oplog": "OplogIndex FunctionType parse_query",
    "golem_sdk.keyvalue": "open_bucket",
    "golem_sdk.blobstore": """
        create_container get_container delete_container container_exists
        copy_object move_object Container
    """,
    "golem_sdk.errors": "BlockingCallWarning NotDurableWarning",
    "golem_sdk.testing": """
        VirtualRuntime VirtualClock CrashMoment CrashPoint SimulatedCrashError
        values entries oplogs programs crash_points crash_schedules
        run_program run_program_async WORLD
        AgentStateMachine Step steps UnrecordedEffectError
        crash_at_every_index Call Finding Report Verdict
    """,
    "golem_sdk.testing.simulation": """
        simulate world World Report SimulationFault Faults CALM WILD BRANCHES Tally
    """,
}
# Besides the names above, whole families are public: every entry type, every error.
PUBLIC_FAMILIES: dict[str, tuple[type, ...]] = {
    "golem_sdk.oplog": (Entry,),
    "golem_sdk.errors": (GolemError, AgentControlSignal),
}
# Slow to import, or optional: an interceptor or the runtime imports them when they are needed.
HEAVY = {
    "anthropic",
    "cattrs",
    "http.server",
    "httpx",
    "httpx2",
    "hypothesis",
    "lmdb",
    "numpy",
    "openai",
    "pydantic",
    "pytest",
    "sqlite3",
}

EXISTING = {module_name(path) for path in python_files("golem_sdk")}
PUBLIC_MODULES = [name for name in PUBLIC_NAMES if name in EXISTING]


def is_public(module: str, name: str, value: object) -> bool:
    family = PUBLIC_FAMILIES.get(module, ())
    in_family = inspect.isclass(value) and issubclass(value, family)
    return in_family or name in PUBLIC_NAMES[module].split()


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_only_public_names_are_offered(module: str) -> None:
    imported = importlib.import_module(module)
    offered = {name: getattr(imported, name) for name in imported.__all__}
    assert [name for name, value in offered.items() if not is_public(module, name, value)] == []


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_names_are_documented(module: str) -> None:
    imported = importlib.import_module(module)
    documented = {
        name: inspect.getdoc(value)
        for name in imported.__all__
        if callable(value := getattr(imported, name))
    }
    assert [name for name, text in documented.items() if not text] == []


def test_a_name_that_is_not_public_is_noticed() -> None:
    assert not is_public("golem_sdk", "Session", object())
    assert not is_public("golem_sdk.errors", "ValueError", ValueError)
    assert is_public("golem_sdk.errors", "GolemError", GolemError)


def test_import_is_light() -> None:
    program = (
        "import sys, json; before = set(sys.modules); import golem_sdk; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    finished = run_python("-c", program)
    assert finished.returncode == 0, finished.stderr
    loaded = set(json.loads(finished.stdout))
    assert "golem_sdk" in loaded
    assert loaded & HEAVY == set()

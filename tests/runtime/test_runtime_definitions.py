"""What `@agent` registers: names, methods, and who learns of it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.core.entries import ExportedFunctionInvoked
from golem_sdk.errors import MethodNotFoundError, UnknownAgentTypeError, UsageError
from golem_sdk.runtime import definitions
from golem_sdk.runtime.definitions import (
    AgentDefinition,
    code_fingerprint,
    definition_named,
    definition_of,
    passing_listeners,
    register,
    registered,
)


@agent
class DefinedHere:
    def __init__(self, name: str) -> None:
        self.name = name

    def greet(self) -> str:
        return f"I am {self.name}"


def definition(name: str = "Undefined", **methods: bool) -> AgentDefinition:
    return AgentDefinition(name, DefinedHere, inspect.Signature(), methods, __file__, "c0de")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Empty, until the test is over."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(definitions, "_definitions", found)
    monkeypatch.setattr(definitions, "_by_target", {})
    monkeypatch.setattr(definitions, "_on_register", [])
    return found


def test_who_listens_learns_of_each_until_it_stops(registry: dict[str, Any]) -> None:
    heard: list[str] = []
    stop = registered(lambda defined: heard.append(defined.name))
    register(definition("A"))
    register(definition("A"))
    stop()
    stop()
    register(definition("B"))
    assert heard == ["A", "A"]
    assert list(registry) == ["A", "B"]


def test_who_begins_to_listen_in_a_passing_process_ends_with_it(registry: dict[str, Any]) -> None:
    heard: list[str] = []
    registered(lambda defined: heard.append("lasting"))
    with passing_listeners():
        registered(lambda defined: heard.append("passing"))
        register(definition("A"))
    register(definition("A"))
    assert heard == ["lasting", "passing", "lasting"]


def test_what_is_not_defined_is_named_with_what_is(registry: dict[str, Any]) -> None:
    with pytest.raises(UnknownAgentTypeError, match=r"named 'C' is defined .*\(known: none\)"):
        definition_named("C")
    register(definition("B"))
    register(definition("A"))
    with pytest.raises(UnknownAgentTypeError, match=r"named 'C' is defined .*\(known: A, B\)"):
        definition_named("C")


def test_a_method_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(MethodNotFoundError, match=r"no method 'go'; its methods are: none$"):
        definition().check_method("go")
    with pytest.raises(MethodNotFoundError, match=r"no method 'go'; its methods are: come, stay$"):
        definition(stay=True, come=False).check_method("go")
    assert definition(stay=True, come=False).check_method("come") is False


def test_what_is_no_agent_type_is_refused() -> None:
    assert definition_of(DefinedHere).name == "DefinedHere"
    with pytest.raises(UsageError, match="is not an agent type"):
        definition_of(object)


def test_the_fingerprint_of_code_without_a_file() -> None:
    def local() -> None:
        pass

    file, code = code_fingerprint(local)
    assert Path(file) == Path(__file__)
    assert len(code) == 16
    local.__module__ = "there.is.no.such.module"
    assert code_fingerprint(local) == ("", "")


def test_the_code_is_too_long_to_be_shown() -> None:
    assert "c0de" not in repr(definition())
    assert "_positional" not in repr(definition())


def test_a_construction_is_recorded_under_its_name() -> None:
    with Runtime.memory() as runtime:
        known = runtime.get(DefinedHere, "x")
        assert known.greet() == "I am x"
        methods = [
            entry.method
            for _, entry in runtime.oplog(known)
            if isinstance(entry, ExportedFunctionInvoked)
        ]
    assert methods == ["__init__", "greet"]

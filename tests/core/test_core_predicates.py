"""Predicates over the properties of a call."""

from __future__ import annotations

import pytest

from golem_sdk.core.predicates import (
    Always,
    And,
    Contains,
    Eq,
    Exists,
    Ge,
    Gt,
    In,
    Le,
    Lt,
    Matches,
    Ne,
    Not,
    Nothing,
    Or,
    Predicate,
    Properties,
    StartsWith,
    holds,
)

CALL: Properties = {"verb": "GET", "status-code": 503, "uri-host": "api.bank.test", "safe": True}
CALL = {**CALL, "uri-port": "8080"}


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (Eq("verb", "GET"), True),
        (Eq("status-code", "503"), True),
        (Ne("verb", "POST"), True),
        (Gt("status-code", 500), True),
        (Gt("status-code", 503), False),
        (Ge("status-code", 503), True),
        (Lt("status-code", "600"), True),
        (Le("status-code", 502), False),
        (Gt("verb", 3), False),
        (Exists("verb"), True),
        (Exists("colour"), False),
        (In("status-code", (429, 503)), True),
        (In("verb", ("PUT",)), False),
        (Matches("uri-host", "*.bank.*"), True),
        (Matches("uri-host", "bank"), False),
        (StartsWith("uri-host", "api."), True),
        (Contains("uri-host", "bank"), True),
        (And(Eq("verb", "GET"), Eq("safe", True)), True),
        (And(Always(), Nothing()), False),
        (Or(Nothing(), Always()), True),
        (Or(Nothing(), Nothing()), False),
        (Not(Eq("verb", "GET")), False),
        (Eq("uri-port", "8080"), True),
        (Eq("uri-port", "08080"), False),
        (Eq("uri-port", 8080), True),
        (Lt("uri-port", "9"), True),  # as texts
        (Lt("uri-port", 9), False),
        (Ge("uri-port", "8080"), True),
        (Gt("status-code", "60"), True),
        (Ne("verb", 3), True),
        (In("uri-port", (80, 8080)), True),
        (In("uri-port", ()), False),
        (Not(In("uri-port", ())), True),
        (Not(In("colour", ())), False),
        (Eq("colour", "red"), False),
        (Not(Eq("colour", "red")), False),
    ],
)
def test_predicates(predicate: Predicate, expected: bool) -> None:
    assert holds(predicate, CALL) is expected

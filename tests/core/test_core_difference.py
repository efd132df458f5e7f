"""Where two values differ first, and which recorded calls were left out."""

from __future__ import annotations

from itertools import count

import pytest

from golem_sdk.core.difference import first_difference, is_recorded, left_out
from golem_sdk.core.entries import (
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    NoOp,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.machine import StartedCall

LONG = "x" * 118  # and the two quotes


@pytest.mark.parametrize(
    ("recorded", "attempted", "expected"),
    [
        (1, 1, ""),
        ({"a": [1, (2,)]}, {"a": [1, (2,)]}, ""),
        ([], [], ""),
        ({}, {}, ""),
        (1, 2, "request: recorded 1, attempted 2"),
        (1, True, "request: recorded 1, attempted True"),
        ([1], (1,), "request: recorded [1], attempted (1,)"),
        ({"a": 1}, [1], "request: recorded {'a': 1}, attempted [1]"),
        ({"a": 1, "b": 2}, {"b": 3, "a": 1}, "request['b']: recorded 2, attempted 3"),
        ({"a": 1}, {}, "request['a']: recorded 1, attempted without it"),
        ({}, {"a": 1}, "request['a']: recorded without it, attempted 1"),
        (
            {"a": {"b": [0, 1]}},
            {"a": {"b": [0, 2]}},
            "request['a']['b'][1]: recorded 1, attempted 2",
        ),
        ([1, 2], [1], "request: recorded 2 items, attempted 1"),
        ([1], [2, 3], "request[0]: recorded 1, attempted 2"),
        ((1, 2), (1, 3), "request[1]: recorded 2, attempted 3"),
        (LONG, "", f"request: recorded '{LONG}', attempted ''"),
        (f"{LONG}x", "", f"request: recorded '{LONG}x… (121 characters), attempted ''"),
    ],
    ids=map(str, count()),
)
def test_the_first_difference(recorded: object, attempted: object, expected: str) -> None:
    assert first_difference(recorded, attempted) == expected


READ = FunctionType.READ_REMOTE


def made(name: str, kind: FunctionType = READ, fingerprint: int = 0) -> StartedCall:
    return StartedCall(9, name, kind, b"", fingerprint, 0, 0)


def call(name: str, kind: FunctionType = READ, fingerprint: int = 0) -> ImportedFunctionInvoked:
    return ImportedFunctionInvoked(0, 1, name, int(kind), b"", fingerprint, b"", False, 0, 0)


END = ExportedFunctionCompleted(0, b"", False)
BEGIN = ExportedFunctionInvoked(0, "key", "method", b"")


@pytest.mark.parametrize(
    ("ahead", "attempted", "expected"),
    [
        ([call("a"), call("b")], made("b"), [call("a")]),
        ([call("a"), NoOp(0), call("b"), call("c")], made("c"), [call("a"), call("b")]),
        ([call("a"), call("b")], made("a"), []),
        ([call("a"), call("b")], made("c"), []),
        ([call("a"), call("b", fingerprint=1)], made("b"), []),
        ([call("a"), call("b", FunctionType.READ_LOCAL)], made("b"), []),
        ([call("a"), END, BEGIN, call("b")], made("b"), []),
        ([call("a"), BEGIN, call("b")], made("b"), []),
        ([call("a"), call("b"), END], None, [call("a"), call("b")]),
        ([call("a"), call("b")], None, []),
        ([END], None, []),
        ([], made("a"), []),
    ],
    ids=map(str, count()),
)
def test_what_was_left_out(
    ahead: list[Entry], attempted: StartedCall | None, expected: list[Entry]
) -> None:
    assert left_out(ahead, attempted) == expected


def test_whether_a_function_is_called_further_on() -> None:
    assert is_recorded([BEGIN, call("a"), call("b", fingerprint=1)], made("b"))
    assert not is_recorded([NoOp(0), call("a")], made("b"))

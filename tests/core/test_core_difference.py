"""Where two values differ first."""

from __future__ import annotations

from itertools import count

import pytest

from golem_sdk.core.difference import first_difference

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

"""How kinds of calls are named."""

from __future__ import annotations

from golem_sdk.core.function_type import FunctionType


def test_labels_are_spelled_as_golem_spells_them() -> None:
    assert [kind.label for kind in FunctionType] == [
        "read-local",
        "write-local",
        "read-remote",
        "write-remote",
        "write-remote-batched",
        "write-remote-transaction",
    ]
    assert list(map(int, FunctionType)) == [1, 2, 3, 4, 5, 6], "they are stored"

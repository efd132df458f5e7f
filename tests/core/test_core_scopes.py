"""What holds for code inside guards."""

from __future__ import annotations

import pytest

from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.retry import DEFAULT_POLICY
from golem_sdk.core.scopes import DEFAULT_SCOPE, PersistenceLevel, Scope


@pytest.mark.parametrize("level", PersistenceLevel)
def test_only_local_calls_at_the_remote_level_are_made_again(level: PersistenceLevel) -> None:
    skipped = {kind for kind in FunctionType if Scope(level=level).skips(kind)}
    remote = level is PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS
    assert skipped == ({FunctionType.READ_LOCAL, FunctionType.WRITE_LOCAL} if remote else set())


def test_outside_all_guards() -> None:
    smart = PersistenceLevel.SMART
    assert Scope(True, smart, 0, 0, False, 0, (), DEFAULT_POLICY, ()) == DEFAULT_SCOPE
    assert list(map(int, PersistenceLevel)) == [0, 1, 2], "they are stored"

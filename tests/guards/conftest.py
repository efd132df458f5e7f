"""A clean slate for the tests of guards in several tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guards.everywhere import begin

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing was sent, before the test and after it."""
    begin()
    yield
    begin()

"""Sessions of these tests are ended as the runtime ends them, also when a test fails half-way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from golem_sdk.runtime import hostloop, lanes
from runtime.pumping import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends is waited for however long the machine is held up; what does not, says its test."""
    for module in (hostloop, lanes):
        monkeypatch.setattr(module, "_LAST_WORDS_S", 30.0)


@pytest.fixture(autouse=True)
def _crash_all_worlds() -> Iterator[None]:
    yield
    for world in list(World.open):
        world.crash()

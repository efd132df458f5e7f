"""Generators of UUIDs that remember what their process has done, or are compiled."""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.intercept.identifiers import _drawn
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATORS = [
    "langgraph.checkpoint.base.id.uuid6",
    "pydantic_ai._uuid.uuid7",
    "uuid_utils.compat.uuid4",
    "uuid_utils.compat.uuid7",
    "uuid_utils.uuid1",
    "uuid_utils.uuid6",
]


@pytest.fixture(params=GENERATORS)
def generate(request: pytest.FixtureRequest) -> Callable[[], Any]:
    module, _, name = request.param.rpartition(".")
    home = import_module(module)
    return lambda: getattr(home, name)()


def test_identifiers_stay_whatever_the_process_has_made_meanwhile(
    generate: Callable[[], Any],
) -> None:
    runs = run(lambda: [generate(), generate()], between=generate)
    assert runs.replayed == runs.live
    assert runs.live[0] != runs.live[1]
    assert {type(each) for each in [*runs.live, *runs.replayed]} == {type(generate())}
    assert len(runs.calls) == 2


def test_arguments_are_passed_on() -> None:
    compat = import_module("uuid_utils.compat")
    runs = run(lambda: compat.uuid7(timestamp=0x1234, nanos=0))
    assert runs.live == runs.replayed
    assert runs.live.int >> 80 == 0x1234 * 1000
    assert compat.uuid7(timestamp=1).int >> 80 == 1000


def test_names_that_were_imported_before_follow() -> None:
    names = import_module("langchain_core.utils.uuid")
    runs = run(lambda: names.uuid7())
    assert runs.calls == ["uuid_utils.compat.uuid7"]
    assert runs.replayed == runs.live


def test_what_a_process_makes_once_is_not_recorded() -> None:
    graphs, prices = (
        import_module(f"pydantic_ai.{name}") for name in ("_agent_graph", "_genai_prices")
    )
    snapshots = import_module("genai_prices.data_snapshot")

    def body() -> None:
        graphs.build_agent_graph("only here", object, object)
        prices.preload_pricing_data()

    snapshots._bundled_snapshot.cache_clear()
    assert run(body).calls == []
    snapshots._bundled_snapshot.cache_clear()
    body()  # outside agents


class _Moments:
    """A source of simulated time: a microsecond passes between two looks."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_123_456_000

    def now_ns(self) -> int:
        self.ns += 1000
        return self.ns

    def entropy(self, size: int) -> bytes:
        return b"\xa5" * size


@pytest.mark.parametrize("version", [1, 4, 6, 7])
def test_simulated_ones_are_what_they_say(version: int) -> None:
    made = uuid.UUID(bytes=_drawn(version, _Moments()))
    assert (made.version, made.variant) == (version, uuid.RFC_4122)
    if version == 1:
        assert made.time == (1_700_000_000_123_457_000 // 100) + 0x01B21DD213814000
    if version == 7:
        assert made.int >> 80 == 1_700_000_000_123


@pytest.mark.parametrize("version", [6, 7])
def test_later_ones_are_greater(version: int) -> None:
    moments = _Moments()
    made = [_drawn(version, moments) for _ in range(1000)]
    assert made == sorted(set(made))

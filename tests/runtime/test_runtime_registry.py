"""A new agent is not looked for in the store, and no agent is taken for new that the store has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from golem_sdk import Runtime, agent
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import StoreCorruptError
from golem_sdk.runtime import registry as room
from golem_sdk.runtime.registry import Registry
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.storage.base import Row


@define
class Watched:
    """A store; notes which agents are looked for, and cannot list anything of `damaged`."""

    engine: MemoryEngine
    damaged: Space | None = None
    looks: list[bytes] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def get(self, space: Space, key: bytes) -> bytes | None:
        if space in (Space.HEAD, Space.OPLOG):
            self.looks.append(key)
        return self.engine.get(space, key)

    def scan(self, space: Space, *bounds: Any, **options: Any) -> list[Row]:
        if space is self.damaged:
            raise StoreCorruptError("a page is gone", space.name, b"")
        return self.engine.scan(space, *bounds, **options)


@agent
class RegisteredTally:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value


def over(engine: Any) -> Runtime:
    return Runtime.over(engine, VirtualEnvironment(), Settings(write_behind_s=None))


def key_of(name: str) -> bytes:
    return storage_key(f'RegisteredTally("{name}")')


def with_agents(*names: str) -> MemoryEngine:
    engine = MemoryEngine()
    with over(engine) as runtime:
        for name in names:
            assert runtime.get(RegisteredTally, name).add(1) == 1
    return engine.snapshot()


def test_a_new_agent_is_not_looked_for_and_an_old_one_is() -> None:
    engine = Watched(with_agents("x"))
    with over(engine) as runtime:
        assert runtime.get(RegisteredTally, "y").add(1) == 1
        assert engine.looks == []
        assert runtime.get(RegisteredTally, "x").add(1) == 2
        assert key_of("x") in engine.looks


def test_an_agent_that_was_evicted_is_looked_for() -> None:
    settings = Settings(write_behind_s=None, max_loaded=1)
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        for name in "abcdab":
            runtime.get(RegisteredTally, name).add(1)
        assert [runtime.get(RegisteredTally, name).add(0) for name in "abcd"] == [2, 2, 1, 1]


def test_k2_an_agent_whose_head_was_lost_is_known_by_its_oplog() -> None:
    engine = with_agents("headless")
    engine.commit([Batch(dels=((Space.HEAD, key_of("headless")),))])
    with over(engine) as runtime:
        trigger = runtime.trigger(runtime.get(RegisteredTally, "headless").add, 1, key="another")
        assert trigger.result() == 2


def test_of_a_store_with_many_agents_all_are_looked_for_until_they_were_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine: Any = Watched(with_agents(*"abcde"))
    monkeypatch.setattr(room, "_AT_ONCE", 3)
    registry = Registry(engine)
    later: list[Callable[[], None]] = []
    registry.learn(later.append)
    assert registry.look("new(1)", queued=False).blank
    assert b"new(1)" in engine.looks
    for count in later:
        count()
    assert registry.look("new(2)", queued=False).blank
    assert b"new(2)" not in engine.looks
    assert not registry.look('RegisteredTally("e")', queued=False).blank
    assert registry.look("new(2)", queued=False).blank
    assert b"new(2)" in engine.looks, "something may have been stored of it since"
    later.clear()
    registry.learn(later.append)
    assert later == [], "they are counted once"


def test_of_a_store_with_too_many_all_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = Watched(with_agents(*"abcde"))
    monkeypatch.setattr(room, "_AT_ONCE", 3)
    monkeypatch.setattr(room, "_AT_MOST", 9)  # each has a head and an oplog
    registry = Registry(engine)
    registry.learn(lambda count: count())
    registry.look("new(1)", queued=False)
    assert b"new(1)" in engine.looks


@pytest.mark.parametrize("space", [Space.HEAD, Space.OPLOG])
def test_k2_of_a_store_that_cannot_be_listed_all_are_looked_for(space: Space) -> None:
    engine: Any = Watched(with_agents("a"), damaged=space)
    registry = Registry(engine)
    registry.learn(lambda count: count())
    assert registry.look("new(1)", queued=False).blank
    assert b"new(1)" in engine.looks


def test_what_may_be_queued_is_looked_for_whoever_it_is() -> None:
    engine: Any = Watched(MemoryEngine())
    registry = Registry(engine)
    registry.learn(lambda count: count())
    assert not registry.look("new(1)", queued=True).blank

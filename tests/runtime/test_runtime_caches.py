"""What a process has cached and another has not never corrupts an agent: it is named, with both places."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import FunctionType, Runtime, agent, durable
from golem_sdk.core.machine import Machine
from golem_sdk.errors import DivergenceError, StoreCorruptError
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.core.entries import Entry

SHIPPED: list[str] = []
PLACES = ["north"]


@durable(function_type=FunctionType.READ_REMOTE, name="ask_token")
def ask_token(shop: str) -> str:
    return f"token of {shop}"


@durable(function_type=FunctionType.READ_REMOTE, name="ask_tools")
def ask_tools() -> list[str]:
    return ["hammer"]


@durable(name="ship")
def ship(what: str) -> str:
    SHIPPED.append(what)
    return what


@functools.cache
def token(shop: str) -> str:
    return ask_token(shop)


@functools.cache
def tools() -> list[str]:
    return ask_tools()


@functools.cache
def posted() -> str:
    return ship("credentials")


@agent
class CachedShop:
    def __init__(self, name: str) -> None:
        self.name = name

    def sell(self) -> str:
        return ship(token("shop"))

    def equip(self) -> str:
        return ship(token("shop") + tools()[0])

    def ends(self) -> str:
        ship("first")
        return token("shop")

    def posts(self) -> str:
        return ship(f"order by {posted()}")

    def made_at_import(self) -> str:
        return PLACES[-1]

    def only(self) -> str:
        return token("shop")

    def elsewhere(self) -> str:
        return ask_token(PLACES[-1])

    def two_shops(self) -> str:
        return token("a") + token("b")

    async def sell_async(self) -> str:
        return ship(token("shop"))

    def recall(self) -> None:
        """Does nothing; to answer, the agent has to be replayed."""


def empty() -> None:
    token.cache_clear()
    tools.cache_clear()
    posted.cache_clear()


def full() -> None:
    empty()
    keep(token, "shop")
    keep(tools)
    keep(posted)


def keep(function: Callable[..., Any], *args: str) -> None:
    """As another agent of the process would; outside agents nothing is recorded."""
    function(*args)


def runtime_over(engine: MemoryEngine) -> Runtime:
    return Runtime.over(engine, RealEnvironment(), Settings())


def lived(method: str, before: Callable[[], None]) -> MemoryEngine:
    before()
    with runtime_over(MemoryEngine()) as runtime:
        handle = runtime.get(CachedShop, "a")
        runtime.trigger(getattr(handle, method)).result()
        engine = runtime._kernel.engine
        assert isinstance(engine, MemoryEngine)
        return engine.snapshot()


def replayed(engine: MemoryEngine, before: Callable[[], None]) -> str:
    """What replay objects to, ``""``: nothing; it ships nothing."""
    before()
    SHIPPED.clear()
    with runtime_over(engine.snapshot()) as runtime:
        handle = runtime.get(CachedShop, "a")
        try:
            handle.recall()
        except DivergenceError as error:
            return str(error)
        finally:
            assert SHIPPED == []
    return ""


def cause(text: str) -> str:
    [line] = [line for line in text.splitlines() if "likely cause: " in line]
    return re.sub(r"\.py:\d+", ".py", line.partition("likely cause: ")[2])


@pytest.mark.parametrize("method", ["sell", "sell_async", "equip", "ends", "only"])
def test_equal_caches_replay(method: str) -> None:
    for before in (empty, full):
        assert replayed(lived(method, before), before) == ""


@pytest.mark.parametrize(
    ("method", "left_out", "goes_on"),
    [
        ("sell", ["ask_token"], "ship at "),
        ("sell_async", ["ask_token"], "ship at "),
        ("equip", ["ask_token", "ask_tools"], "ship at "),
        ("ends", ["ask_token"], "its end."),
        ("only", ["ask_token"], "its end."),
    ],
)
def test_a_read_that_replay_finds_cached_is_named(
    method: str, left_out: list[str], goes_on: str
) -> None:
    engine = lived(method, empty)
    text = cause(replayed(engine, full))
    assert text.startswith("a cache of this process (")
    places = {
        "ask_token": "ask_token at test_runtime_caches.py in token(): return ask_token(shop)",
        "ask_tools": "ask_tools at test_runtime_caches.py in tools(): return ask_tools()",
    }
    named = ", ".join(places[name] for name in left_out)
    assert f"left out {named}, as if it had" in text
    assert "went on as recorded with " in text
    assert goes_on in text.partition("went on as recorded with ")[2]
    if goes_on != "its end.":
        assert f"in CachedShop.{method}(): return ship(token(" in text
    assert "@durable_cached" in text
    assert replayed(engine, empty) == ""  # nothing is corrupt: a new process goes on


def test_a_read_that_the_first_run_found_cached_is_named() -> None:
    engine = lived("sell", full)
    text = cause(replayed(engine, empty))
    assert text.startswith("a cache of the process that recorded (")
    assert "calls ask_token at test_runtime_caches.py in token()" in text
    assert "before ship at test_runtime_caches.py" in text
    assert "in CachedShop.sell(): return ship(token(" in text
    assert replayed(engine, full) == ""


def test_a_read_at_the_end_that_the_first_run_found_cached_is_named() -> None:
    text = cause(replayed(lived("only", full), empty))
    assert text.startswith("a cache of the process that recorded (")
    assert "in token(): return ask_token(shop), which the recorded run did not" in text


def test_a_write_that_the_first_run_found_cached_is_named() -> None:
    """As HTTP clients ask for tokens: by the same function as for all else, at another line."""
    text = cause(replayed(lived("posts", full), empty))
    assert text.startswith("a cache of the process that recorded (")
    assert "calls ship at test_runtime_caches.py in posted(): " in text
    assert "before ship at test_runtime_caches.py" in text
    assert cause(replayed(lived("posts", empty), full)).startswith("a cache of this process")


def test_another_result_comes_of_what_is_not_journaled(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived("made_at_import", empty)
    monkeypatch.setitem(globals(), "PLACES", ["south"])
    assert cause(replayed(engine, empty)).startswith("a value that is not journaled: a global,")
    text = replayed_with_other_seed(engine, empty, monkeypatch)
    assert text.startswith("a value that is not journaled: a global,")
    assert "Or else this process has another PYTHONHASHSEED" in text


def test_another_order_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived("two_shops", empty)
    text = replayed_with_other_seed(engine, lambda: keep_only("a"), monkeypatch)
    assert text.startswith("this process has another PYTHONHASHSEED")
    assert cause(replayed(engine, lambda: keep_only("a"))).startswith("a cache of this process")


def test_another_argument_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived("elsewhere", empty)
    monkeypatch.setitem(globals(), "PLACES", ["south"])
    assert cause(replayed(engine, empty)).startswith("the code took another path")


def test_damage_further_on_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(self: Machine, most: int) -> list[Entry]:
        raise StoreCorruptError("damaged")

    engine = lived("sell", empty)
    monkeypatch.setattr(Machine, "ahead", damaged)
    assert cause(replayed(engine, full)).startswith("the code took another path")


def test_with_another_hash_seed_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = replayed_with_other_seed(lived("sell", empty), full, monkeypatch)
    assert text.startswith("a cache of this process (")
    assert "Or else this process has another PYTHONHASHSEED" in text


def keep_only(shop: str) -> None:
    empty()
    keep(token, shop)


def replayed_with_other_seed(
    engine: MemoryEngine, before: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> str:
    with monkeypatch.context() as patch:
        patch.setattr("golem_sdk.runtime.loading.hash_canary", lambda: 1)
        return cause(replayed(engine, before))

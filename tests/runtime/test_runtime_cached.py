"""`durable_cached`: each agent asks once, in its replay, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    Runtime,
    agent,
    atomically,
    durable,
    durable_cached,
    persistence_level,
)
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import EncodingError, UsageError
from golem_sdk.testing import crash_at_every_index

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    ASKED.clear()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime.memory() as opened:
        yield opened


@durable_cached
def token(host: str, *, scope: str = "all") -> str:
    ASKED.append((host, scope))
    return f"{host}:{len(ASKED)}"


@durable_cached(maxsize=2, name="prices", function_type=FunctionType.READ_LOCAL)
async def price(item: str) -> str:
    ASKED.append(item)
    return f"{item}:{len(ASKED)}"


@durable_cached
def refusing() -> None:
    ASKED.append("refusing")
    raise ValueError(len(ASKED))


@durable
def pay(what: str) -> str:
    return what


@agent
class CachedTokens:
    def __init__(self, name: str) -> None:
        self.name = name

    def use(self, host: str) -> str:
        return pay(token(host))

    def use_scoped(self) -> list[str]:
        return [token("a", scope="x"), token("a", scope="y"), token("a", scope="x")]

    def forget(self) -> str:
        token.cache_clear()
        return token("a")

    def fails(self) -> list[str]:
        said = []
        for _ in range(2):
            try:
                refusing()
            except ValueError as error:
                said.append(str(error))
        return said

    def in_a_zone(self) -> list[str]:
        with persistence_level(PersistenceLevel.PERSIST_NOTHING):
            zone = [token("a"), token("a")]
        with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
            return [*zone, token("a"), token("a")]

    def in_a_region(self) -> str:
        with atomically():
            return token("a") + token("b")

    def unstorable(self) -> str:
        try:
            return token(object())  # type: ignore[arg-type]  # the point
        except EncodingError:
            return "refused"

    async def prices(self, items: list[str]) -> list[str]:
        return [await price(item) for item in items]

    async def together(self) -> list[str]:
        return [*await asyncio.gather(price("a"), price("a")), await price("a")]


def calls(runtime: Runtime, handle: object) -> list[str]:
    entries = (entry for _, entry in runtime.oplog(handle))
    return [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]


def test_each_agent_asks_once(runtime: Runtime) -> None:
    one, two = runtime.get(CachedTokens, "one"), runtime.get(CachedTokens, "two")
    assert [one.use("a"), one.use("a"), two.use("a"), one.use("a")] == ["a:1", "a:1", "a:2", "a:1"]
    assert [name.rpartition(".")[2] for name in calls(runtime, two)] == ["token", "pay"]
    assert [name.rpartition(".")[2] for name in calls(runtime, one)] == ["token", *["pay"] * 3]


def test_arguments_decide(runtime: Runtime) -> None:
    assert runtime.get(CachedTokens, "s").use_scoped() == ["a:1", "a:2", "a:1"]
    assert ASKED == [("a", "x"), ("a", "y")]


def test_what_is_forgotten_is_asked_again(runtime: Runtime) -> None:
    one, two = runtime.get(CachedTokens, "one"), runtime.get(CachedTokens, "two")
    assert [one.use("a"), two.use("a"), one.forget()] == ["a:1", "a:2", "a:3"]
    assert [one.use("a"), two.use("a")] == ["a:3", "a:2"]  # the other agent's is not forgotten


def test_exceptions_are_not_kept(runtime: Runtime) -> None:
    assert runtime.get(CachedTokens, "f").fails() == ["1", "2"]


def test_where_nothing_is_recorded_nothing_is_kept(runtime: Runtime) -> None:
    zoned = runtime.get(CachedTokens, "z")
    assert zoned.in_a_zone() == ["a:1", "a:2", "a:3", "a:3"]  # remote reads are recorded there
    assert zoned.use("a") == "a:3"


def test_what_cannot_be_stored_is_refused(runtime: Runtime) -> None:
    assert runtime.get(CachedTokens, "u").unstorable() == "refused"
    assert ASKED == []


def test_the_one_used_longest_ago_goes_first(runtime: Runtime) -> None:
    handle = runtime.get(CachedTokens, "p")
    items = ["a", "b", "a", "c", "a", "b"]  # c drives out b
    assert runtime.trigger(handle.prices, items).result() == [
        "a:1",
        "b:2",
        "a:1",
        "c:3",
        "a:1",
        "b:4",
    ]
    assert calls(runtime, handle) == ["prices"] * 4


def test_those_who_ask_together_ask_each(runtime: Runtime) -> None:
    assert len(runtime.trigger(runtime.get(CachedTokens, "t").together).result()) == 3
    assert ASKED == ["a", "a"]


def test_outside_agents_nothing_is_kept() -> None:
    assert [token("a"), token("a")] == ["a:1", "a:2"]
    assert [asyncio.run(price("a")), asyncio.run(price("a"))] == ["a:3", "a:4"]
    token.cache_clear()


def test_it_is_the_function_to_look_at() -> None:
    assert token.__name__ == "token"  # type: ignore[attr-defined]  # as every function
    assert asyncio.iscoroutinefunction(price)


def test_crashes_at_every_index() -> None:
    agents_calls: list[Any] = [
        ("use", "a"),
        ("use", "a"),
        "forget",
        "in_a_region",
        ("prices", ["a", "b", "c", "b", "a"]),
        "together",
        "use_scoped",
    ]
    report = crash_at_every_index(CachedTokens, "crash", calls=agents_calls)
    assert report.ok, str(report)


def make_method() -> Any:
    class Client:
        @durable_cached
        def ask(self) -> None: ...

    return Client


def make_class_method() -> Any:
    class Client:
        @durable_cached
        @classmethod
        def ask(cls) -> None: ...

    return Client


def make_generator() -> Any:
    @durable_cached
    def items() -> Any:
        yield 1

    return items


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_method, "goes on a function, not on .*objects would share"),
        (make_class_method, "goes on a function, not on "),
        (make_generator, "is a generator"),
        (lambda: durable_cached(maxsize=0)(calls), "maxsize is a whole number from 1"),
        (lambda: durable_cached(maxsize="2")(calls), "or None: all; not '2'"),  # type: ignore[call-overload]  # the point
        (lambda: durable_cached(function_type=1)(pay), "function_type must be"),  # type: ignore[call-overload]  # the point
        (lambda: durable_cached(len)(()), "not on <built-in function len>"),
    ],
)
def test_misuse(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_without_a_limit_all_are_kept(runtime: Runtime) -> None:
    asked = []

    @durable_cached(maxsize=None)
    def square(number: int) -> int:
        asked.append(number)
        return number * number

    @agent
    def squares(count: int) -> int:
        return sum(square(number) for _ in range(2) for number in range(count))

    assert runtime.run(squares, 200) == 2 * sum(n * n for n in range(200))
    assert asked == list(range(200))

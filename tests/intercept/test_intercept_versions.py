"""An agent keeps the interceptors with which it was made: their later versions replay what it recorded."""

from __future__ import annotations

import sys
import time
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durability, intercept
from golem_sdk.core.entries import Create, ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept import table
from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment
from golem_sdk.intercept.patching import Patch
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from intercept.replaying import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

NAME = "paper_mill"
BOUGHT: list[str] = []
SEEN: dict[str, list[str]] = {}


@pytest.fixture(autouse=True)
def mill(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A library: ``paper_mill.buy(what)``."""
    module: Any = types.ModuleType(NAME)
    module.__version__ = "1.0"
    module.buy = buy
    monkeypatch.setitem(sys.modules, NAME, module)
    BOUGHT.clear()
    SEEN.clear()
    yield
    intercept.uninstall()
    monkeypatch.undo()
    intercept.install()


def buy(what: str) -> str:
    BOUGHT.append(what)
    return f"{what} number {len(BOUGHT)}"


@agent
class Bookkeeper:
    def __init__(self, name: str) -> None:
        self.name = name

    def orders(self, what: str) -> None:
        time.time()
        SEEN.setdefault(self.name, []).append(sys.modules[NAME].buy(what))
        time.time()

    def recall(self) -> None:
        """Does nothing; to answer, an agent that was unloaded has to be replayed."""


def first_patches(module: ModuleType) -> list[Patch]:
    """The adapter of release 1."""
    return [Patch(module, "buy", _first)]


def _first(original: Callable[[str], str]) -> Callable[[str], str]:
    def patched(what: str) -> str:
        session = durability.current_since(NAME)
        return original(what) if session is None else _bought(session, original, what)

    return patched


def _bought(session: Any, original: Callable[[str], str], what: str) -> str:
    return durability.durable_call(
        session, "paper_mill.buy", FunctionType.WRITE_REMOTE, what, lambda: original(what)
    )


def second_patches(module: ModuleType) -> list[Patch]:
    """The adapter of release 2: it records more, under another name, and knows release 1."""
    return [Patch(module, "buy", _second)]


def _second(original: Callable[[str], str]) -> Callable[[str], str]:
    def patched(what: str) -> str:
        session = durability.current_since(NAME)
        if session is None:
            return original(what)
        if durability.interceptor_version(session, NAME) < 2:
            return _bought(session, original, what)
        answer = durability.durable_call(
            session,
            "paper_mill.order",
            FunctionType.WRITE_REMOTE,
            {"what": what},
            lambda: {"paper": original(what)},
        )
        return answer["paper"]

    return patched


@contextmanager
def release(
    number: int, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    """A runtime of golem_sdk's release 0, which knows nothing of paper, 1 or 2."""
    adapters = {1: first_patches, 2: second_patches}
    intercept.uninstall()
    with monkeypatch.context() as patches:
        if number:
            row = Interceptor(
                name=NAME,
                version=number,
                library=NAME,
                tested=("1", "1"),
                adapters={NAME: f"{__name__}:{adapters[number].__name__}"},
                replaces=(Replaced(NAME, "buy", Treatment.WRITE_REMOTE),),
                limits="none",
            )
            patches.setattr(table, "TABLE", (*table.TABLE, row))
            patches.setitem(table.ACTIVATIONS, NAME, [(row, *row.adapters.values())])
        with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
            yield runtime
        intercept.uninstall()


def history(runtime: Runtime, name: str) -> tuple[int | None, list[str]]:
    """The version that an agent was made with, and what it calls the orders that it recorded."""
    entries = [entry for _, entry in runtime.oplog(runtime.get(Bookkeeper, name))]
    (created,) = (entry for entry in entries if isinstance(entry, Create))
    calls = [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]
    return created.interceptors.get(NAME), [call for call in calls if call.startswith(NAME)]


def test_old_oplogs_are_replayed_as_they_were_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MemoryEngine()
    with release(1, engine, monkeypatch) as runtime:
        runtime.get(Bookkeeper, "old").orders("blue")
        engine = engine_of(runtime).snapshot()
    with release(2, engine, monkeypatch) as runtime:
        runtime.get(Bookkeeper, "old").recall()
        assert SEEN["old"] == ["blue number 1"] * 2
        assert BOUGHT == ["blue"]
        runtime.get(Bookkeeper, "old").orders("red")
        runtime.get(Bookkeeper, "new").orders("green")
        assert history(runtime, "old") == (1, ["paper_mill.buy"] * 2)
        assert history(runtime, "new") == (2, ["paper_mill.order"])
        engine = engine_of(runtime).snapshot()
    SEEN.clear()
    with release(2, engine, monkeypatch) as runtime:
        for name in ("old", "new"):
            runtime.get(Bookkeeper, name).recall()
    assert SEEN == {"old": ["blue number 1", "red number 2"], "new": ["green number 3"]}
    assert BOUGHT == ["blue", "red", "green"]


def test_what_was_not_intercepted_yet_stays_unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MemoryEngine()
    with release(0, engine, monkeypatch) as runtime:
        runtime.get(Bookkeeper, "oldest").orders("blue")
        engine = engine_of(runtime).snapshot()
    with release(2, engine, monkeypatch) as runtime:
        runtime.get(Bookkeeper, "oldest").recall()
        assert SEEN["oldest"] == ["blue number 1", "blue number 2"], "done again, as in release 0"
        runtime.get(Bookkeeper, "oldest").orders("red")
        assert history(runtime, "oldest") == (None, [])
        runtime.get(Bookkeeper, "new").orders("green")
        assert history(runtime, "new") == (2, ["paper_mill.order"])


def test_outside_agents_there_is_no_version() -> None:
    assert durability.current_since("clock") is None

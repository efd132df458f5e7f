"""Bad input ends in one clear error that says what to do; nothing is lost, everything else goes on."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.errors import (
    EncodingError,
    MethodNotFoundError,
    NotDurableError,
    RuntimeClosedError,
    StoreCorruptError,
    StoreForkedError,
    StoreFullError,
    StoreLockedError,
    StoreVersionError,
    UsageError,
)
from golem_sdk.runtime import definitions
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import Timer
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment
from promises.checkers import check_k1_refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PERFORMED: list[str] = []
REFUSED: list[EncodingError] = []


@durable
def effect(value: Any) -> Any:
    PERFORMED.append(str(value))
    return threading.Lock() if value == "bad result" else value


@agent
class Clerk:
    def __init__(self, name: str) -> None:
        self.count = 0

    def work(self, value: Any = 1) -> int:
        effect(value)
        self.count += 1
        return self.count

    def bad_result(self) -> Any:
        return {"kept": [1, threading.Lock()]}

    def bad_effect(self) -> str:
        try:
            effect("bad result")
            effect("what builds on it")
        except EncodingError as error:
            REFUSED.append(error)
            return f"refused {error.path}"
        return "accepted"

    def own_process(self) -> None:
        multiprocessing.get_context("spawn").Process(target=print).start()


def test_two_runtimes_on_one_store(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as first:
        with pytest.raises(StoreLockedError, match=str(os.getpid())):
            Runtime(tmp_path / "store")
        script = f"from golem_sdk import Runtime; Runtime({str(tmp_path / 'store')!r})"
        other = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert "StoreLockedError" in other.stderr
        assert str(os.getpid()) in other.stderr
        assert first.get(Clerk, "a").work() == 1
    with Runtime(tmp_path / "store") as again:
        assert again.get(Clerk, "a").work() == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the mistake under test
def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as runtime:
        clerk = runtime.get(Clerk, "a")
        assert clerk.work() == 1
        child = os.fork()
        if child == 0:
            try:
                clerk.work()
            except StoreForkedError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert clerk.work() == 2


def test_a_store_of_a_newer_format(tmp_path: Path) -> None:
    from golem_sdk.storage.format import FORMAT_KEY

    with Runtime(tmp_path / "store") as runtime:
        runtime.get(Clerk, "a").work()
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([Batch(puts=((Space.META, FORMAT_KEY, b"9999"),))])
    engine.close()
    with pytest.raises(StoreVersionError, match=r"9999|newer"):
        Runtime(tmp_path / "store")


def test_a_truncated_data_file(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as runtime:
        runtime.get(Clerk, "a").work("x" * 60_000)
    data = tmp_path / "store" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2 // 4096 * 4096)
    with pytest.raises(StoreCorruptError):
        Runtime(tmp_path / "store")


def test_a_damaged_agent_is_set_aside_and_others_run_on() -> None:
    engine = MemoryEngine()
    with memory(engine) as runtime:
        for name in ("a", "b"):
            runtime.get(Clerk, name).work()
        survivor = engine.snapshot()
    damage(survivor, b'Clerk("a")')
    with memory(survivor) as runtime:
        with pytest.raises(StoreCorruptError, match=r'Clerk\("a"\)|OPLOG'):
            runtime.trigger(runtime.get(Clerk, "a").work, key="again").result()
        assert runtime.trigger(runtime.get(Clerk, "b").work, key="again").result() == 2


def damage(engine: MemoryEngine, needle: bytes) -> None:
    space = engine._spaces[Space.OPLOG]
    key = next(key for key in space.keys if key.startswith(needle))
    record = bytearray(space.sealed[key])
    record[-1] ^= 1
    space.sealed[key] = bytes(record)


def test_a_full_disk_loses_nothing_and_work_goes_on() -> None:
    engine = Filling()
    with memory(engine) as runtime:
        clerk = runtime.get(Clerk, "a")
        assert clerk.work() == 1
        engine.full = True
        with pytest.raises(StoreFullError):
            runtime.trigger(clerk.work, key="two").result()
        with pytest.raises(StoreFullError):
            runtime.trigger(clerk.work, key="three").result()
        engine.full = False
        for _ in range(10_000):  # commits of threads that are still about it may fail until now
            with suppress(StoreFullError):
                runtime.trigger(clerk.work, key="four")
                break
        assert runtime.trigger(clerk.work, key="four").result() == 2
        assert runtime.trigger(clerk.work, key="two").result() == 3


class Filling(MemoryEngine):
    """A store whose disk can be full."""

    full = False

    def commit(self, batches: Any) -> list[bool]:
        if self.full:
            raise StoreFullError("no space is left on the device (simulated)")
        return super().commit(batches)


def test_values_that_cannot_be_stored(runtime: Runtime) -> None:
    clerk = runtime.get(Clerk, "a")
    PERFORMED.clear()
    with pytest.raises(EncodingError) as caught:
        clerk.work({"socket": [threading.Lock()]})
    assert '["socket"][0]' in caught.value.path
    assert PERFORMED == [], "nothing was done"
    with pytest.raises(EncodingError) as caught:
        clerk.bad_result()
    assert caught.value.path == 'value["kept"][1]'
    assert clerk.bad_effect() == "refused value"
    done = [PERFORMED.count(what) for what in ("bad result", "what builds on it")]
    assert check_k1_refused(REFUSED[-1], "value", *done) == []
    with pytest.raises(EncodingError):
        runtime.get(Clerk, threading.Lock())  # type: ignore[arg-type]  # the mistake under test
    assert clerk.work() == 1


def test_a_method_that_does_not_exist(runtime: Runtime) -> None:
    with pytest.raises(MethodNotFoundError, match="its methods are: bad_effect, bad_result, own"):
        runtime.get(Clerk, "a").wrok()  # type: ignore[attr-defined]  # the mistake under test
    with pytest.raises(UsageError, match="missing a required argument"):
        runtime.get(Clerk)  # type: ignore[call-arg]  # the mistake under test


def test_code_that_is_gone_at_recovery() -> None:
    engine = MemoryEngine()

    @agent(name="Gone")
    class Gone:
        def __init__(self, name: str) -> None:
            self.count = 0

        def nap(self) -> int:
            import time

            time.sleep(3600)
            effect("after the nap")
            return 7

    armed = threading.Semaphore(0)

    def never(when_ns: int, callback: Callable[[], None]) -> Timer:
        armed.release()
        return Timer(callback)

    with memory(engine) as runtime:
        runtime._kernel.environment.call_at = never  # type: ignore[method-assign]  # it sleeps on
        runtime.trigger(runtime.get(Gone, "a").nap, key="nap")
        for _ in ("the nap", "the suspension"):
            assert armed.acquire(timeout=30)
        survivor = engine.snapshot()
    definition = definitions._definitions.pop("Gone")
    with memory(survivor) as runtime:
        assert runtime.get(Clerk, "b").work() == 1, "others run on"
        assert runtime.metadata('Gone("a")').pending == 1, "nothing is lost"
        with pytest.raises(UsageError):
            runtime.get(Clerk("x"))  # type: ignore[arg-type]  # the mistake under test
        definitions.register(definition)  # the module is imported after all
        assert runtime.trigger(runtime.get(Gone, "a").nap, key="nap").result(timeout=60) == 7


def test_an_agent_that_starts_a_process(runtime: Runtime) -> None:
    clerk = runtime.get(Clerk, "a")
    with pytest.raises(NotDurableError, match="@durable"):
        clerk.own_process()
    assert clerk.work() == 1


@pytest.mark.parametrize(
    ("name", "misuse", "says"),
    [
        ("a number", lambda: decorate(agent, 3), "class or a function"),
        ("a name", lambda: decorate(agent, "name"), r"@agent\(name="),
        ("no identifier", lambda: agent(name="two words")(Clerk), "identifier"),
        ("no method", lambda: agent(type("Empty", (), {})), "no public method"),
        ("durable class", lambda: durable(Clerk), "use @agent"),
        ("function type", lambda: decorate(durable, function_type="write"), "FunctionType"),
        ("durable generator", lambda: durable(generator), "generator"),
        ("agent generator", lambda: agent(generator), "generator"),
        (
            "taken",
            lambda: agent(name="Clerk")(type("Other", (), {"f": lambda self: 1})),
            "two agent types",
        ),
    ],
)
def test_misuse_is_explained_at_decoration(
    name: str, misuse: Callable[[], object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        misuse()


def decorate(decorator: Any, *args: Any, **options: Any) -> object:
    """Use a decorator in a way that the type checker would refuse."""
    decorated: object = decorator(*args, **options)
    return decorated(effect) if options and callable(decorated) else decorated


def generator() -> Any:
    yield 1


def test_a_closed_runtime(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as runtime:
        clerk = runtime.get(Clerk, "a")
        clerk.work()
    with pytest.raises(RuntimeClosedError, match="opened again"):
        clerk.work()
    runtime.close()


def test_functions_of_agents_outside_agents() -> None:
    import golem_sdk

    for function in (golem_sdk.get, golem_sdk.run, golem_sdk.trigger):
        with pytest.raises(UsageError, match="open Runtime"):
            function(Clerk, "a")
    assert Clerk("plain").work() == 1, "plain Python without a runtime"


@pytest.fixture
def runtime() -> Any:
    with Runtime.memory() as opened:
        yield opened


def memory(engine: MemoryEngine) -> Runtime:
    return Runtime.over(
        engine, VirtualEnvironment(), Settings(suspend_after_s=0, write_behind_s=None)
    )

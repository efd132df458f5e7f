"""Patches come, stay, are listed, and go without a trace; outside agents nobody notices them."""

from __future__ import annotations

import asyncio
import builtins
import copy
import gc
import importlib
import importlib.util
import inspect
import logging
import os
import pickle
import queue
import random
import subprocess
import sys
import threading
import time
import types
import uuid
import warnings
from datetime import datetime
from random import random as early_random
from time import perf_counter as early_perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, intercept, originals
from golem_sdk.intercept.patching import Patch, PatchSet, replacement_of
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from intercept.replaying import engine_of, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORIGINALS: dict[str, object] = {}


class Holder:
    clock = early_perf_counter


def default(clock: Any = early_perf_counter) -> float:
    return float(clock())


def observed() -> dict[str, object]:
    """Everything of which a test wants to see that it comes back, by identity."""
    return {
        "time.time": time.time,
        "time.sleep": time.sleep,
        "random.random": random.random,
        "random.Random.seed": random.Random.seed,
        "os.urandom": os.urandom,
        "os.fork": os.fork,
        "uuid.uuid1": uuid.uuid1,
        "print": builtins.print,
        "callHandlers": logging.Logger.callHandlers,
        "Thread.start": threading.Thread.start,
        "as_completed": asyncio.as_completed,
        "datetime.now": vars(datetime)["now"],
        "datetime.utcnow": vars(datetime)["utcnow"],
        "import": vars(importlib)["_bootstrap"]._find_and_load,
        "early global": early_perf_counter,
        "early random": early_random,
        "class attribute": vars(Holder)["clock"],
        "default": default.__defaults__,
        "logging's clock": vars(logging)["time"],
        "queue's clock": vars(queue)["time"],
        "threading's clock": vars(threading)["_time"],
        "subprocess' clock": vars(subprocess)["_time"],
        "collection callbacks": list(gc.callbacks),
    }


@pytest.fixture
def bare() -> Iterator[dict[str, object]]:
    """Starts without patches and leaves with them, as other tests expect."""
    intercept.uninstall()
    yield observed()
    intercept.uninstall()
    intercept.install()


def test_uninstalling_restores_everything(bare: dict[str, object]) -> None:
    replace()
    during = observed()
    assert [name for name in bare if during[name] == bare[name]] == []
    intercept.uninstall()
    after = observed()
    callbacks = after.pop("collection callbacks"), bare.pop("collection callbacks")
    assert callbacks[0] == callbacks[1]
    assert after.pop("default") == bare.pop("default")
    assert [name for name in bare if after[name] is not bare[name]] == []
    assert intercept.installed() == []


def replace() -> None:
    """All of it, names that were bound before as well: as before an agent runs."""
    intercept.install()
    intercept.heal()


def test_names_are_looked_for_when_the_first_agent_runs() -> None:
    script = (
        "from time import time\n"
        "from golem_sdk import Runtime, agent\n"
        "kept = [time]\n"
        "@agent\n"
        "def named() -> None: ...\n"
        "with Runtime.memory() as runtime:\n"
        "    assert time is kept[0]\n"
        "    runtime.run(named)\n"
        "    assert time is not kept[0]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_replayed_agent_is_healed_first(bare: dict[str, object]) -> None:
    with Runtime.memory() as runtime:
        clock = runtime.get(HealedClock)
        read = clock.read()
        engine = engine_of(runtime).snapshot()
    time.time = bare["time.time"]  # type: ignore[assignment]  # as freezegun does at its end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
            assert runtime.get(HealedClock).last() == read


def test_what_was_bound_while_installed_is_restored(bare: dict[str, object]) -> None:
    intercept.install()
    module = types.ModuleType("bound_meanwhile")
    sys.modules[module.__name__] = module
    try:
        vars(module)["now"] = time.time
        intercept.uninstall()
        assert vars(module)["now"] is bare["time.time"]
    finally:
        del sys.modules[module.__name__]


def test_installing_twice_is_installing_once(bare: dict[str, object]) -> None:
    replace()
    first = observed()
    replace()
    second = observed()
    assert [name for name in first if first[name] != second[name]] == []


def test_importing_the_sdk_patches_nothing() -> None:
    script = (
        "import time, random, os, builtins\n"
        "before = time.time, random.random, os.urandom, print\n"
        "import golem_sdk.app, golem_sdk.intercept\n"
        "assert before == (time.time, random.random, os.urandom, builtins.print)\n"
        "assert golem_sdk.intercept.installed() == []\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_sdk_imports_no_library_that_the_user_has_not() -> None:
    script = (
        "import sys\n"
        "import golem_sdk.intercept\n"
        "golem_sdk.intercept.install()\n"
        "assert not {'httpx', 'httpx2', 'openai', 'anthropic', 'numpy'} & set(sys.modules)\n"
        "import httpx\n"
        "targets = {line.target for line in golem_sdk.intercept.installed()}\n"
        "assert 'httpx.HTTPTransport.handle_request' in targets, targets\n"
        "assert 'httpx2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_inventory_names_library_version_and_target(bare: dict[str, object]) -> None:
    intercept.install()
    lines = intercept.installed()
    assert ("python", sys.version.split()[0], "time.time") in lines
    assert ("python", sys.version.split()[0], "threading.Thread.start") in lines
    assert len(lines) == len(set(lines))


def test_the_sdk_keeps_its_originals(bare: dict[str, object]) -> None:
    before = dict(vars(originals))
    intercept.install()
    assert [name for name in before if vars(originals)[name] is not before[name]] == []


@agent
class HealedClock:
    """Reads a clock, and tells what it has read."""

    def __init__(self) -> None:
        self.at = 0.0

    def read(self) -> float:
        self.at = time.time()
        return self.at

    def last(self) -> float:
        return self.at


class Proxy:
    """As those of openai: asked for its class, it loads what it stands for."""

    loaded = 0

    @property
    def __class__(self) -> Any:
        Proxy.loaded += 1
        return object

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise TypeError("the class of a proxy stays what it is")


def test_lazy_proxies_are_not_loaded(bare: dict[str, object]) -> None:
    proxy = Proxy()
    assert gc.is_tracked(proxy)
    replace()
    assert Proxy.loaded == 0


def test_lazy_modules_are_not_loaded(
    bare: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "loaded_late.py"
    file.write_text("from time import perf_counter\nLOADED.append(1)\n")
    spec = importlib.util.spec_from_file_location("loaded_late", file)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    loaded = vars(module)["LOADED"] = list[int]()
    monkeypatch.setitem(sys.modules, "loaded_late", module)
    spec.loader.exec_module(module)
    replace()
    assert loaded == []
    assert module.perf_counter is time.perf_counter
    assert loaded == [1]


# --- healing --------------------------------------------------------------------------------------


def test_what_another_tool_took_out_is_put_back_with_one_warning(bare: dict[str, object]) -> None:
    global early_perf_counter
    replace()
    ours, early = time.time, early_perf_counter
    # What freezegun does at the end: the functions it saw when it was imported come back.
    time.time = bare["time.time"]  # type: ignore[assignment]  # a clock
    early_perf_counter = bare["early global"]  # type: ignore[assignment]  # a clock
    with pytest.warns(RuntimeWarning, match=r"time\.time") as caught:
        intercept.heal()
    assert len(caught) == 1
    assert time.time is ours
    assert early_perf_counter is early
    time.time = bare["time.time"]  # type: ignore[assignment]  # once more
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        intercept.heal()
    assert again == []
    assert time.time is ours


def test_an_invocation_heals_first(bare: dict[str, object]) -> None:
    intercept.install()
    time.time = bare["time.time"]  # type: ignore[assignment]  # a clock
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        runs = run(lambda: time.time())
    assert runs.calls == ["time.time"]
    assert runs.live == runs.replayed


def test_where_warnings_are_errors_healing_only_logs(
    bare: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    intercept.install()
    time.time = bare["time.time"]  # type: ignore[assignment]  # a clock
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        intercept.heal()
    assert "another tool" in caplog.text


def test_uninstalling_respects_what_another_tool_put_there(bare: dict[str, object]) -> None:
    intercept.install()

    def foreign() -> float:
        return 1.0

    time.time = foreign
    try:
        intercept.uninstall()
        assert time.time is foreign
    finally:
        time.time = bare["time.time"]  # type: ignore[assignment]  # a clock


# --- outside agents -------------------------------------------------------------------------------

REPLACED = [
    time.time,
    time.sleep,
    time.perf_counter_ns,
    os.urandom,
    uuid.uuid1,
    random.choice,
    print,
]


@pytest.mark.parametrize("index", range(len(REPLACED)))
def test_a_replacement_looks_like_its_original(bare: dict[str, object], index: int) -> None:
    original: Any = REPLACED[index]
    module = original.__module__ or "random"
    replace()
    replacement = getattr(sys.modules[module], original.__name__)
    assert replacement != original
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(replacement, name) == getattr(original, name)
    assert signature(replacement) == signature(original)
    assert pickle.loads(pickle.dumps(replacement)) == replacement
    assert copy.copy(replacement) == copy.deepcopy(replacement) == replacement


def signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def test_a_replacement_is_not_bound_to_instances() -> None:
    intercept.install()

    class Job:
        clock: Any = time.time

    assert abs(Job().clock() - Job.clock()) < 60


def test_results_are_of_the_same_kind() -> None:
    intercept.install()
    assert type(time.time()) is float
    assert type(time.monotonic_ns()) is int
    assert type(time.localtime()) is time.struct_time
    assert type(random.random()) is float
    assert len(os.urandom(3)) == 3
    assert uuid.uuid4().version == 4
    random.seed(1)
    first = random.random()
    random.seed(1)
    assert random.random() == first
    with pytest.raises(TypeError):
        time.time(1)  # type: ignore[call-arg]  # the point


# --- the mechanism --------------------------------------------------------------------------------


def test_what_a_target_lacks_is_left_alone() -> None:
    module: Any = types.ModuleType("lacking")
    patches = PatchSet()
    patches.add([Patch(module, "missing", lambda original: original)], "lacking", "1")
    assert patches.inventory() == []
    assert not hasattr(module, "missing")


def test_a_target_is_patched_once() -> None:
    module: Any = types.ModuleType("twice")
    module.value = 1
    patches = PatchSet()
    for _ in range(2):
        patches.add([Patch(module, "value", lambda original: original + 1)], "twice", "1")
    assert module.value == 2
    patches.remove()
    assert module.value == 1


def test_a_signature_is_kept_where_there_is_one() -> None:
    def original(left: int, *, right: str = "x") -> None: ...

    replacement = replacement_of(original, lambda _home, *args, **kwargs: None, "anywhere")
    assert inspect.signature(replacement) == inspect.signature(original)
    assert inspect.unwrap(replacement) is original

    without = replacement_of(max, lambda _home, *args: None, "builtins")
    with pytest.raises(ValueError, match="no signature found"):
        inspect.signature(without)

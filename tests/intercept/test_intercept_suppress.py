"""Imports and cyclic garbage collection inside an agent are no agent code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
import traceback
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from golem_sdk import durability, originals
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
import random, time, uuid
from time import time as now
STARTED = now()
ID = uuid.uuid4()
LUCK = random.random()
import {inner}
"""


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "intercepted_lazy_module"
    (tmp_path / f"{name}.py").write_text(MODULE.format(inner=f"{name}_inner"))
    (tmp_path / f"{name}_inner.py").write_text("import time\nSTARTED = time.time()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in (name, f"{name}_inner"):
        sys.modules.pop(module, None)


def test_what_a_module_does_when_imported_is_not_recorded(importable: str) -> None:
    def body() -> float:
        module = importlib.import_module(importable)
        return float(module.now() - module.STARTED)

    runs = run(body)
    assert runs.calls == ["time.time"]


def test_a_failed_import_leaves_interception_on(importable: str, tmp_path: Path) -> None:
    (tmp_path / f"{importable}_inner.py").write_text("raise ImportError('no')")

    def body() -> float:
        with pytest.raises(ImportError, match="no"):
            importlib.import_module(importable)
        return time.time()

    assert run(body).calls == ["time.time"]


def test_tracebacks_of_failed_imports_show_no_machinery(importable: str, tmp_path: Path) -> None:
    run(lambda: None)
    (tmp_path / f"{importable}_inner.py").write_text("raise ValueError('no')")
    with pytest.raises(ValueError, match="no") as caught:
        exec(f"import {importable}")  # a bare statement, as a user writes it
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert [os.path.basename(file) for file in files][-2:] == [
        f"{importable}.py",
        f"{importable}_inner.py",
    ]
    assert not any("importlib" in file or "golem_sdk" in file for file in files)


def test_finalisers_of_cyclic_garbage_are_not_recorded() -> None:
    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            time.time()

    def body() -> float:
        for _ in range(50):
            Cyclic()
        gc.collect()
        return time.time()

    gc.collect()
    assert run(body).calls == ["time.time"]


@pytest.mark.parametrize("first", [True, False])
def test_what_other_tools_do_at_a_collection_is_not_recorded(first: bool) -> None:
    seen = []

    def watch(phase: str, info: object) -> None:
        seen.append((phase, time.time()))

    def body() -> float:
        gc.callbacks.insert(1 if first else len(gc.callbacks), watch)
        gc.collect()
        gc.callbacks.remove(watch)
        return time.time()

    gc.collect()
    assert run(body).calls == ["time.time"]
    assert {phase for phase, _ in seen} == {"start", "stop"}


def test_a_tool_that_goes_before_the_guard_is_overtaken_at_the_next_collection() -> None:
    run(lambda: None)
    seen: list[str] = []

    def watch(phase: str, info: object) -> None:
        seen.append(f"{phase} {time.time() > 0}")

    def body() -> float:
        gc.collect()
        return time.time()

    gc.callbacks.insert(0, watch)
    try:
        gc.collect()
        assert run(body).calls == ["time.time"]
    finally:
        gc.callbacks.remove(watch)
    assert seen[:4] == ["start True", "stop True"] * 2


def test_other_threads_of_the_agent_are_its_code_while_one_collects() -> None:
    found: list[object] = []

    def look() -> None:
        session = durability.current()
        assert session is not None
        with durability.suppressed(session):
            found.append(durability.current())
        found.append(session)

    def body() -> None:
        class Cyclic:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:  # the interpreter lets another thread run
                beside = Thread(target=lambda: context.run(look))
                originals.start_thread(beside)
                beside.join()

        context = copy_context()
        Cyclic()
        gc.collect()
        assert durability.current() is not None
        assert found.pop() is durability.current()
        assert found.pop() is None, "it was none of its code that looked there"

    run(body)
    assert not found


def test_finalisers_of_counted_references_are() -> None:
    class Counted:
        def __del__(self) -> None:
            time.time()

    def body() -> None:
        Counted()

    assert run(body).calls == ["time.time"]

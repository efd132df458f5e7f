"""Forked children that load a mutated module or run tests, and what came of them."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol
from attrs import frozen

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType

__all__ = [
    "KILLED",
    "SURVIVED",
    "TIMEOUT",
    "Session",
    "Verdict",
    "check_mutated",
    "forked",
    "load_mutated",
    "run_items",
]

SURVIVED, KILLED, TIMEOUT = "survived", "killed", "timeout"
_LARGEST_DATA = 6 << 30
_BROKEN = 70
_LONGEST_S = 600.0
_OPTIONS = [
    *("-q", "--capture=no", "--tb=no", "--assert=plain", "-o", "faulthandler_timeout=0"),
    *("-p", "no:golem", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:pytest_cov"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
]


@frozen
class Verdict:
    """What came of a mutant, and which test noticed it."""

    status: str
    killer: str = ""


def forked(work: Callable[[Callable[[str], object]], bool]) -> Verdict:
    """Do something in a forked child, which survives if it is true.

    Args:
        work: is given a function to name the test that is running.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(write, work)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    os.set_blocking(read, False)
    named = os.read(read, 1 << 20).decode().splitlines() if status else []
    os.close(read)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _BROKEN:
        raise RuntimeError("it is this tool that has failed: see above")
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return Verdict(TIMEOUT, named[-1] if named else "")
    return Verdict(KILLED, named[-1] if named else "") if status else Verdict(SURVIVED)


def _in_child(write: int, work: Callable[[Callable[[str], object]], bool]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        silent, loud = os.open(os.devnull, os.O_RDWR), os.dup(2)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_DATA, (_LARGEST_DATA, _LARGEST_DATA))
        if work(lambda name: os.write(write, f"{name}\n".encode())):
            code = 0
    except BaseException:
        code = _BROKEN
        os.write(loud, traceback.format_exc().encode())
    finally:
        os._exit(code)


def run_items(
    items: Sequence[pytest.Item], limits_s: dict[str, float], say: Callable[[str], object]
) -> bool:
    """Whether all these tests pass, each within its time; stops at the first that does not."""
    followers = [*items[1:], None]
    try:
        for item, following in zip(items, followers, strict=False):
            say(item.nodeid)
            signal.setitimer(signal.ITIMER_REAL, limits_s.get(item.nodeid, _LONGEST_S))
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                return False
    except (Exception, KeyboardInterrupt, pytest.exit.Exception):
        return False  # pytest itself calls functions that are intercepted, and so what was mutated
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


@frozen
class Session:
    """A run of pytest that collects tests and hands them to a function instead of running them."""

    work: Callable[[list[pytest.Item]], object]

    def collect(self, tests: Sequence[str]) -> int:
        """Collect and work; gives pytest's exit status."""
        return int(pytest.main([*_OPTIONS, *tests], plugins=[self]))

    def pytest_configure(self) -> None:
        """A failure need not be made small."""
        from hypothesis import Phase, settings

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", parent=settings(), phases=phases)
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Work instead."""
        self.work(session.items)
        return True


class _Loader(SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def load_mutated(module: str, code: CodeType) -> None:
    """Let this code be that module's when it is imported."""

    class Finder(PathFinder):
        @classmethod
        def find_spec(
            cls, fullname: str, path: Any = None, target: Any = None
        ) -> ModuleSpec | None:
            spec = super().find_spec(fullname, path, target) if fullname == module else None
            if spec is not None and spec.origin is not None:
                loader = _Loader(fullname, spec.origin)
                loader.code = code
                spec.loader = loader
            return spec

    sys.meta_path.insert(0, Finder)


def check_mutated(module: str) -> None:
    """Make sure that it was `load_mutated` that has loaded a module, if anything has.

    Raises:
        RuntimeError: somebody else was asked for it.
    """
    loaded = sys.modules.get(module)
    if loaded is not None and not isinstance(loaded.__loader__, _Loader):
        raise RuntimeError(f"{module} was loaded unchanged, by {loaded.__loader__}")

"""Who runs the schedules: this process, or others, several at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, Self

from attrs import frozen

from golem_sdk import originals
from golem_sdk.errors import GolemError, UsageError
from golem_sdk.testing.observations import Observed
from golem_sdk.testing.schedules import Schedule, schedule_text
from golem_sdk.testing.subjects import Calm, HalfWay
from golem_sdk.testing.worker import Spec, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from golem_sdk.testing.bench import Bench

__all__ = ["Crew", "CrewError", "LocalCrew", "RemoteCrew", "Task"]

_GRACE_S = 5.0
_FIXED_SEED = 0


class CrewError(GolemError):
    """The agent could not be run at all."""


@frozen
class Task:
    """One run.

    Attributes:
        schedule: where it crashes.
        fresh: local readings that are made again give new values.
        hash_seed: the recovery runs in a process of its own, with this PYTHONHASHSEED; -1: in a
            new one with the hash seed of the run without crashes.
    """

    schedule: Schedule
    fresh: bool = False
    hash_seed: int | None = None

    def __str__(self) -> str:
        return schedule_text(self.schedule)


Done = tuple[Task, Observed | None]
"""A task and what it has shown; ``None``: the run does not come to its crash."""


class Crew(Protocol):
    """Runs tasks.

    Attributes:
        can_leave: whether it can run in other processes.
    """

    can_leave: bool

    def calm(self) -> Calm:
        """Make the run without crashes."""
        ...

    def run(self, tasks: Sequence[Task], ends_at: float | None) -> Iterator[Done]:
        """Run the tasks, in any order; none is begun after the (monotonic) time ``ends_at``."""
        ...


class LocalCrew:
    """Runs everything in this process, one after the other."""

    can_leave = False

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def calm(self) -> Calm:
        """See `Crew.calm`."""
        return self._bench.calm()

    def run(self, tasks: Sequence[Task], ends_at: float | None) -> Iterator[Done]:
        """See `Crew.run`. No task may ask for another process."""
        for task in tasks:
            if ends_at is not None and originals.monotonic() >= ends_at:
                return
            observed = self._bench.run(task.schedule, fresh=task.fresh)
            yield task, observed
            if observed.unfinished:
                return  # what did not end still runs, and would disturb the others


class RemoteCrew:
    """Runs everything in processes of its own, with a fixed PYTHONHASHSEED.

    Args:
        spec: the agent.
        jobs: how many processes work at once.
        limit_s: seconds that one run may take at most.

    Raises:
        CrewError: a process cannot be started, or the agent cannot be made there.
    """

    can_leave = True

    def __init__(self, spec: Spec, jobs: int = 1, limit_s: float | None = None) -> None:
        self._spec = spec
        self._jobs = jobs
        self._limit_s = limit_s
        self._calm: Calm | None = None
        self._idle: dict[int, list[_Process]] = {}
        self._all: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._all:
            process.end()

    def calm(self) -> Calm:
        """See `Crew.calm`."""
        process = self._take(_FIXED_SEED)
        try:
            calm = process.ask(["calm"], self._limit_s)
        except _DiedError as error:
            raise CrewError(f"the run without crashes did not end: {error}") from None
        assert isinstance(calm, Calm)
        self._calm = calm
        self._give_back(process)
        return calm

    def run(self, tasks: Sequence[Task], ends_at: float | None) -> Iterator[Done]:
        """See `Crew.run`."""
        waiting: SimpleQueue[Task] = SimpleQueue()
        for task in tasks:
            waiting.put(task)
        done: SimpleQueue[Done | BaseException | None] = SimpleQueue()
        stopping = Event()

        def work() -> None:
            try:
                while not stopping.is_set():
                    if ends_at is not None and originals.monotonic() >= ends_at:
                        break
                    task = waiting.get_nowait()
                    done.put((task, self._one(task)))
            except Empty:
                pass
            except BaseException as error:  # told to whoever waits for the results
                done.put(error)
            done.put(None)

        workers = [Thread(target=work, daemon=True) for _ in range(min(self._jobs, len(tasks)))]
        for worker in workers:
            worker.start()
        try:
            for _ in workers:
                while (result := done.get()) is not None:
                    if isinstance(result, BaseException):
                        raise result
                    yield result
        finally:
            stopping.set()

    # --- one task ---------------------------------------------------------------------------------

    def _one(self, task: Task) -> Observed | None:
        if task.hash_seed is None:
            observed = self._ask(_FIXED_SEED, ["run", list(task.schedule), task.fresh])
        elif not task.schedule:
            observed = self._ask(task.hash_seed, ["run", [], task.fresh], fresh=True)
        else:
            observed = self._ask(_FIXED_SEED, ["half", task.schedule[0]], fresh=task.hash_seed < 0)
            if isinstance(observed, HalfWay):
                fresh = task.hash_seed < 0
                observed = self._ask(task.hash_seed, ["take up", observed], fresh=fresh)
        return observed if isinstance(observed, Observed) else None

    def _ask(self, seed: int, message: list[object], *, fresh: bool = False) -> object:
        """Have one message answered by a process with this hash seed (``fresh``: by a new one)."""
        process = (
            self._start(max(seed, _FIXED_SEED)) if fresh else self._take(max(seed, _FIXED_SEED))
        )
        calm = self._calm
        limit_s = None if calm is None else max(10.0, 30 * calm.took_s)
        try:
            answer = process.ask(message, limit_s)
        except _DiedError as error:
            return Observed(unfinished=str(error), crashes=0)
        if fresh or (isinstance(answer, Observed) and answer.unfinished):
            process.end()  # what did not end still runs there
        else:
            self._give_back(process)
        return answer

    def _take(self, seed: int) -> _Process:
        with suppress(KeyError, IndexError):
            return self._idle[seed].pop()
        return self._start(seed)

    def _start(self, seed: int) -> _Process:
        process = _Process(seed)
        self._all.append(process)
        try:
            process.ask(["begin", self._spec, self._limit_s, self._calm], None)
        except _DiedError as error:
            raise CrewError(f"the agent's process ended at once: {error}") from None
        return process

    def _give_back(self, process: _Process) -> None:
        self._idle.setdefault(process.seed, []).append(process)


class _DiedError(Exception):
    """The process ended, or had to be ended."""


class _Process:
    """A worker process (`golem_sdk.testing.worker`).

    Attributes:
        seed: its PYTHONHASHSEED.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._process = subprocess.Popen(
            [sys.executable, "-m", "golem_sdk.testing.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": _import_path()},
        )

    def ask(self, message: list[object], limit_s: float | None) -> Any:
        """Its answer.

        Raises:
            _DiedError: it ended; or it gave none in time, and was killed.
            CrewError, TimeoutError: what it says is wrong.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        overdue = Event()

        def put_down() -> None:
            overdue.set()
            self._process.kill()

        watchdog = _after(limit_s, put_down)
        try:
            write_frame(self._process.stdin, message)  # type: ignore[arg-type]  # a pipe of bytes
            answer = read_frame(self._process.stdout)  # type: ignore[arg-type]  # a pipe of bytes
        except (EOFError, OSError):
            status = self._process.wait()
            if overdue.is_set():
                raise _DiedError(f"it had not ended after {limit_s:g} s, and was killed") from None
            raise _DiedError(f"the agent's process ended by itself, with status {status}") from None
        finally:
            watchdog()
        match answer:
            case ["ok", value]:
                return value
            case ["error", "TimeoutError", str(text)]:
                raise TimeoutError(text)
            case ["error", "UsageError" | "MethodNotFoundError", str(text)]:
                raise UsageError(text)
            case ["error", str(), str(text)]:
                raise CrewError(text)
        raise CrewError(f"the agent's process answered {answer!r:.200}")

    def end(self) -> None:
        """Kill it. Idempotent."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _after(limit_s: float | None, action: Callable[[], object]) -> Callable[[], None]:
    """Do something a while after a time limit; gives what prevents it."""
    if limit_s is None:
        return lambda: None
    over = Event()

    def wait() -> None:
        if not over.wait(limit_s + _GRACE_S):
            action()

    Thread(target=wait, name="fuzz-watchdog", daemon=True).start()
    return over.set


def _import_path() -> str:
    """Children find this very package, also when it was not installed."""
    here = str(Path(__file__).resolve().parents[2])
    rest = os.environ.get("PYTHONPATH")
    return os.pathsep.join((here, rest)) if rest else here

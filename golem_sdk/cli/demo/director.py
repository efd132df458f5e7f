"""Runs the demo: starts the service and the worker, kills the worker, starts it again, until all is done."""

from __future__ import annotations

import random
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from golem_sdk import originals
from golem_sdk.cli.demo import shop
from golem_sdk.cli.demo.family import Child
from golem_sdk.cli.demo.ledger import read_ledger
from golem_sdk.cli.demo.scene import Scene, WorkerState
from golem_sdk.cli.demo.verdict import Recovery, Verdict, check_effects, check_results
from golem_sdk.cli.demo.watch import StoreWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.cli.demo.screen import Screen

__all__ = ["DemoError", "Files", "Plan", "direct", "kill_points"]

_TICK_S = 0.04
_LOOK_S = 0.2
_AFTERWARDS_S = 0.25  # a kill falls this long after its point at most: often into a request
_WHILE_STARTING_S = (
    0.8  # or, if its point is passed already, this long after the worker's start at most
)
_SILENCE_S = 60.0
_PACKAGE = "golem_sdk.cli.demo"


class DemoError(Exception):
    """The demo itself could not be carried through."""


@frozen
class Files:
    """Where the run keeps what; all of these are made by it."""

    store: Path
    ledger: Path
    reference: Path
    log: Path


@frozen
class Plan:
    """What is going to happen.

    Attributes:
        orders: names of the orders.
        kills: how often the worker is killed.
        seed: decides when.
    """

    orders: list[str]
    kills: int
    seed: int
    topics: list[str] = field(factory=lambda: list(shop.TOPICS))

    @property
    def names(self) -> list[str]:
        """Names of everything that an agent is to do."""
        return [*self.orders, *self.topics]

    @property
    def effects(self) -> list[tuple[str, str]]:
        """Every effect that has to happen."""
        of_orders = [effect for name in self.orders for effect in shop.effects_of_order(name)]
        return of_orders + [
            effect for topic in self.topics for effect in shop.effects_of_topic(topic)
        ]


def kill_points(kills: int, dice: random.Random) -> list[float]:
    """At which progress of the whole (0 to 1) to kill: at random, one in each ``kills``-th part of it."""
    return [(part + dice.random()) / kills * 0.94 + 0.03 for part in range(kills)]


def direct(plan: Plan, files: Files, screen: Screen) -> Verdict:
    """Carry the demo through. No process is left, whatever happens.

    Raises:
        DemoError: a process failed, or nothing happened for a minute.
    """
    with files.log.open("wb") as log:
        direction = _Direction(plan, files, screen, log)
        try:
            direction.run()
        finally:
            direction.close()
    return Verdict(
        effects=check_effects(
            plan.effects, rows := read_ledger(files.ledger), read_ledger(files.reference)
        ),
        results=check_results(plan.names, direction.results, direction.reference, rows),
        recoveries=tuple(direction.recoveries),
        seed=plan.seed,
    )


class _Direction:
    """The state of one run. Everything happens on the caller's thread; readers only put into the queue."""

    def __init__(self, plan: Plan, files: Files, screen: Screen, log: Any) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self.reference: dict[str, dict[str, Any]] = {}
        self.recoveries: list[Recovery] = []
        self._plan, self._files, self._screen, self._log = plan, files, screen, log
        self._dice = random.Random(plan.seed)
        self._points = kill_points(plan.kills, self._dice)
        self._scene = Scene.of(plan.orders, plan.topics, plan.kills)
        ids = [view.agent_id for view in self._scene.agents.values()]
        self._watch = StoreWatch(files.store, ids)
        self._queue: SimpleQueue[tuple[Callable[..., None], Any, float]] = SimpleQueue()
        self._children: list[Child] = []
        self._urls: dict[str, str] = {}
        self._worker: Child | None = None
        self._began = self._heard = originals.monotonic()
        self._next_look = 0.0
        self._kill_at: float | None = None
        self._killing = False
        self._ended = False

    # --- the course of events -------------------------------------------------------------------

    def run(self) -> None:
        """Everything from the first process to the last result."""
        instances = [("live", self._files.ledger, "1"), ("reference", self._files.reference, "0")]
        arguments = [str(part) for instance in instances for part in ("--instance", *instance)]
        self._start("service", arguments, {}, self._on_service)
        while len(self._urls) < len(instances):
            self._turn()
        self._start_plain_run()
        self._start_worker()
        while not self._ended or len(self.reference) < len(self._plan.names):
            self._turn()
            if not self._ended:
                self._maybe_kill()
        self._scene.state = WorkerState.DONE
        self._look()
        self._news("all agents have finished", "green")

    def close(self) -> None:
        """End every process."""
        self._screen.close()
        for child in self._children:
            child.kill()
        self._watch.close()

    def _turn(self) -> None:
        now = originals.monotonic()
        until = now + _TICK_S if self._kill_at is None else min(now + _TICK_S, self._kill_at)
        try:
            handler, message, at = self._queue.get(timeout=max(0.0, until - now))
        except Empty:
            if now - self._heard > _SILENCE_S:
                raise DemoError(f"nothing has happened for {_SILENCE_S:.0f} s") from None
        else:
            self._heard = now
            handler(message, at)
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._look()
        self._screen.draw(self._scene, self._elapsed())

    def _maybe_kill(self) -> None:
        now = originals.monotonic()
        if self._kill_at is None and self._points and self._scene.progress >= self._points[0]:
            self._kill_at = now + self._dice.uniform(0, _AFTERWARDS_S)
        if self._kill_at is not None and now >= self._kill_at:
            del self._points[0]
            self._kill_at = None
            self._kill()

    def _kill(self) -> None:
        assert self._worker is not None
        self._killing = True
        self._worker.kill()
        while not self._queue.empty():  # what it said before it died
            handler, message, at = self._queue.get()
            handler(message, at)
        self._killing = False
        if self._ended:
            return
        self._scene.killed()
        self._look()
        counts = [self._watch.counts[view.agent_id] for view in self._scene.unfinished]
        counts = [count for count in counts if not count.completed]
        recovery = Recovery(
            agents=len(counts),
            entries=sum(count.entries for count in counts),
            replayed=sum(count.replayed for count in counts),
            start_s=None,
            total_s=None,
        )
        self.recoveries.append(recovery)
        self._scene.replaying = recovery.replayed
        self._news(
            f"kill -9 {self._worker.pid}: {recovery.agents} agents under way,"
            f" {self._scene.entries} entries on disk",
            "red",
        )
        pause_until = originals.monotonic() + self._screen.pause_s
        while originals.monotonic() < pause_until:
            self._turn()
        self._start_worker()
        passed = self._points and self._scene.progress >= self._points[0]
        delay_s = self._dice.uniform(0, _WHILE_STARTING_S)
        self._kill_at = originals.monotonic() + delay_s if passed else None

    # --- processes ------------------------------------------------------------------------------

    def _start(
        self,
        module: str,
        arguments: list[str],
        environment: dict[str, str],
        handler: Callable[[Any, float], None],
    ) -> Child:
        queue = self._queue
        child = Child(
            f"{_PACKAGE}.{module}",
            arguments,
            environment,
            self._log,
            lambda message, at: queue.put((handler, message, at)),
        )
        self._children.append(child)
        return child

    def _start_plain_run(self) -> None:
        environment = {"GOLEM_DEMO_URL": self._urls["reference"], "GOLEM_DEMO_PACE": "0"}
        self._start("worker", ["-", *self._plan.names], environment, self._on_plain_run)

    def _start_worker(self) -> None:
        environment = {"GOLEM_DEMO_URL": self._urls["live"], "PYTHONHASHSEED": "0"}
        arguments = [str(self._files.store), *self._plan.names]
        self._scene.state = WorkerState.STARTING
        self._worker = self._start("worker", arguments, environment, self._on_worker)
        self._scene.pid = self._worker.pid
        if self._scene.kills == 0:
            self._news(f"started worker {self._worker.pid}", "cyan")

    # --- what they say --------------------------------------------------------------------------

    def _on_service(self, message: Any, at: float) -> None:
        match message:
            case {"event": "ready", "service": name, "url": url}:
                self._urls[name] = url
            case {"service": "live", "event": "request"}:
                self._first_live_step(at)
            case {"service": "live"}:
                self._scene.saw_request(message)
            case None:
                raise DemoError("the service has ended")

    def _on_plain_run(self, message: Any, at: float) -> None:
        match message:
            case {"event": "result", "name": name, "result": result}:
                self.reference[name] = result
            case None if len(self.reference) < len(self._plan.names):
                raise DemoError("the run without crashes has failed")

    def _on_worker(self, message: Any, at: float) -> None:
        match message:
            case {"event": "imported"}:
                self._scene.state = WorkerState.REPLAYING if self.recoveries else WorkerState.LIVE
                self._note_recovery(start_s=self._since_start(at))
            case {"event": "result", "name": name, "result": result}:
                self.results[name] = result
                self._scene.finished(name)
                self._ended = len(self.results) == len(self._plan.names)
            case str():
                self._first_live_step(at)
                self._scene.said(message)
                self._screen.said(self._elapsed(), message)
            case None if not self._ended and not self._killing:
                assert self._worker is not None
                raise DemoError(f"the worker has ended by itself ({self._worker.ending()})")

    def _first_live_step(self, at: float) -> None:
        if self._scene.state is not WorkerState.REPLAYING:
            return
        self._scene.state = WorkerState.LIVE
        self._note_recovery(total_s=self._since_start(at))
        recovery = self.recoveries[-1]
        self._news(
            f"worker {self._scene.pid} replayed {recovery.replayed} entries and goes on"
            f" {recovery.total_s:.2f} s after start",
            "cyan",
        )

    def _note_recovery(self, **found: Any) -> None:
        if self.recoveries:
            self.recoveries[-1] = evolve(self.recoveries[-1], **found)

    def _since_start(self, at: float) -> float:
        assert self._worker is not None
        return at - self._worker.started

    def _elapsed(self) -> float:
        return originals.monotonic() - self._began

    def _news(self, text: str, style: str) -> None:
        self._screen.news(self._scene, self._elapsed(), text, style)

    def _look(self) -> None:
        self._watch.look()
        for view in self._scene.agents.values():
            view.entries = self._watch.counts[view.agent_id].entries

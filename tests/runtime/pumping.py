"""A tiny session for the agent's loop alone: it journals deliveries in a list, and replays the list."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from queue import SimpleQueue
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, frozen

from golem_sdk import originals
from golem_sdk.errors import AgentSuspendedSignal
from golem_sdk.runtime.lanes import Lane, current_lane
from golem_sdk.runtime.loop import AgentLoop
from golem_sdk.runtime.tasks import AgentTimer, SleepTimer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterable


class EffectError(Exception):
    """What a failing effect raises."""


class Broken(Exception):  # noqa: N818  # a finding, not an error
    """The replay wants something else than was recorded."""


@frozen
class Delivery:
    number: int
    request: str
    now: float
    failed: bool


@define
class Call:
    number: int
    request: str
    deliver: Callable[[Any], object]
    due: float | None = None
    failing: bool = False
    lane: Lane | None = None
    timer: AgentTimer | SleepTimer | None = None


class World:
    """Port and driver. Time and the order of completions come from the seed, or from a journal.

    Attributes:
        open: those that have not crashed yet, for whoever cleans up.
    """

    open: ClassVar[list[World]] = []

    def __init__(self, seed: int = 0, recorded: Iterable[Delivery] = ()) -> None:
        self.random = Random(seed)
        self.recorded = deque(recorded)
        self.journal: list[Delivery] = []
        self.performed: list[str] = []
        self.effects: dict[str, Callable[[], None]] = {}
        self.calls: dict[int, Call] = {}
        self.started = 0
        self.now = 1000.0
        self.fenced = False
        self.trace: list[str] = []
        self.keep: list[Any] = []
        self.variables: dict[ContextVar[Any], Any] = {}
        self.open.append(self)
        self.loop: AgentLoop = AgentLoop(self)  # type: ignore[abstract]  # what it lacks refuses

    # --- the port ---------------------------------------------------------------------------------

    def context(self) -> Context:
        context = Context()
        for variable, value in self.variables.items():
            context.run(variable.set, value)
        return context

    def time_s(self) -> float:
        return self.now

    def start_timer(self, delay_s: float, timer: AgentTimer | SleepTimer) -> int:
        number = self.start(f"sleep {delay_s}", timer.resume)
        self.calls[number].due = self.now + delay_s
        self.calls[number].timer = timer
        return number

    def timers(self) -> list[AgentTimer | SleepTimer]:
        return [call.timer for call in self.calls.values() if call.timer is not None]

    def stop(self, error: BaseException) -> None:
        raise error

    def cancel_call(self, number: int) -> None:
        self.calls.pop(number, None)

    def here(self) -> int:
        return 0

    # --- for programs -----------------------------------------------------------------------------

    def note(self, *words: object) -> None:
        self.trace.append(" ".join(map(str, words)))

    async def effect(self, request: str, *, failing: bool = False) -> str:
        future = self.loop.create_future()
        number = self.start(request, lambda d: None if future.done() else future.set_result(d))
        self.calls[number].failing = failing
        try:
            delivery = await future
        finally:
            self.calls.pop(number, None)
        return self.reveal(delivery)

    def lane_effect(self, request: str, *, failing: bool = False) -> str:
        lane = current_lane()
        assert lane is not None
        number = self.start(request, lane.resume)
        self.calls[number].failing = failing
        self.calls[number].lane = lane
        delivery = lane.park()
        assert isinstance(delivery, Delivery)
        return self.reveal(delivery)

    def start(self, request: str, deliver: Callable[[Any], object]) -> int:
        if self.fenced:
            raise AgentSuspendedSignal("fenced")
        self.started += 1
        self.calls[self.started] = Call(self.started, request, deliver)
        return self.started

    def reveal(self, delivery: Delivery) -> str:
        if delivery.failed:
            raise EffectError(delivery.request)
        return delivery.request

    # --- the driver -------------------------------------------------------------------------------

    def run(
        self, coroutine: Coroutine[Any, Any, Any], *, at_once: int = 1, most: int = 100_000
    ) -> asyncio.Task[Any]:
        """One invocation to its end, or until ``most`` deliveries were made."""
        loop = self.loop
        main = loop.start_main(coroutine)
        if self.pump(main.done, at_once, most):
            loop.cancel_leftovers()
            if self.pump(loop.is_quiet, at_once, most):
                loop.close_generators()
                self.pump(loop.is_quiet, at_once, most)
        return main

    def run_ready(self) -> None:
        with self.loop.running() as context:
            self.loop.run_ready(context)

    def pump(self, finished: Callable[[], bool], at_once: int = 1, most: int = 100_000) -> bool:
        while True:
            self.run_ready()
            if finished():
                return True
            if len(self.journal) >= most:
                return False
            if len(self.journal) == 10_000:
                raise Broken("the program does not end")
            with self.loop.driven():
                for _ in range(min(at_once, max(1, len(self.recorded)))):
                    self.deliver()

    def deliver(self) -> None:
        delivery = self.recorded.popleft() if self.recorded else self.perform_one()
        call = self.calls.pop(delivery.number, None)
        if call is None or call.request != delivery.request:
            raise Broken(f"{delivery} was recorded, waiting: {list(self.calls.values())}")
        self.now = delivery.now
        self.journal.append(delivery)
        call.deliver(delivery)

    def perform_one(self) -> Delivery:
        timers = [call for call in self.calls.values() if call.due is not None]
        choice = [call for call in self.calls.values() if call.due is None]
        choice += sorted(timers, key=lambda call: (call.due, call.number))[:1]
        if not choice:
            raise Broken("everything waits and nothing can happen")
        call = self.random.choice(choice)
        if call.lane is not None:
            done: SimpleQueue[None] = SimpleQueue()
            effect = self.effects.get(call.request, lambda: None)

            def body() -> None:
                effect()
                done.put(None)

            call.lane.perform(body)
            done.get()
        if call.due is None:
            self.performed.append(call.request)
        now = max(self.now + self.random.random() * 0.1, call.due or 0.0)
        return Delivery(call.number, call.request, now, call.failing)

    def crash(self) -> None:
        """The session is over."""
        self.fenced = True
        if self in self.open:
            self.open.remove(self)
        self.loop.teardown()


def result_of(task: asyncio.Task[Any]) -> str:
    error = task.exception()
    return repr(task.result() if error is None else error)


def in_thread(action: Callable[[], object]) -> BaseException | None:
    """What ``action`` raises when a foreign thread runs it."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=body)
    originals.start_thread(thread)
    thread.join()
    return errors[0] if errors else None

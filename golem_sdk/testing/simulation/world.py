"""The outside of a simulation: it is slow, refuses now and then, and remembers everything done to it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import UsageError
from golem_sdk.oplog.reader import survey
from golem_sdk.runtime.context import SCOPE, current_or_performing
from golem_sdk.runtime.lanes import current_lane
from golem_sdk.testing.checkers import Observation, Performance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session
    from golem_sdk.testing.simulation.baton import Baton
    from golem_sdk.testing.simulation.disk import Disk
    from golem_sdk.testing.simulation.machine import Machine

__all__ = ["World", "world"]

_LONGEST_EFFECT_S = 3.0
_MOST_REFUSALS = 2

_BEGUN: ContextVar[tuple[str, bool, int]] = ContextVar("simulated_call")
"""Of the call that is performed: its key, whether it is live, and how much was not on disk when it began."""

_present: World | None = None


class World:
    """What agents act upon in place of the real outside. Effects are named; give each its own name.

    Args:
        baton: of the simulation.
        disk: the store, to see what is on it when something is shown to the outside (P4).
        seed: decides which effects are refused at first.

    Attributes:
        performances: what was done to it, in order.
        observations: what agent code says it has seen (`observe`).
        again: how often an effect was to be made again since another one of its atomic region failed.
    """

    def __init__(self, baton: Baton, disk: Disk, seed: int) -> None:
        self.performances: list[Performance] = []
        self.observations: list[Observation] = []
        self.again: Counter[str] = Counter()
        self._regions: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._baton = baton
        self._disk = disk
        self._seed = seed
        self._attempts: Counter[str] = Counter()
        self._done: set[str] = set()
        self._settled: dict[str, tuple[int, int]] = {}
        self._observed: Counter[Session] = Counter()

    def write(self, name: str, *, certain: bool = False) -> str:
        """An effect of a synchronous durable function; takes virtual time. Gives a receipt.

        Args:
            name: what is done; each effect of a run has its own.
            certain: it is never refused (for what is not tried again).

        Raises:
            ConnectionError: refused for now. It is not, at the latest the third time.
        """
        machine = self._machine()
        session, begun = current_or_performing(), self._baton.points
        self._baton.sleep(self._duration_s(machine))
        is_late = session is not None and session.ended is not None
        if name in self._settled and (is_late or self._settled[name] > (machine.number, begun)):
            raise ConnectionError(f"{name} has been settled by an operator")
        self._perform(machine, name, certain, session)
        self._baton.point(always=True)
        machine.check()
        return f"{name} done"

    async def awrite(self, name: str, *, certain: bool = False) -> str:
        """The same for asynchronous durable functions."""
        machine = self._machine()
        await asyncio.sleep(self._duration_s(machine))
        self._perform(machine, name, certain, None)
        await asyncio.sleep(0)
        machine.check()
        return f"{name} done"

    def settle(self, name: str) -> bool:
        """Whether the effect has happened: what an operator finds out, and sees to that it stays so.

        Whatever stands still somewhere on its way to do it does not come through any more.
        """
        now = (self._machine().number, self._baton.points)
        self._settled[name] = max(now, self._settled.get(name, now))
        return name in self._done

    def observe(self, place: str, value: object = None) -> None:
        """Called by agent code, also in replay: what it sees here must be the same in every life.

        Not inside what is run again as a whole (`atomically`), nor before a jump back.
        """
        session = current_or_performing()
        if session is None:
            raise UsageError("observe() is called by agent code")
        number = self._observed[session]
        self._observed[session] += 1
        # What a former owner sees after a takeover is lost, and nobody has to see it again.
        if self._machine().number == self._disk.owner:
            live = session.machine.is_live
            seen = Observation(session.agent_id, number, place, repr(value), live)
            self.observations.append(seen)

    def _perform(self, machine: Machine, name: str, certain: bool, session: Session | None) -> None:
        if not machine.alive:
            machine.tally.hit("effect cut off")
        machine.check()
        self._attempts[name] += 1
        refusals = random.Random(f"{self._seed} {name}").randint(-3, _MOST_REFUSALS)
        region = SCOPE.get().region if session is not None else 0
        place = (session.agent_id, region) if session is not None and region else None
        if not certain and machine.faults.effect and self._attempts[name] <= refusals:
            machine.tally.hit("effect failed")
            self.again.update(self._regions[place] if place else ())
            raise ConnectionError(f"{name} is refused for now")
        if name in self._done:
            machine.tally.hit("effect repeated")
        self._done.add(name)
        if place is not None:
            self._regions[place].add(name)
        key, live, unwritten = _BEGUN.get()
        self.performances.append(
            Performance(name, key, machine.number, live=live, unwritten=unwritten)
        )
        self._baton.trace.note("effect", machine.number, name)

    def _begun(self, session: Session, call: StartedCall, scope: Scope) -> tuple[str, bool, int]:
        unwritten = 0
        is_shown = call.function_type >= FunctionType.WRITE_REMOTE and current_lane() is None
        if (
            is_shown and self._machine().number == self._disk.owner
        ):  # else others have written there
            on_disk = survey(self._disk.content, storage_key(session.agent_id)).last
            unwritten = max(0, session.writer.last - on_disk)
        return str(session.keys.key(call.place, scope)), session.machine.is_live, unwritten

    # --- a Performer ------------------------------------------------------------------------------

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        """See `Performer.perform`."""
        token = _BEGUN.set(self._begun(session, call, scope))
        try:
            return action()
        finally:
            _BEGUN.reset(token)

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        """See `Performer.perform_async`."""
        begun = self._begun(session, call, scope)

        async def performing() -> Any:
            _BEGUN.set(begun)
            return await action()

        return performing

    def _machine(self) -> Machine:
        machine = self._baton.current.machine
        assert machine is not None, "effects are performed by agents"
        return machine

    def _duration_s(self, machine: Machine) -> float:
        return machine.draw.choice((0.0, 0.001, machine.draw.uniform(0.0, _LONGEST_EFFECT_S)))


def world() -> World:
    """The world of the simulation that runs.

    Raises:
        UsageError: none does.
    """
    if _present is None:
        raise UsageError("world() is for the effects of agents inside simulate()")
    return _present


def set_world(present: World | None) -> None:
    """Say which world `world` gives."""
    global _present
    _present = present

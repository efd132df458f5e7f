"""What a simulated run has left behind, and which promises it broke."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.core.entries import Entry, OplogIndex
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import StatusRecord
from golem_sdk.oplog.reader import read_entries
from golem_sdk.stores.heads import load_heads
from golem_sdk.testing import checkers
from golem_sdk.testing.checkers import Append, Observation, Performance, Told
from golem_sdk.testing.driver import visible
from golem_sdk.testing.evidence import broken_oplogs

if TYPE_CHECKING:
    from golem_sdk.testing.simulation.callers import Callers
    from golem_sdk.testing.simulation.disk import Disk
    from golem_sdk.testing.simulation.fates import Fates
    from golem_sdk.testing.simulation.world import World

__all__ = ["Ends", "ends_of", "violations"]


@frozen
class Ends:
    """How a run ended.

    Attributes:
        told: what callers were told.
        oplogs: every agent's entries with their indices.
        heads: every agent's stored status.
        performances, observations, appends: everything that happened.
        crashes: how many processes ended or lost the store, and how often that failed.
        failures: how often it failed, by process.
        again: see `World.again`.
        in_doubt: effects of which an operator had to say whether they had happened.
    """

    told: Sequence[Told]
    oplogs: Mapping[str, Sequence[tuple[OplogIndex, Entry]]]
    heads: Mapping[str, StatusRecord]
    performances: Sequence[Performance]
    observations: Sequence[Observation]
    appends: Sequence[Append]
    crashes: int
    failures: Mapping[int, int]
    in_doubt: Sequence[str]
    again: Mapping[str, int]

    @property
    def results(self) -> dict[str, tuple[Any, ...]]:
        """What each call gave."""
        return {each.call: each.outcome for each in self.told}


def ends_of(disk: Disk, world: World, callers: Callers, fates: Fates) -> Ends:
    """Read everything that a run has left."""
    heads = {head.agent_id: head.record for head in load_heads(disk.content)}
    return Ends(
        callers.told,
        {agent: list(read_entries(disk.content, storage_key(agent))) for agent in heads},
        heads,
        world.performances,
        world.observations,
        disk.appends,
        fates.crashes + disk.failures.total(),
        disk.failures,
        callers.resolved,
        world.again,
    )


def violations(
    calm: Ends, wild: Ends, *, never_twice: Iterable[str], ordered: Iterable[str]
) -> list[str]:
    """Which promises the wild run broke, by their numbers; the calm one says what should have been."""
    found = broken_oplogs(wild.oplogs, wild.heads)
    found += checkers.check_p1(wild.performances)
    found += checkers.check_p2(calm.results, wild.results)
    found += checkers.check_p2(
        *({a: visible(e.oplogs.get(a, ())) for a in ordered} for e in (calm, wild))
    )
    found += checkers.check_p3(
        [performance.name for performance in calm.performances],
        wild.performances,
        crashes=wild.crashes,
        never_twice=never_twice,
        in_doubt=wild.in_doubt,
        again=wild.again,
        failures=wild.failures,
    )
    found += checkers.check_p4(wild.performances, wild.told)
    found += checkers.check_p5(wild.observations)
    found += checkers.check_p6(wild.observations)
    found += checkers.check_c1(wild.appends)
    found += checkers.check_x1(wild.appends)
    return found

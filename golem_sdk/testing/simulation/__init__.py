"""Deterministic simulation of the whole runtime under one seed. `simulate` is the one call."""

from __future__ import annotations

from golem_sdk.testing.simulation.faults import BRANCHES, CALM, WILD, Faults, Tally
from golem_sdk.testing.simulation.run import Report, SimulationFault, simulate
from golem_sdk.testing.simulation.world import World, world

__all__ = [
    "BRANCHES",
    "CALM",
    "WILD",
    "Faults",
    "Report",
    "SimulationFault",
    "Tally",
    "World",
    "simulate",
    "world",
]

"""Tests of durable agents: a runtime that crashes and comes back, a virtual clock, strategies, checkers.

Everything here is loaded when it is first used. What generates needs hypothesis: install
``golem_sdk[testing]``. The fixtures for pytest are in `golem_sdk.testing.plugin`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from golem_sdk.testing.cassette import UnrecordedEffectError
    from golem_sdk.testing.clock import VirtualClock
    from golem_sdk.testing.crash import CrashMoment, CrashPoint, SimulatedCrashError
    from golem_sdk.testing.driver import Step
    from golem_sdk.testing.fuzzing import crash_at_every_index
    from golem_sdk.testing.histories import entries, oplogs
    from golem_sdk.testing.interpreter import WORLD, programs, run_program, run_program_async
    from golem_sdk.testing.reports import Finding, Report
    from golem_sdk.testing.statemachine import AgentStateMachine, steps
    from golem_sdk.testing.strategies import crash_points, crash_schedules, values
    from golem_sdk.testing.subjects import Call
    from golem_sdk.testing.verdicts import Verdict
    from golem_sdk.testing.virtual import VirtualRuntime

__all__ = [
    "WORLD",
    "AgentStateMachine",
    "Call",
    "CrashMoment",
    "CrashPoint",
    "Finding",
    "Report",
    "SimulatedCrashError",
    "Step",
    "UnrecordedEffectError",
    "Verdict",
    "VirtualClock",
    "VirtualRuntime",
    "crash_at_every_index",
    "crash_points",
    "crash_schedules",
    "entries",
    "oplogs",
    "programs",
    "run_program",
    "run_program_async",
    "steps",
    "values",
]

_HOME = {
    "AgentStateMachine": "statemachine",
    "CrashMoment": "crash",
    "CrashPoint": "crash",
    "SimulatedCrashError": "crash",
    "Step": "driver",
    "UnrecordedEffectError": "cassette",
    "VirtualClock": "clock",
    "VirtualRuntime": "virtual",
    "WORLD": "interpreter",
    "crash_points": "strategies",
    "crash_schedules": "strategies",
    "entries": "histories",
    "oplogs": "histories",
    "programs": "interpreter",
    "run_program": "interpreter",
    "run_program_async": "interpreter",
    "steps": "statemachine",
    "values": "strategies",
    "Call": "subjects",
    "Finding": "reports",
    "Report": "reports",
    "Verdict": "verdicts",
    "crash_at_every_index": "fuzzing",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ImportError(
            f"golem_sdk.testing.{name} needs hypothesis: pip install 'golem_sdk[testing]'"
        ) from error
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

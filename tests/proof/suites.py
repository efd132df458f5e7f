"""The suites of the proof, how large each is in a full run, and running one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from attrs import frozen

from proof.junit import Results, read_junit

__all__ = ["ROOT", "SUITES", "Outcome", "Suite", "run_suite"]

ROOT = Path(__file__).resolve().parents[2]
MODES = "tests/acceptance/test_acceptance_modes.py"
HANGS_S = 1_200


@frozen
class Suite:
    """Some tests, and their size.

    Attributes:
        name: for people.
        path: the file of the tests.
        scale: ``GOLEM_FUZZ`` in a full run.
        select: as in ``pytest -k``.
    """

    name: str
    path: str
    scale: int
    select: str = ""


SUITES = (
    Suite("crash twice, unloaded", MODES, 70, "every_mode and crashed-again-unloaded"),
    Suite("kills", "tests/acceptance/test_acceptance_kill.py", 11),
    Suite("crash twice, kept", MODES, 70, "every_mode and crashed-again and not unloaded"),
    Suite("damaged stores", "tests/storage/test_storage_agents_damage.py", 16),
    Suite("simulation", "tests/simulation/test_simulation_runs.py", 3),
    Suite("power loss", "tests/storage/test_storage_powerloss.py", 15),
    Suite("guards", "tests/guards/test_guards_crash.py", 8),
    Suite("flipped bits", "tests/storage/test_storage_damage.py", 3),
    Suite("other modes", MODES, 2, "every_mode and not crashed-again"),
    Suite("guards, many tasks", "tests/guards/test_guards_crash_tasks.py", 8),
    Suite("guards, killed", "tests/guards/test_guards_kill.py", 1),
    Suite("hostile bytes", "tests/hostile/test_hostile_decoding.py", 8),
)
"""The longest first, so that those that run side by side end together."""


@frozen
class Outcome:
    """What a suite has given. ``broken``: the end of its output, if pytest did not come to its end."""

    suite: Suite
    results: Results
    seconds: float
    cpu_s: float
    broken: str = ""


def run_suite(suite: Suite, seed: int, scratch: Path, *options: str) -> Outcome:
    """Run a suite at its full size in a process of its own. ``options``: further ones for pytest.

    Several at a time share the machine better than the workers of one: most have one long test.
    """
    name = suite.name.replace(" ", "-")
    report, log = scratch / f"{name}.xml", scratch / f"{name}.log"
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    command += [f"--junit-xml={report}", f"--basetemp={scratch / name}"]
    command += ["-o", f"faulthandler_timeout={HANGS_S}", "-k", suite.select, *options, suite.path]
    environment = {**os.environ, "GOLEM_FUZZ": str(suite.scale), "GOLEM_SEED": str(seed)}
    begun = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu_s = time.monotonic() - begun, usage.ru_utime + usage.ru_stime
    if report.exists():
        results = read_junit(report)
        if process.returncode == bool(results.failed):
            return Outcome(suite, results, seconds, cpu_s)
    broken = f"pytest ended with {process.returncode}: {log.read_text()[-2000:]}"
    return Outcome(suite, Results(), seconds, cpu_s, broken)

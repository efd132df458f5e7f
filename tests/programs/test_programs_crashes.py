"""Programs that nobody here wrote run as agents, and crashes change nothing of what they do."""

from __future__ import annotations

import gc
import json
import random
import re
from collections import Counter
from importlib import import_module
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from acceptance.nursery import Nursery
from golem_sdk.testing import crash_at_every_index
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, drive, visible
from intercept.replaying import only_new_objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from programs.outside import Services

pytestmark = pytest.mark.once

NAMES = ["archive", "research", "support"]
REAL = {"programs.archive": 20, "programs.research": 30, "programs.support": 25}
"""So many crashes of each program against its real outside; with GOLEM_FUZZ more, up to all."""

RECORDED_S = 4.0
"""So long each one is crashed against the recording of a calm run; with GOLEM_FUZZ longer."""

_CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|\+00:00)"
    r"|127\.0\.0\.1:\d+"
)


@pytest.fixture(scope="module", params=NAMES)
def program(request: pytest.FixtureRequest) -> ModuleType:
    """One of them; their libraries are imported only now, as it takes long."""
    return import_module(f"programs.{request.param}")


@frozen
class Story:
    """What a program gave, and what its outside remembers."""

    results: Any
    ledger: list[tuple[str, str, str, bytes]]
    left: list[str]

    @property
    def writes(self) -> Counter[tuple[str, bytes]]:
        return Counter((target, body) for _, how, target, body in self.ledger if how == "POST")

    def check(self, calm: Story, crashes: int) -> None:
        """P2 and P3, against a run that nothing disturbed."""
        assert alike(self.results) == alike(calm.results), "P2"
        assert self.left == calm.left, "P2"
        assert not calm.writes - self.writes, "P3: none is lost"
        assert (self.writes - calm.writes).total() <= crashes, "P3: once more for a crash"
        assert not set(self.asked) ^ set(calm.asked)
        keys: dict[str, set[tuple[str, bytes]]] = {}
        for key, how, target, body in self.ledger:
            if how == "POST":
                keys.setdefault(key, set()).add((target, body))
        assert "" not in keys
        assert all(len(writes) == 1 for writes in keys.values()), "P3: one key, one write"
        assert len(keys) == calm.writes.total(), "P3: one write, one key"

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(how, target) for _, how, target, _ in self.ledger]


def alike(value: Any) -> str:
    """Without what comes from clocks and dice."""
    return _CHANGING.sub("#", json.dumps(value))


def told(program: ModuleType, points: list[CrashPoint]) -> tuple[End, Story]:
    with program.outside() as outside:
        end = drive(program.steps(outside.place), points, suspend_after_s=1.0)
        gc.collect()  # connections that a crash left open complain now, in this test
    kinds, results = zip(*(result[:2] for result in end.results), strict=True)
    assert set(kinds) == {"result"}, end.results
    return end, Story(results, outside.ledger, outside.left)


def entries(end: End) -> Counter[tuple[str, object]]:
    """What was recorded; in which order, is up to those that were asked at once."""
    return Counter(
        (entry[0], entry[2] if entry[0] == "ImportedFunctionInvoked" else None)
        for oplog in end.oplogs.values()
        for entry in visible(oplog)
    )


def schedules(appends: int, draw: random.Random, most: int) -> Iterator[list[CrashPoint]]:
    """A crash at every index, at all moments, or so many of them; each second one is crashed again."""
    every = [CrashPoint(index, moment) for moment in CrashMoment for index in range(1, appends + 1)]
    step = max(1.0, len(every) / most)
    start = draw.uniform(0, step)
    moments = cycle(CrashMoment)
    for number in range(min(most, len(every))):
        point = every[int(start + number * step) % len(every)]
        again = CrashPoint(1 + number % 3, next(moments))
        yield [point, again] if number % 2 else [point]


@only_new_objects()
def test_p2_p3_crashes_with_a_real_outside(
    program: ModuleType, fuzz_scale: int, fuzz_seed: int
) -> None:
    end, calm = told(program, [])
    draw = random.Random(f"{fuzz_seed} {program.__name__}")
    for points in schedules(end.appends, draw, REAL[program.__name__] * fuzz_scale):
        ended, story = told(program, points)
        assert ended.crashes >= 1, points
        assert entries(ended) == entries(end), points
        story.check(calm, ended.crashes)


def test_p2_crashes_with_a_recorded_outside(program: ModuleType, fuzz_scale: int) -> None:
    with program.outside() as outside:
        steps = program.steps(outside.place)
        given = [(step.method, *step.arguments) for step in steps if step.method]
        report = crash_at_every_index(
            steps[0].agent, *steps[0].identity, calls=given, time_limit=RECORDED_S * fuzz_scale
        )
    assert report.ok, str(report)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("programs.life") as lives:
        yield lives


@pytest.mark.parametrize("name", NAMES)
def test_p2_p3_killed_again_and_again(
    name: str, nursery: Nursery, tmp_path: Path, fuzz_scale: int, fuzz_seed: int
) -> None:
    program = import_module(f"programs.{name}")
    calm = lived(program, nursery, tmp_path / "calm", None)
    for number in range(fuzz_scale):
        draw = random.Random(f"{fuzz_seed} {name} {number}")
        lived(program, nursery, tmp_path / f"killed-{number}", draw, calm)


def lived(
    program: ModuleType,
    nursery: Nursery,
    store: Path,
    draw: random.Random | None,
    calm: Story | None = None,
) -> Story:
    """A program's life in processes of its own: one, or some that are killed and one that ends it."""
    kills = 0
    with program.outside() as outside:
        arguments = (program.__name__.rpartition(".")[2], store, outside.place, outside.url)
        while draw is not None and kills < 3:
            killed_at(nursery.begin(*arguments), outside, draw)
            kills += 1
        said, status = nursery.begin(*arguments).end()
        assert status == 0
    story = Story([json.loads(line) for line in said.splitlines()], outside.ledger, outside.left)
    if calm is not None:
        story.check(calm, kills)
    return story


def killed_at(life: Any, outside: Services, draw: random.Random) -> None:
    """Kill it after some more requests, and a moment later."""
    for _ in range(draw.randint(1, 3)):
        outside.arrived.acquire(timeout=0.5)  # or it has ended
    outside.arrived.acquire(timeout=draw.uniform(0, 0.02))
    life.kill()
    life.end()

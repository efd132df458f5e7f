"""Everything about the costs of interceptors, as one table and as figures."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.figures import Figure
from benchmarks.interceptors.bodies import BODIES
from benchmarks.interceptors.inside import Inside, measured
from benchmarks.interceptors.opening import Opening, opening
from benchmarks.interceptors.outside import Outside, outside
from benchmarks.interceptors.places import places
from benchmarks.report import aligned, number

if TYPE_CHECKING:
    from benchmarks.__main__ import Plan

__all__ = ["Costs", "as_json", "costs", "figures", "report"]

_DEAR_CALLS = 20
"""A call of these interceptors takes a millisecond: fewer are made."""

_HEADER = ("", "what", "original us", "live us", "replay us")
_HEADER_OUTSIDE = ("", "functions", "median ns", "dearest ns", "which")

_FOOTNOTE = """\
original: the call without golem_sdk; live, replay: in an agent on a store in memory, commits included.
outside: how much more a replaced function costs outside agents, around a function that does nothing.
Medians. What is not here is refused in agents, done by their loop (locks) or only passed on, or made by
another row: openai and anthropic are those of httpx2, asyncpg and redis.asyncio those of connections."""


@frozen
class Costs:
    """What was measured.

    Attributes:
        outside: a round each of all interceptors.
        inside: the bodies whose libraries are installed.
        missing: bodies of which something is not installed.
        opening: a pair of processes each.
    """

    outside: list[list[Outside]]
    inside: list[Inside]
    missing: list[str]
    opening: list[Opening]


def costs(plan: Plan) -> Costs:
    """Measure everything."""
    opened = [opening() for _ in range(plan.rounds)]
    around = [list(outside(plan.size)) for _ in range(plan.rounds)]
    inside, missing = [], []
    with TemporaryDirectory(dir=plan.directory) as scratch, places(Path(scratch)) as servers:
        (Path(scratch) / "read").write_bytes(b"x" * 200)
        for at, body in enumerate(BODIES):
            if lacking := body.lacks(servers):
                missing.append(f"inside: {body.interceptor}: no {lacking} here")
                continue
            calls = min(plan.size, _DEAR_CALLS) if body.is_dear else plan.size
            inside.append(measured(at, servers, calls, plan.rounds))
    return Costs(around, inside, missing, opened)


def figures(found: Costs) -> list[Figure]:
    """What has a floor."""
    dearest = [max(ns for row in rows for ns in row.over_ns.values()) for rows in found.outside]
    return [
        Figure("interceptors outside", dearest),
        Figure("interceptors opening", [each.all_ms - each.none_ms for each in found.opening]),
        Figure("interceptors first", [e.first_all_ms - e.first_none_ms for e in found.opening]),
        Figure("interceptors imported", [len(each.imported) for each in found.opening]),
    ]


def report(found: Costs) -> str:
    """Two tables, and what could not be measured."""
    inside: list[tuple[str, ...]] = [_HEADER]
    around: list[tuple[str, ...]] = [_HEADER_OUTSIDE]
    missing: list[str] = []
    inside += [
        (
            each.body.interceptor,
            each.body.what,
            *map(_median, (each.original, each.live, each.replay)),
        )
        for each in found.inside
    ]
    for rows in zip(*found.outside, strict=True):
        around.append(_around(rows))
        missing += [f"outside: {name}: {reason}" for name, reason in rows[0].not_measured.items()]
    missing += found.missing
    blocks = ["interceptors, per call in an agent", *aligned(inside, {0, 1}), ""]
    blocks += ["interceptors outside agents", *aligned(around, {0, 4}), "", *missing, _FOOTNOTE]
    return "\n".join(blocks)


def _around(rounds: tuple[Outside, ...]) -> tuple[str, ...]:
    over_ns = {
        name: median(row.over_ns[name] for row in rounds if name in row.over_ns)
        for name in rounds[0].over_ns
    }
    if not over_ns:
        return rounds[0].interceptor, "0", "", "", ""
    dearest = max(over_ns, key=lambda name: over_ns[name])
    return (
        rounds[0].interceptor,
        str(len(over_ns)),
        number(median(over_ns.values())),
        number(over_ns[dearest]),
        dearest,
    )


def _median(samples: list[float]) -> str:
    return number(median(samples))


def as_json(found: Costs) -> dict[str, object]:
    """All samples, for other programs."""
    return {
        "inside": [
            {
                "interceptor": each.body.interceptor,
                "what": each.body.what,
                "original_us": each.original,
                "live_us": each.live,
                "replay_us": each.replay,
            }
            for each in found.inside
        ],
        "outside": [
            {
                "interceptor": row.interceptor,
                "over_ns": row.over_ns,
                "not_measured": row.not_measured,
            }
            for rows in found.outside
            for row in rows
        ],
        "opening": [
            {
                "none_ms": each.none_ms,
                "all_ms": each.all_ms,
                "first_none_ms": each.first_none_ms,
                "first_all_ms": each.first_all_ms,
                "patched": each.patched,
                "imported": each.imported,
            }
            for each in found.opening
        ],
    }

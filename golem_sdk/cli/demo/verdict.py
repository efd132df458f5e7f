"""The demo's final check: is the outside, as witnessed, as if nothing had crashed? Pure functions."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.cli.demo.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EffectCheck", "Recovery", "ResultCheck", "Verdict", "check_effects", "check_results"]

_RANDOM_FIELDS = frozenset({"label", "begun"})
"""What differs from run to run by design: a uuid4 and a clock reading."""


@frozen
class EffectCheck:
    """What happened at one endpoint.

    Attributes:
        endpoint: the effect.
        expected: on how many subjects it should have happened.
        happened: on how many it did.
        lost: subjects that it should have happened on, and did not.
        twice: subjects that it happened on under more than one key, or without one.
        wrong: subjects that it should not have happened on, or with another body than without crashes.
        repeated: requests that came again under their key, so that nothing happened.
    """

    endpoint: str
    expected: int
    happened: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    wrong: tuple[str, ...]
    repeated: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every effect happened exactly once, and as without crashes."""
        return not (self.lost or self.twice or self.wrong)


@frozen
class ResultCheck:
    """What the agents returned.

    Attributes:
        expected: how many results there should be.
        different: agents whose result is missing, or not that of the run without crashes.
        relabelled: orders whose random label is not the same in the charge, the parcel and the result:
            then a random number was drawn again after a crash.
    """

    expected: int
    different: tuple[str, ...]
    relabelled: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all results are right."""
        return not (self.different or self.relabelled)


@frozen
class Recovery:
    """One kill and what came after it.

    Attributes:
        agents: how many agents were under way when the worker was killed.
        entries: how many oplog entries these had on disk.
        replayed: how many of them replay has to meet (the others are hints).
        start_s: from the new process's start until Python had imported everything.
        total_s: from the new process's start to its first live step; ``None``: it was killed before that.
    """

    agents: int
    entries: int
    replayed: int
    start_s: float | None
    total_s: float | None


@frozen
class Verdict:
    """Everything that the demo found out."""

    effects: tuple[EffectCheck, ...]
    results: ResultCheck
    recoveries: tuple[Recovery, ...]
    seed: int

    @property
    def ok(self) -> bool:
        """Whether the run is as if nothing had crashed."""
        return self.results.ok and all(check.ok for check in self.effects)


def check_effects(
    expected: Sequence[tuple[str, str]], rows: Sequence[Row], reference: Sequence[Row]
) -> tuple[EffectCheck, ...]:
    """Compare the ledger with what had to happen.

    Args:
        expected: every effect that had to happen: endpoint and subject.
        rows: the ledger.
        reference: the ledger of the run without crashes.
    """
    bodies = {(row.endpoint, row.subject): _constant(row.body) for row in reference}
    firsts: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if not row.repeated:
            firsts[row.endpoint, row.subject].append(row)
    due = set(expected)
    checks = []
    for endpoint in dict.fromkeys(endpoint for endpoint, _ in [*expected, *firsts]):
        here = {subject: first for (place, subject), first in firsts.items() if place == endpoint}
        wanted = {subject for place, subject in due if place == endpoint}
        wrong = {
            subject
            for subject, (first, *_) in here.items()
            if subject in wanted and _constant(first.body) != bodies.get((endpoint, subject))
        }
        conflicts = {row.subject for row in rows if row.endpoint == endpoint and row.conflict}
        checks.append(
            EffectCheck(
                endpoint=endpoint,
                expected=len(wanted),
                happened=len(here),
                lost=tuple(sorted(wanted - here.keys())),
                twice=tuple(sorted(s for s, f in here.items() if len(f) > 1 or f[0].key is None)),
                wrong=tuple(sorted((here.keys() - wanted) | wrong | conflicts)),
                repeated=tuple(r for r in rows if r.endpoint == endpoint and r.repeated),
            )
        )
    return tuple(checks)


def check_results(
    names: Sequence[str],
    results: Mapping[str, dict[str, Any]],
    reference: Mapping[str, dict[str, Any]],
    rows: Sequence[Row],
) -> ResultCheck:
    """Compare the agents' results with those of the run without crashes."""
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if "label" in row.body:
            labels[row.subject].add(row.body["label"])
    for name, result in results.items():
        if "label" in result:
            labels[name].add(result["label"])
    different = [
        name
        for name in names
        if name not in results or _constant(results[name]) != _constant(reference.get(name))
    ]
    relabelled = [name for name, seen in labels.items() if len(seen) > 1]
    return ResultCheck(len(names), tuple(different), tuple(relabelled))


def _constant(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: item for name, item in value.items() if name not in _RANDOM_FIELDS}

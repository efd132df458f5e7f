"""Reads from a JUnit file what the tests of a run have counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from attrs import field, frozen

from proof.counting import PROPERTY
from proof.figures import Counts

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["Results", "read_junit"]


@frozen
class Results:
    """What became of the tests of a run.

    Attributes:
        counts: what those that passed have counted.
        tests: how many were run.
        failed: the names of those that failed, and why.
        skipped: the same of those that were skipped.
    """

    counts: Counts = field(factory=Counter)
    tests: int = 0
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __add__(self, other: Results) -> Results:
        return Results(
            self.counts + other.counts,
            self.tests + other.tests,
            self.failed + other.failed,
            self.skipped + other.skipped,
        )


def read_junit(path: Path) -> Results:
    """The results in a file of ``pytest --junit-xml``."""
    results = Results()
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        faults, skipped = (_messages(case, *tags) for tags in (("failure", "error"), ("skipped",)))
        if faults:
            results += Results(tests=1, failed=(f"{name}: {faults[0]}",))
        elif skipped:
            results += Results(skipped=(f"{name}: {skipped[0]}",))
        else:
            results += Results(_counted(case), tests=1)
    return results


def _messages(case: ElementTree.Element, *tags: str) -> list[str]:
    return [each.get("message", "")[:300] for tag in tags for each in case.iter(tag)]


def _counted(case: ElementTree.Element) -> Counts:
    counts: Counts = Counter()
    for each in case.iter("property"):
        if each.get("name") == PROPERTY:
            counts.update(json.loads(each.get("value", "{}")))
    return counts

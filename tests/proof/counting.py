"""The fixture with which tests count what they have proved, after it has been checked.

What a test has counted is a property of its report: it passes from worker to controller with pytest-xdist,
and into the file of ``--junit-xml``, where `proof.junit` finds it. Of a test that fails nothing counts.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Protocol

import pytest

from proof.figures import FIGURES, Counts, FigureName

__all__ = ["PROPERTY", "Proved"]

PROPERTY = "proved"


class Proved(Protocol):
    """Counts so many more of a figure, and of its details. To be called after the check has passed.

    ``case``: what tells the case from others. Of equal ones only the first that a test names counts.
    """

    def __call__(
        self, figure: FigureName, count: float = 1, *, case: object = None, **details: float
    ) -> None: ...


@pytest.fixture
def proved(request: pytest.FixtureRequest) -> Proved:
    counts: Counts = Counter()
    cases: set[str] = set()
    properties = request.node.user_properties

    def add(figure: FigureName, count: float = 1, *, case: object = None, **details: float) -> None:
        unknown = details.keys() - set(FIGURES[figure].details)
        assert not unknown, f"nothing is told of {sorted(unknown)} in {figure!r}"
        assert min(count, *details.values(), count) >= 0
        if case is not None and repr(case) in cases:
            return
        cases.add(repr(case))
        counts.update({figure: count, **{f"{figure}: {name}": n for name, n in details.items()}})
        others = [each for each in properties if each[0] != PROPERTY]
        properties[:] = [*others, (PROPERTY, json.dumps(counts))]

    return add

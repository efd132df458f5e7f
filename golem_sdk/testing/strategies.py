"""Hypothesis strategies: whatever agents can store, and where they can be killed."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, timedelta, timezone, tzinfo
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from golem_sdk.testing import samples
from golem_sdk.testing.crash import CrashMoment, CrashPoint

__all__ = ["crash_points", "crash_schedules", "values"]

Some = st.SearchStrategy[Any]
MadeOf = Callable[[Some], Some]

_ZONES: list[tzinfo | None] = [
    None,
    UTC,
    timezone(timedelta(hours=-3, microseconds=7)),
    timezone(timedelta(0), "X"),
]
_texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
_integers = (
    st.integers() | st.integers(-(2**200), 2**200) | st.sampled_from([2**63, 2**64, -(2**63) - 1])
)
_folds = st.integers(0, 1)


def values(*, keys: Sequence[MadeOf] = (), containers: Sequence[MadeOf] = ()) -> Some:
    """Values that agents can store: as arguments, results, and results of durable calls.

    Texts with lone surrogates, integers of any size, all floats, dates and times with zones, decimals, enum
    members, sets, dicts with any keys, named tuples, attrs classes, dataclasses and, where it is installed,
    numpy arrays; in one another. Not exceptions and pydantic models: give those that you have.

    Args:
        keys: for classes of your own with a hash: each gets a strategy for parts and gives one for objects.
        containers: for other classes of your own.

    Example:
        >>> from hypothesis import given
        >>> from golem_sdk import agent
        >>> from golem_sdk.testing import VirtualRuntime, values
        >>> @agent
        ... def echo(value: object) -> object:
        ...     return value
        >>> @given(value=values())
        ... def test_what_goes_in_comes_out(value: object) -> None:
        ...     with VirtualRuntime() as runtime:
        ...         assert type(runtime.run(echo, value)) is type(value)
        >>> test_what_goes_in_comes_out()
    """
    hashable = _short(_keys(keys))
    nested = st.recursive(
        hashable | st.decimals(),
        lambda parts: st.one_of(
            _containers(hashable, parts), *(made_of(parts) for made_of in containers)
        ),
        max_leaves=12,
    )
    # By itself hardly anything but containers would come up.
    return st.one_of(_short(_atoms()), hashable, nested)


def crash_points(appends: int = 50) -> st.SearchStrategy[CrashPoint]:
    """Where a run can be killed. Shrinks to the first append, and to the moment before it.

    Args:
        appends: how many entries the run appends at most.
    """
    return st.builds(CrashPoint, st.integers(1, appends), st.sampled_from(CrashMoment))


def crash_schedules(appends: int = 50, crashes: int = 3) -> st.SearchStrategy[list[CrashPoint]]:
    """Where a run and its recoveries are killed, for ``VirtualRuntime(crashes=...)``.

    Args:
        appends: how many entries the run appends at most.
        crashes: how many crashes there are at most.
    """
    return st.lists(crash_points(appends), max_size=crashes)


def _short(strategy: Some) -> Some:
    """The same strategy, whose text does not list all its parts: hypothesis refuses long ones."""

    @st.composite
    def part(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return part()


def _zones() -> Some:
    zones = list(_ZONES)
    with suppress(KeyError):  # this machine may have no time zones
        zones.append(ZoneInfo("Europe/Berlin"))
    return st.sampled_from(zones)


def _is_exact_path(path: PureWindowsPath) -> bool:
    return PureWindowsPath(str(path)) == path


def _atoms() -> Some:
    zones = _zones()
    return st.one_of(
        st.none(),
        st.booleans(),
        _integers,
        st.floats(),
        _texts,
        st.binary(max_size=8),
        st.complex_numbers(),
        st.decimals(),
        st.fractions(),
        st.uuids(),
        st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, _folds),
        st.dates(),
        st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, _folds),
        st.timedeltas(),
        st.builds(PurePosixPath, st.text(max_size=5)),
        st.builds(PureWindowsPath, st.text("ab\\", max_size=5)).filter(_is_exact_path),
        st.builds(range, st.integers(), st.integers(), st.integers(1, 9)),
        st.sampled_from([*samples.Color, *samples.Word, Path("a/b")]),
        st.builds(samples.Access, st.integers(0, 3)),
    )


def _is_snan(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_snan()  # has no hash


def _keys(more: Sequence[MadeOf]) -> Some:
    def hashable(parts: Some) -> Some:
        return st.one_of(
            st.tuples(parts, parts),
            st.frozensets(parts, max_size=4),
            st.builds(samples.Point, parts, parts),
            st.builds(samples.Item, _texts, parts),
            st.builds(samples.Sealed, parts),
            *(made_of(parts) for made_of in more),
        )

    plain = _short(_atoms()).filter(lambda atom: not _is_snan(atom))
    return st.recursive(plain, hashable, max_leaves=4)


def _containers(keys: Some, parts: Some) -> Some:
    few = st.lists(parts, max_size=4)
    mapping = st.dictionaries(keys, parts, max_size=3)
    return st.one_of(
        few,
        few.map(tuple),
        few.map(deque),
        st.builds(lambda items: deque(items, 9), few),
        st.sets(keys, max_size=4),
        mapping,
        mapping.map(OrderedDict),
        mapping.map(Counter),
        mapping.map(lambda items: defaultdict(list, items)),
        mapping.map(lambda items: defaultdict(None, items)),
        st.builds(bytearray, st.binary(max_size=4)),
        st.builds(samples.Point, parts, parts),
        st.builds(samples.Basket, few, parts),
        *_of_libraries(),
    )


def _of_libraries() -> list[Some]:
    """Values of libraries that are installed."""
    found: list[Some] = []
    if find_spec("numpy") is not None:
        import numpy as np

        found.append(st.lists(st.floats(), max_size=4).map(np.array))
    return found

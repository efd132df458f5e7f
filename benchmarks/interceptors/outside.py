"""What a replaced function costs outside agents: its replacement around a function that does nothing.

So every replacement is measured alike, whatever it replaces, and nothing has to be there to talk to.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from importlib import import_module
from statistics import median
from timeit import timeit
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from golem_sdk import originals
from golem_sdk.intercept.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.intercept.interceptor import Interceptor
    from golem_sdk.intercept.patching import Patch

__all__ = ["Outside", "outside"]

_MOST_ARGUMENTS: Final = 6
_PAIRS: Final = 5


class _Anything:
    """An argument that has every attribute; all are ``None``, and found as those of others are."""

    def __getattr__(self, name: str) -> None:
        if not name.startswith("__"):
            setattr(self, name, None)


_ANYTHING = _Anything()

_SAME: Final = {"psycopg.connect": "psycopg.Connection.connect"}
"""Functions that are replaced by another's replacement, and so cost what that one does."""

_AS_THEY_ARE: Final = frozenset({"datetime.datetime.now", "datetime.datetime.utcnow"})
"""Nothing can stand in place of these: the replacement calls what is not given to it."""


@frozen
class Outside:
    """One interceptor.

    Attributes:
        over_ns: by function: nanoseconds that a call costs more outside agents.
        not_measured: functions of which nothing can stand in place of the original, with the reason.
    """

    interceptor: str
    over_ns: dict[str, float]
    not_measured: dict[str, str]


def outside(calls: int) -> Iterator[Outside]:
    """All interceptors whose libraries are installed, in the order of the table."""
    for row in TABLE:
        over_ns, not_measured = dict[str, float](), dict[str, str]()
        for patch in _patches(row):
            if patch.label in _SAME:
                over_ns[patch.label] = over_ns[_SAME[patch.label]]
                continue
            try:
                over_ns[patch.label] = _over_ns(patch, calls)
            except Exception as error:  # each wants something else of what it replaces
                not_measured[patch.label] = repr(error)
        if over_ns or not_measured:
            yield Outside(row.name, over_ns, not_measured)


def _patches(row: Interceptor) -> Iterator[Patch]:
    for name, place in row.adapters.items():
        try:
            module = import_module(name)
        except ImportError:  # the library is not installed
            continue
        adapter, _, function = place.partition(":")
        yield from getattr(import_module(adapter), function)(module)


def _over_ns(patch: Patch, calls: int) -> float:
    original = vars(patch.target).get(patch.attribute)
    if original is None:
        raise LookupError("this version does not have it")
    nothing = original if patch.label in _AS_THEY_ARE else _nothing(original)
    is_async = inspect.iscoroutinefunction(getattr(patch.target, patch.attribute))
    take_s = _seconds_async if is_async else _seconds
    slow, fast = (_callable(each, patch.target) for each in (patch.make(nothing), nothing))
    arguments = _accepted(take_s, slow, fast)
    pairs = [
        (take_s(slow, arguments, calls), take_s(fast, arguments, calls)) for _ in range(_PAIRS)
    ]
    return median(a - b for a, b in pairs) / calls * 1e9


def _nothing(original: Any) -> Any:
    """What does nothing, of the same kind."""
    if isinstance(original, classmethod | staticmethod):
        return type(original)(_nothing(original.__func__))
    if inspect.iscoroutinefunction(original):

        async def nothing_async(*args: object, **options: object) -> None:
            pass

        return nothing_async

    def nothing(*args: object, **options: object) -> None:
        pass

    with suppress(TypeError, ValueError):  # some replacements ask for the defaults
        vars(nothing)["__signature__"] = inspect.signature(original)
    return nothing


def _callable(found: Any, owner: Any) -> Callable[..., Any]:
    """A function as it is called."""
    if not inspect.ismodule(owner) and not inspect.isfunction(found):
        found = found.__get__(None, owner)
    called: Callable[..., Any] = found
    return called


def _seconds(function: Callable[..., Any], arguments: tuple[object, ...], calls: int) -> float:
    return timeit(lambda: function(*arguments), number=calls)


def _seconds_async(
    function: Callable[..., Any], arguments: tuple[object, ...], calls: int
) -> float:
    """As agent code and all other does it: one coroutine awaits many, none of which waits for anything."""

    async def awaited() -> None:
        for _ in range(calls):
            await function(*arguments)

    begin = originals.perf_counter()
    with suppress(StopIteration):
        awaited().send(None)
    return originals.perf_counter() - begin


def _accepted(
    take_s: Callable[..., float], slow: Callable[..., Any], fast: Callable[..., Any]
) -> tuple[object, ...]:
    """So many arguments as the replacement wants."""
    refused: Exception = TypeError("no number of arguments suits it")
    for count in range(_MOST_ARGUMENTS):
        arguments = (_ANYTHING,) * count
        try:
            take_s(slow, arguments, 1)
            take_s(fast, arguments, 1)
        except Exception as error:
            refused = error
        else:
            return arguments
    raise refused

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

from golem_sdk.intercept.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.intercept.interceptor import Interceptor
    from golem_sdk.intercept.patching import Patch

__all__ = ["Outside", "outside"]

_MOST_ARGUMENTS: Final = 6
_PAIRS: Final = 5


class _Anything:
    """An argument that has every attribute; all are ``None``."""

    def __getattr__(self, name: str) -> None:
        return None


_ANYTHING = _Anything()


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
    nothing = _nothing(original)
    slow, fast = _callable(patch.make(nothing)), _callable(nothing)
    arguments = _accepted(slow, fast)
    pairs = [
        (
            timeit(lambda: slow(*arguments), number=calls),
            timeit(lambda: fast(*arguments), number=calls),
        )
        for _ in range(_PAIRS)
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

    return nothing


def _callable(found: Any) -> Callable[..., Any]:
    """A function as it is called: of a coroutine function, up to its end."""
    if isinstance(found, classmethod | staticmethod):
        found = found.__get__(None, type("Owner", (), {}))
    if not inspect.iscoroutinefunction(found):
        called: Callable[..., Any] = found
        return called

    def call(*args: object) -> None:
        with suppress(StopIteration):
            found(*args).send(None)

    return call


def _accepted(slow: Callable[..., Any], fast: Callable[..., Any]) -> tuple[object, ...]:
    """So many arguments as the replacement wants."""
    refused: Exception = TypeError("no number of arguments suits it")
    for count in range(_MOST_ARGUMENTS):
        arguments = (_ANYTHING,) * count
        try:
            slow(*arguments)
            fast(*arguments)
        except Exception as error:
            refused = error
        else:
            return arguments
    raise refused

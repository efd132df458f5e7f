"""Async generators of an agent: known in the order of their first use, closed in that order."""

from __future__ import annotations

import gc
import weakref
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["Generators", "close_each", "is_collecting"]

_collector: int | None = None


def _on_collection(phase: str, info: object) -> None:
    global _collector
    # One slot is enough: the interpreter never runs two collections at once.
    _collector = get_ident() if phase == "start" else None


gc.callbacks.append(_on_collection)


def is_collecting() -> bool:
    """Whether this code runs because garbage is collected, at a moment that no replay repeats."""
    return _collector == get_ident()


class Generators:
    """The async generators that have been iterated and may not be finished."""

    __slots__ = ("_begun", "_kept", "_numbers")

    def __init__(self) -> None:
        self._numbers = count()
        self._begun: dict[int, tuple[int, weakref.ref[AsyncGenerator[Any, Any]]]] = {}
        self._kept: dict[int, AsyncGenerator[Any, Any]] = {}

    def begin(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A generator is iterated for the first time."""
        # The entry of one that is gone is taken over by the next one at its address.
        self._begun[id(generator)] = next(self._numbers), weakref.ref(generator)

    def keep(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A generator is dropped unfinished, but cannot be closed now: keep it until `take`."""
        begun = self._begun.pop(id(generator), None)
        self._kept[next(self._numbers) if begun is None else begun[0]] = generator

    def take(self) -> list[AsyncGenerator[Any, Any]]:
        """All that exist, in the order of their first use; from now on they are the caller's."""
        found, self._kept = self._kept, {}
        begun, self._begun = self._begun, {}
        for number, ref in begun.values():
            generator = ref()
            if generator is not None:
                found[number] = generator
        return [found[number] for number in sorted(found)]


async def close_each(
    generators: list[AsyncGenerator[Any, Any]], tell: Callable[[dict[str, Any]], None]
) -> None:
    """Close them one after the other; of errors the loop's exception handler is told."""
    for generator in generators:
        try:
            await generator.aclose()
        except Exception as error:
            message = f"an error occurred during closing of asynchronous generator {generator!r}"
            tell({"message": message, "exception": error})

"""Lets many threads read through a memory map, and one change it when nobody does."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MapGate"]


class MapGate:
    """Changing a map ends the transactions that read through it, so it waits for them. Not reentrant."""

    def __init__(self) -> None:
        self._turn = Condition(Lock())
        self._readers = 0
        self._changing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The map stays as it is in this block."""
        with self._turn:
            while self._changing:
                self._turn.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                if self._changing and not self._readers:
                    self._turn.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody reads in this block, which begins when those who do are through."""
        with self._turn:
            while self._changing:
                self._turn.wait()
            self._changing = True
        try:
            with self._turn:
                while self._readers:
                    self._turn.wait()
            yield
        finally:
            with self._turn:
                self._changing = False
                self._turn.notify_all()

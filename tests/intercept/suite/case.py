"""Cases of the suite that every interceptor passes: five tests for each, in `test_intercept_suite`.

How to add cases, for an adapter of a library:

1. Make ``cases_<library>.py`` beside this file, with a list ``CASES``; it is found by its name.
2. ``body(outside)`` is what agent code does with the library: a function or a coroutine function. What it
   returns is compared: it must be encodable, and without what differs by nature (or ``view`` takes it out).
3. ``failing(outside)`` does something that raises. The exception's type, args and text are compared.
4. ``outside`` makes what they talk to, as a context manager: new for every run, gone in replay. It tells its
   ``writes`` (what it was made to do: a crash may repeat one of them) and ``trace`` (all that reached it).
5. After a crash a body ends as it would have: one whose stream is lost in it sends the request again.
6. Be brief: a case runs three times for each entry that it appends. Break the adapter and see all five fail.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

__all__ = ["Case", "Nowhere", "Outside", "cases"]


class Outside(AbstractContextManager[Any], Protocol):
    """What a case talks to. After its ``with`` block it answers no more, but remembers.

    Attributes:
        writes: what it was made to do, without idempotency keys and the like.
        trace: everything that reached it, as exactly as it can be compared with another run.
    """

    @property
    def writes(self) -> Sequence[Hashable]: ...

    @property
    def trace(self) -> Sequence[object]: ...


class Nowhere(AbstractContextManager["Nowhere"]):
    """The outside of clocks and dice."""

    writes: tuple[Hashable, ...] = ()
    trace: tuple[object, ...] = ()

    def __exit__(self, *_: object) -> None:
        pass


def _whole(result: Any) -> Any:
    return result


@frozen
class Case:
    """Something that agents do through an interceptor.

    Attributes:
        name: unique, as is usual for tests: ``"httpx-async-streamed"``.
        interceptor: the name of its row in the table.
        body: gives a result; ``failing`` raises an exception.
        outside: makes what they are given. By default nothing.
        view: what two results must have in common if they come from two runs with another outside, clock or
            dice. Live and replay are always compared as they are.
        local: whether its writes wait for no commit, so that a crash may repeat several, each of them once.
    """

    name: str
    interceptor: str
    body: Callable[[Any], Any]
    failing: Callable[[Any], Any]
    outside: Callable[[], Outside] = Nowhere
    view: Callable[[Any], Any] = _whole
    local: bool = False


def cases() -> list[Case]:
    """All cases, of all files."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
    return [case for name in names for case in import_module(f"intercept.suite.{name}").CASES]

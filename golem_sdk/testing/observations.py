"""What a run shows of itself: results, state, and every effect on the outside. Values only."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from golem_sdk.cli.stored import read_stored
from golem_sdk.codec.values import decode
from golem_sdk.core.entries import OplogIndex
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import DecodingError

__all__ = [
    "Failure",
    "Observed",
    "Outcome",
    "Performance",
    "Unjournaled",
    "decoded",
    "value_text",
]

_LONGEST = 160


@frozen
class Performance:
    """A durable call that was performed, as the outside saw it.

    Attributes:
        agent: whose call.
        name: what was called.
        function_type: as number, see `FunctionType`.
        request: encoded.
        key: its idempotency key.
        announced: made under ``idempotence_mode(False)``.
        source: file and line of the call, or empty.
        withdrawn: agent code cancelled it while it was under way.
    """

    agent: str
    name: str
    function_type: int
    request: bytes
    key: str
    announced: bool = field(default=False, eq=False)
    source: str = field(default="", eq=False)
    withdrawn: bool = field(default=False, eq=False)

    @property
    def is_remote(self) -> bool:
        """Whether others can see it."""
        return self.function_type >= FunctionType.READ_REMOTE

    @property
    def is_write(self) -> bool:
        """Whether others are changed by it."""
        return self.function_type >= FunctionType.WRITE_REMOTE

    def __str__(self) -> str:
        return f"{self.name} {value_text(self.request)}"


@frozen
class Unjournaled:
    """Something that agent code did to the outside past every durable call.

    Attributes:
        event: what, as Python's audit events name it.
        details: with what.
        source: file, line, function and source line.
    """

    event: str
    details: str = field(eq=False)
    source: str


@frozen
class Failure:
    """Why an agent is parked: the error's type and text."""

    agent: str
    error_type: str
    text: str


@frozen
class Outcome:
    """What one call from outside gave.

    Attributes:
        kind: ``"value"``, ``"error"`` or ``"parked"``.
        data: the value or the exception, encoded.
    """

    kind: str
    data: bytes


@frozen
class Observed:
    """What one run, with all its recoveries, has shown.

    Attributes:
        outcomes: what each call from outside gave, as far as they came.
        states: of every class agent, replayed at the end: its attributes, encoded.
        performed: every performance of a durable call, in order, over all lives.
        unjournaled: what was done past every durable call, in order, over all lives.
        failures: the agents that are parked.
        unfinished: why the run did not come to its end; empty: it did.
        crashes: how often it crashed.
        survived: how many entries of the crashed agent were on disk after each crash.
        redrawn: whether a local reading (a clock, a random number) was made again.
    """

    outcomes: tuple[Outcome, ...] = ()
    states: Mapping[str, Mapping[str, bytes]] = field(factory=dict)
    performed: tuple[Performance, ...] = ()
    unjournaled: tuple[Unjournaled, ...] = ()
    failures: tuple[Failure, ...] = ()
    unfinished: str = ""
    crashes: int = 0
    survived: tuple[OplogIndex, ...] = ()
    redrawn: bool = False


def value_text(data: bytes) -> str:
    """An encoded value as text, shortened."""
    match decoded(data):
        case [list() as positional, dict() as keyword]:  # what @durable records
            named = [f"{name}={value!r}" for name, value in keyword.items()]
            text = f"({', '.join([*map(repr, positional), *named])})"
        case value:
            text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def decoded(data: bytes) -> object:
    """An encoded value; one with classes that this process does not have, as it is stored."""
    try:
        return decode(data)
    except DecodingError:
        return read_stored(data)

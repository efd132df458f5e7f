"""What there is to say of one interceptor: whose functions it replaces, and what becomes of their calls.

The rows of `golem_sdk.intercept.table` are made of these. They are data: neither a library nor an
adapter is imported for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # attrs classes are resolved at run time
from enum import Enum

from attrs import field, frozen

from golem_sdk.core.function_type import FunctionType

__all__ = ["PYTHON", "TESTED_PYTHONS", "Interceptor", "Replaced", "Treatment"]

PYTHON = "python"
"""The library of what comes with Python itself."""

TESTED_PYTHONS = ("3.11", "3.13")


class Treatment(Enum):
    """What becomes of a call of agent code: a durable call of a function type, or something else."""

    READ_LOCAL = FunctionType.READ_LOCAL.label
    WRITE_LOCAL = FunctionType.WRITE_LOCAL.label
    READ_REMOTE = FunctionType.READ_REMOTE.label
    WRITE_REMOTE = FunctionType.WRITE_REMOTE.label
    WRITE_REMOTE_BATCHED = FunctionType.WRITE_REMOTE_BATCHED.label
    WRITE_REMOTE_TRANSACTION = FunctionType.WRITE_REMOTE_TRANSACTION.label
    TIMER = "durable timer"
    SEEDED = "drawn from one recorded seed"
    BY_LOOP = "done by the agent's loop"
    LOGGED = "recorded as Log"
    PASSED_ON = "passed on"
    """It is not recorded itself; what it calls may be."""
    REFUSED = "refused"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _several(given: Treatment | tuple[Treatment, ...]) -> tuple[Treatment, ...]:
    return (given,) if isinstance(given, Treatment) else given


@frozen
class Replaced:
    """Functions of one owner whose calls are treated alike.

    Attributes:
        owner: the module or class as in `Patch.label`, e.g. ``"httpx.Client"``.
        names: its attributes, given with spaces between. Python may lack some, in some versions.
        treatments: what becomes of a call; several, if that depends on the call.
    """

    owner: str
    names: tuple[str, ...] = field(converter=_words)
    treatments: tuple[Treatment, ...] = field(converter=_several)

    @property
    def functions(self) -> tuple[str, ...]:
        """Their dotted names."""
        return tuple(f"{self.owner}.{name}" for name in self.names)


@frozen(kw_only=True)
class Interceptor:
    """One row of the table.

    Attributes:
        name: of the interceptor, in every agent's first entry; unique.
        version: of what it records. It grows when older records would replay differently; the code then
            asks `golem_sdk.durability.interceptor_version`, and does what was done at that version. A new
            interceptor asks `golem_sdk.durability.current_since` in place of ``current``, so that agents
            which were made before it go on without it.
        library: the distribution that it is for, or `PYTHON`.
        tested: the first and the last release series that it was tested with, both included.
        adapters: by the module whose import activates it, where the function is that gives the patches:
            ``"golem_sdk.intercept.httpx:httpx_patches"``. It takes the module and gives a list of `Patch`;
            its own module is imported only then. Without adapters, `golem_sdk.intercept` does it itself.
        replaces: the functions.
        limits: what it does not do, in words for users. Markdown.
    """

    name: str
    version: int = 1
    library: str = PYTHON
    tested: tuple[str, str] = TESTED_PYTHONS
    adapters: Mapping[str, str] = field(factory=dict)
    replaces: tuple[Replaced, ...] = ()
    limits: str

    @property
    def functions(self) -> tuple[str, ...]:
        """The dotted names of all functions that it replaces."""
        return tuple(name for replaced in self.replaces for name in replaced.functions)

    def is_tested_with(self, version: str) -> bool:
        """Whether a version of the library is in the range that was tested; no number never is."""
        numbers = _numbers(version)
        first, last = map(_numbers, self.tested)
        return first <= numbers and numbers[: len(last)] <= last


def _numbers(version: str) -> tuple[int, ...]:
    """``"2.0.1rc1"`` -> ``(2, 0, 1)``; ``()`` if it does not begin with a number."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()

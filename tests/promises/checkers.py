"""The promises that are not about one run with crashes: what the suites ask, under its number.

The others are in `golem_sdk.testing.checkers`. Each gives the violations that it finds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from attrs import frozen

from codec.strategies import same
from golem_sdk.codec.values import decode, encode
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import (
    AgentFailedError,
    DecodingError,
    DivergenceError,
    EncodingError,
    NotDurableWarning,
    StoreCorruptError,
    StoreLockedError,
)
from golem_sdk.storage.owner import OwnerLock
from hostile import traps

if TYPE_CHECKING:
    import warnings
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from golem_sdk.testing.reports import Report

__all__ = [
    "Parked",
    "check_d1",
    "check_d2",
    "check_d2_running",
    "check_k1",
    "check_k1_refused",
    "check_k2",
    "check_s2_value",
    "check_x1_lock",
]


@frozen
class Parked:
    """What was seen of an agent whose code no longer fits its oplog.

    Attributes:
        error: what its caller was told.
        agent_id: whose code it is.
        lines: what each of the two calls looks like: file, line and source line; empty where it is no call.
        performed: what it did after the divergence.
        status: what its metadata says then.
        later: what the next caller is told, in the next life.
        appended: how many entries that life has added.
    """

    error: BaseException
    agent_id: str
    lines: tuple[str, str]
    performed: int
    status: AgentStatus
    later: BaseException | None
    appended: int


def check_d1(seen: Parked) -> list[str]:
    """D1: a divergence names agent, index and both calls with their lines; the agent is parked."""
    error = seen.error
    if not isinstance(error, DivergenceError):
        return [f"D1: the caller was told {error!r}"]
    found = []
    if error.agent_id != seen.agent_id or seen.agent_id not in str(error):
        found.append(f"D1: the agent is called {error.agent_id}")
    if not error.index or str(error.index) not in str(error):
        found.append(f"D1: the index is {error.index}")
    for what, line in zip((error.recorded, error.attempted), seen.lines, strict=True):
        if line not in what or what not in str(error):
            found.append(f"D1: {what!r} does not name {line!r}")
    if seen.performed:
        found.append(f"D1: it did {seen.performed} things more")
    if seen.status is not AgentStatus.FAILED:
        found.append(f"D1: it is {seen.status.value}, not parked")
    if not isinstance(seen.later, AgentFailedError) or seen.appended:
        found.append(f"D1: it was tried again: {seen.later!r}, {seen.appended} entries more")
    return found


def check_d2(report: Report, events: Iterable[str], file: str) -> list[str]:
    """D2, as far as crash fuzzing tells it: what no durable call covers is named, with file and line."""
    text = str(report)
    found = [f"D2: {event} is done in silence" for event in events if event not in text]
    if report.ok or f"{file}:" not in text:
        found.append(f"D2: nothing is said of a line of {file}")
    return found


def check_d2_running(
    said: Iterable[warnings.WarningMessage], events: Iterable[str], file: str
) -> list[str]:
    """D2, as a running agent tells it: each of these is warned about, with its line of the file, and once."""
    told = [each for each in said if issubclass(each.category, NotDurableWarning)]
    found = []
    for event in events:
        places = [(e.filename, e.lineno) for e in told if f": {event}(" in str(e.message)]
        if not places:
            found.append(f"D2: {event} is done in silence")
        if len(places) > len(set(places)):
            found.append(f"D2: {event} is told more than once for a line: {places}")
        found += [
            f"D2: {event} is told of {place}, not of {file}" for place, _ in places if place != file
        ]
    return found


def check_k1(read: Callable[[bytes], object], data: Iterable[bytes]) -> list[str]:
    """K1: reading imports nothing and runs no code of the classes that the data names."""
    found = []
    before = set(sys.modules)
    for each in data:
        traps.SPRUNG.clear()
        traps.Meta.armed = True
        try:
            value: object = read(each)
        except DecodingError:
            value = None
        except BaseException as error:  # a trap raises whatever it likes
            found.append(f"K1: reading {each!r:.100} raised {error!r:.200}")
            value = None
        finally:
            traps.Meta.armed = False
        if traps.SPRUNG:
            found.append(f"K1: reading {each!r:.100} ran {traps.SPRUNG}")
        del value
    found += [f"K1: {name} was imported" for name in sorted(set(sys.modules) - before)]
    traps.SPRUNG.clear()
    return found


def check_k1_refused(error: object, path: str, performed: int, later: int) -> list[str]:
    """K1: what cannot be stored fails, names the place in the value, and the code goes no further."""
    found = []
    if not isinstance(error, EncodingError) or path not in str(error):
        found.append(f"K1: the code was given {error!r}, which does not name {path}")
    if performed != 1 or later:
        found.append(f"K1: performed {performed} times, and {later} calls that build on it")
    return found


def check_k2(expected: Mapping[str, Any], seen: Mapping[str, Any], damaged: str) -> list[str]:
    """K2: the damaged agent is set aside, the others run on. ``seen``: what each gave, or raised."""
    found = []
    for agent, value in expected.items():
        given = seen.get(agent)
        if agent == damaged and not isinstance(given, StoreCorruptError):
            found.append(f"K2: {agent} is damaged, and gave {given!r}")
        if agent != damaged and given != value:
            found.append(f"K2: {agent} is whole, and gave {given!r}")
    return found


def check_s2_value(value: object) -> list[str]:
    """S2: a value comes back exactly, and in the same bytes."""
    try:
        data = encode(value)
        back = decode(data)
    except (DecodingError, EncodingError) as error:
        return [f"S2: {value!r:.200} raised {error}"]
    found = [] if same(back, value) else [f"S2: {value!r:.200} became {back!r:.200}"]
    if encode(back) != data:
        found.append(f"S2: {value!r:.200} has other bytes the second time")
    return found


def check_x1_lock(path: Path) -> list[str]:
    """X1: a second owner of a store gets one clear error."""
    with OwnerLock(path):
        try:
            OwnerLock(path).release()
        except StoreLockedError as error:
            told = str(path) in str(error) and "close it first" in str(error)
            return [] if told else [f"X1: a second owner is told {error}"]
    return ["X1: a store has two owners"]

"""A cassette: what the durable calls of a test gave, as a text file that can be read, reviewed and played.

Recorded from the oplogs of a run. When it is played, agents run live, but their calls are answered from the
cassette and nothing is performed. Each agent's calls are matched by name and by what its oplog would compare
on replay; calls between agents and waits take place.
"""

from __future__ import annotations

import json
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from attrs import evolve, frozen

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.difference import first_difference
from golem_sdk.core.entries import ImportedFunctionInvoked, ObservedFunctionCall
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import GolemError
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.outcomes import failure
from golem_sdk.runtime.sites import describe_site
from golem_sdk.storage.payloads import load_payload
from golem_sdk.testing.plaintext import from_plain, to_plain
from golem_sdk.testing.redacting import Secrets, redacted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session
    from golem_sdk.storage.base import Engine
    from golem_sdk.testing.virtual import VirtualRuntime

__all__ = ["Cassette", "Player", "Recorded", "UnrecordedEffectError", "record"]

_FORMAT = 1
_NOT_EFFECTS = ("golem:rpc/", "golem:clock/")
_LOCAL = (FunctionType.READ_LOCAL, FunctionType.WRITE_LOCAL)


class UnrecordedEffectError(GolemError):
    """An agent made a durable call that the cassette does not have. Nothing was performed.

    Attributes:
        agent_id: the agent.
        function_name: what it called.
    """

    def __init__(self, message: str, agent_id: str = "", function_name: str = "") -> None:
        super().__init__(message, agent_id, function_name)
        self.agent_id = agent_id
        self.function_name = function_name

    def __str__(self) -> str:
        return str(self.args[0])


@frozen
class Recorded:
    """One durable call on a cassette.

    Attributes:
        agent: the agent's id, without secrets.
        name: what was called.
        kind: the label of its function type.
        fingerprint: of what must be equal when it is played; 0: only the request tells.
        request: as it was stored, without secrets.
        outcome: the result, or the exception if ``failed``, without secrets.
    """

    agent: str
    name: str
    kind: str
    fingerprint: int
    request: Any
    outcome: Any
    failed: bool

    def to_line(self) -> str:
        """As a line of the file."""
        row = {
            "agent": self.agent,
            "call": self.name,
            "type": self.kind,
            "request": to_plain(self.request),
            "raised" if self.failed else "result": to_plain(self.outcome),
            "fingerprint": f"{self.fingerprint:08x}",
        }
        return json.dumps(row, ensure_ascii=False)

    @staticmethod
    def from_line(line: str) -> Recorded:
        """From such a line.

        Raises:
            ValueError, KeyError: it is something else.
        """
        row = json.loads(line)
        failed = "raised" in row
        return Recorded(
            row["agent"],
            row["call"],
            row["type"],
            int(row["fingerprint"], 16),
            from_plain(row["request"]),
            from_plain(row["raised" if failed else "result"]),
            failed,
        )


@frozen
class Cassette:
    """The calls of one test, each agent's in the order in which they were answered."""

    calls: tuple[Recorded, ...]

    def to_text(self) -> str:
        """The file's text: a header, and one JSON object per call and line."""
        lines = [json.dumps({"golem cassette": _FORMAT}), *(call.to_line() for call in self.calls)]
        return "\n".join(lines) + "\n"

    @staticmethod
    def from_text(text: str) -> Cassette:
        """From such a text.

        Raises:
            ValueError: it is no cassette, or one of another version; the message names the line.
        """
        number = 1
        try:
            header, *lines = text.splitlines()
            if json.loads(header) != {"golem cassette": _FORMAT}:
                raise ValueError("it does not begin as a cassette of this version")
            calls = []
            for number, line in enumerate(lines, start=2):  # noqa: B007  # named in the error below
                calls.append(Recorded.from_line(line))
        except (ValueError, KeyError, TypeError, AttributeError, GolemError) as error:
            raise ValueError(f"line {number}: {error}") from error
        return Cassette(tuple(calls))

    @staticmethod
    def load(path: Path) -> Cassette:
        """The cassette in a file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no cassette.
        """
        return Cassette.from_text(path.read_text(encoding="utf-8"))


def record(runtime: VirtualRuntime) -> Cassette:
    """A cassette with all durable calls in the oplogs of a runtime; secrets are redacted."""
    engine = runtime._lives.life.engine
    calls: list[Recorded] = []
    for metadata in runtime.agents():
        for _, entry in runtime.oplog(metadata):
            if isinstance(
                entry, ImportedFunctionInvoked | ObservedFunctionCall
            ) and not entry.function_name.startswith(_NOT_EFFECTS):
                calls.append(_recorded(engine, redacted(metadata.agent_id), entry))
    secrets = Secrets()
    for call in calls:
        secrets.find(call.request)
        secrets.find(call.outcome)
    return Cassette(
        tuple(
            evolve(
                call,
                request=secrets.without(call.request),
                outcome=secrets.without(call.outcome),
            )
            for call in calls
        )
    )


def _recorded(
    engine: Engine, agent: str, entry: ImportedFunctionInvoked | ObservedFunctionCall
) -> Recorded:
    return Recorded(
        agent,
        entry.function_name,
        FunctionType(entry.function_type).label,
        getattr(entry, "fingerprint", 0),
        decode(load_payload(engine, entry.request)),
        decode(load_payload(engine, entry.outcome)),
        entry.failed,
    )


class Player:
    """Answers the durable calls of agents from a cassette. A `Performer`; thread-safe.

    Attributes:
        missing: the errors of calls that were not on it.
    """

    def __init__(self, cassette: Cassette) -> None:
        self.missing: list[UnrecordedEffectError] = []
        self._left = list(cassette.calls)
        self._given: dict[tuple[str, int], list[Recorded]] = {}
        self._noted: WeakKeyDictionary[Session, Counter[int]] = WeakKeyDictionary()
        self._mutex = Lock()

    @property
    def unused(self) -> list[Recorded]:
        """What no agent asked for; looks at clocks and the like do not count."""
        labels = {kind.label for kind in _LOCAL}
        with self._mutex:
            return [each for each in self._left if each.kind not in labels]

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        """See `Performer.perform`."""
        recorded = self._recorded(session, call)
        return action() if recorded is None else _revealed(recorded)

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        """See `Performer.perform_async`."""

        async def performing() -> Any:
            recorded = self._recorded(session, call)
            return await action() if recorded is None else _revealed(recorded)

        return performing

    def _recorded(self, session: Session, call: StartedCall) -> Recorded | None:
        """What is played; ``None``: it takes place.

        A call whose outcome was given but never noted in the oplog, because of a retry or a crash, gets it
        again. One that was noted and is made again is part of an atomic region that runs again.
        """
        if call.function_name.startswith(_NOT_EFFECTS):
            return None
        with self._mutex:
            given = self._given.setdefault((session.agent_id, call.number), [])
            noted = self._noted_before(session)[call.number]
            if len(given) > noted:
                return given[noted]
            found = next(
                (r for r in self._left if _fits(r, redacted(session.agent_id), call)), None
            )
            if found is not None:
                self._left.remove(found)
                given.append(found)
                return found
            if call.function_type in _LOCAL:
                return None
            error = self._unrecorded(session, call)
            self.missing.append(error)
        raise error

    def _noted_before(self, session: Session) -> Counter[int]:
        """How often the oplog tells of each call, when the agent was loaded."""
        if session not in self._noted:
            entries = read_entries(session.kernel.engine, storage_key(session.agent_id))
            self._noted[session] = Counter(
                entry.call for _, entry in entries if isinstance(entry, ImportedFunctionInvoked)
            )
        return self._noted[session]

    def _unrecorded(self, session: Session, call: StartedCall) -> UnrecordedEffectError:
        request = redacted(decode(call.request))
        agent = redacted(session.agent_id)
        left = [each for each in self._left if each.agent == agent]
        near = next((each for each in left if each.name == call.function_name), None)
        lines = [
            f"{agent} made a durable call that is not on the cassette; nothing was performed",
            f"  attempted: {call.function_name} ({call.function_type.label}) {request!r} at "
            + describe_site(session.sites.site(call.site)),
        ]
        if near is not None:
            lines.append(f"  recorded : {near.name} ({near.kind}) {near.request!r}")
            difference = first_difference(near.request, request)
            lines += [f"  first difference: {difference}"] if difference else []
        else:
            names = ", ".join(dict.fromkeys(each.name for each in left)) or "nothing"
            lines.append(f"  recorded : no such call; what is left of this agent's: {names}")
        lines.append("  what to do: if the change is meant, record it again with --golem-record")
        return UnrecordedEffectError("\n".join(lines), session.agent_id, call.function_name)


def _fits(recorded: Recorded, agent: str, call: StartedCall) -> bool:
    if (recorded.agent, recorded.name) != (agent, call.function_name):
        return False
    if recorded.fingerprint == call.fingerprint != 0:
        return True
    return encode(recorded.request) == encode(redacted(decode(call.request)))


def _revealed(recorded: Recorded) -> Any:
    if not recorded.failed:
        return recorded.outcome
    if isinstance(recorded.outcome, BaseException):
        # A copy: agent code adds notes and tracebacks to what it is given.
        raise decode(failure(recorded.outcome)[0])
    raise ValueError(f"what {recorded.name} raised is not an exception on the cassette")

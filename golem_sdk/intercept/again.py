"""A response whose connection a crash took: whether its request is sent again, to go on with the rest.

The run that goes on after a crash has what was recorded of a response, and no connection that would bring
the rest; nor has one whose agent was unloaded while it waited, or runs an atomic region again. A read (GET,
HEAD, OPTIONS) is sent again, as the agent's code has made it in this run. If the answer is the same so far
(its status, the fields that say what the body is, and all bytes that were received), the rest is taken from
it. A write was accepted when its answer began, so it is sent again only if nothing of the answer's body was
received, under the same idempotency key; never if its status is an error's, for its maker may then try
again under another key, nor if it was made under ``idempotence_mode(False)``. If it cannot be sent, the
retry policy decides, as it does about the first sending. What cannot be got is the library's read error.

Does not do: ask for a part of the body (``Range``). Look at other fields of the new head, which nobody gets.
Take bytes for the same that are packed otherwise, or in `golem_sdk.intercept.wire` cut into other chunks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable  # attrs classes are resolved at run time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from attrs import frozen

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import GolemError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from golem_sdk.intercept.http import Exchange
    from golem_sdk.steps import Steps

__all__ = ["Again", "Opened", "Source", "difference", "refusal"]

_LOST = (
    "response stream lost in a crash: the first {received} bytes were recorded, but the connection that "
    "would have delivered the rest is gone, and {reason}. Send the request again if the rest is needed"
)

_SAME = ("content-encoding", "content-length", "content-type", "transfer-encoding")
_SAME_IF_BOTH_HAVE_IT = ("etag", "last-modified")

_FIRST_MARK = 64
"""So many bytes, and each time twice as many, are compared without waiting for more."""

Fields: TypeAlias = "Iterable[tuple[str | bytes, str | bytes]]"
"""A head's names and values."""


class Source(Protocol):
    """A real body, which is read by what performs durable calls."""

    @property
    def broke_off(self) -> bool:
        """Whether it has ended before it was all there, and no error tells so."""
        ...

    def take(self, least_bytes: int, /) -> Any:
        """So many bytes at least, less only at its end; asynchronously something to be awaited."""
        ...

    def close(self) -> Any:
        """Let the connection go."""
        ...


@frozen
class Opened:
    """One in synchronous code."""

    broke_off = False
    take: Callable[[int], bytes]
    close: Callable[[], None]


def refusal(function_type: FunctionType, *, idempotent: bool, status: int, received: int) -> str:
    """Why a request is not sent again; ``""``: it is.

    Args:
        function_type: of the request.
        idempotent: the idempotence mode in which it was made.
        status: of its answer. What was refused may be made anew by now, under another key.
        received: how many bytes of its answer's body were.
    """
    if function_type is FunctionType.READ_REMOTE:
        return ""
    if not idempotent:
        return "the request, made under idempotence_mode(False), is not sent again"
    if status >= 400:
        return f"the request, a write that was answered with status {status}, is not sent again"
    if received:
        return "the request, a write whose answer had begun to come, is not sent again"
    return ""


def difference(recorded: tuple[int, Fields], new: tuple[int, Fields]) -> str:
    """Why an answer cannot go on with the body of another one, by status and fields; ``""``: it may."""
    (status, fields), (new_status, new_fields) = recorded, new
    if status != new_status:
        return f"its status is {new_status}, and was {status}"
    had, has = _named(fields), _named(new_fields)
    both = [name for name in _SAME_IF_BOTH_HAVE_IT if name in had and name in has]
    for name in (*_SAME, *both):
        if had.get(name) != has.get(name):
            return f"its {name} is {has.get(name)!r}, and was {had.get(name)!r}"
    return ""


def _named(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        key = _text(name).lower()
        found[key] = f"{found[key]}, {_text(value)}" if key in found else _text(value)
    return found


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class _OtherAnswerError(Exception):
    """The new answer is not the one that was cut."""


class Again:
    """What a run that has not sent a request knows of its answer. To be made where the request is.

    Args:
        exchange: of the request.
        head: of the answer, as recorded: status and fields.
        send: sends the request again: gives the new status and fields, and the body; asynchronously
            something to be awaited.
        lost: makes the client library's read error.
    """

    def __init__(
        self,
        exchange: Exchange,
        head: tuple[int, Fields],
        send: Callable[[], Any],
        lost: Callable[[str], Exception],
    ) -> None:
        self._function_type = exchange.function_type
        self._idempotent = durability.SCOPE.get().idempotent
        self._head = head
        self._send = send
        self._lost = lost
        self._received = 0
        self._hash = hashlib.sha256()
        self._marks: list[tuple[int, bytes]] = []
        self._next_mark = _FIRST_MARK

    def note(self, chunk: bytes) -> None:
        """These bytes of the body were recorded next."""
        rest = memoryview(chunk)
        while self._received + len(rest) >= self._next_mark:
            size = self._next_mark - self._received
            self._add(rest[:size])
            rest = rest[size:]
            self._marks.append((self._received, self._hash.digest()))
            self._next_mark *= 2
        self._add(rest)

    def _add(self, part: memoryview) -> None:
        self._received += len(part)
        self._hash.update(part)

    def prepared(self, session: durability.Session) -> bool:
        """Whether the request is sent again, if what comes next was not recorded.

        If it is a write, all that was recorded so far is on disk then, as before any other (P4).
        """
        if self._function_type is FunctionType.READ_REMOTE:
            return True
        if self._refusal():
            return False
        session.commit()
        return True

    def error(self, reason: str) -> Exception:
        """The client library's read error."""
        return self._lost(_LOST.format(received=self._received, reason=reason))

    def steps(self, least_bytes: int) -> Steps[tuple[Source, bytes]]:
        """Send the request again: the real body, and so many of the next bytes at least.

        Raises:
            Exception: the client library's read error: the request is not sent again, or could not be.
            FinalError: the same: its answer is another one, and no retry policy is to ask for a third.
            GolemError: of the runtime's own.
        """
        if reason := self._refusal():
            raise self.error(reason)
        source: Source | None = None
        try:
            status, fields, source = yield self._send()
            if other := difference(self._head, (status, fields)):
                raise _OtherAnswerError(other)
            chunk = yield from self._behind_recorded(source)
            if len(chunk) < least_bytes:
                chunk += yield source.take(least_bytes - len(chunk))
        except BaseException as error:
            if source is not None:
                source.close()
            if isinstance(error, _OtherAnswerError):
                reason = f"the request was sent again, but its answer is another one: {error}"
                raise durability.FinalError(self.error(reason)) from None
            if isinstance(error, GolemError) or not isinstance(error, Exception):
                raise
            reason = f"to send the request again failed with {type(error).__name__}: {error}"
            raise self.error(reason) from error
        return source, chunk

    def _refusal(self) -> str:
        kind, (status, _) = self._function_type, self._head
        return refusal(kind, idempotent=self._idempotent, status=status, received=self._received)

    def _behind_recorded(self, source: Source) -> Steps[bytes]:
        """What comes with the last of the bytes that were recorded, and must come again."""
        seen, size, chunk = hashlib.sha256(), 0, b""
        # Not all at once: what comes as it happens may be as much as that in a year.
        for end, digest in (*self._marks, (self._received, self._hash.digest())):
            while size < end:
                chunk = chunk or (yield source.take(1))
                if not chunk and source.broke_off:
                    raise ConnectionError(f"its body broke off after {size} bytes")
                if not chunk:
                    raise _OtherAnswerError(f"its body ends after {size} bytes")
                part, chunk = chunk[: end - size], chunk[end - size :]
                seen.update(part)
                size += len(part)
            if seen.digest() != digest:
                raise _OtherAnswerError(f"its first {end} bytes are others")
        return chunk

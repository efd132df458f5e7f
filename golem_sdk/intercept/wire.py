"""Responses of `http.client`, which all synchronous clients but httpx build on: taken apart and put together.

What is recorded of a body is the bytes that came after the head, with the framing of chunks, as they came.
The response that agent code gets is a real one that parses them, live as in replay, so that whatever reads
it, in whatever steps, finds the same data and the same defects as over a connection.

Does not cover: trailers (`http.client` drops them), interim responses.
"""

from __future__ import annotations

import contextlib
import weakref
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.again import Again
from golem_sdk.intercept.http import (
    STREAMS,
    WHOLE_BODY_BYTES,
    Exchange,
    SyncBody,
    checked_size,
    describe,
    is_small,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "Wire", "again", "answer_of", "described", "is_cut", "lost", "parsed"]

_STEP_BYTES = 64 * 1024

Answer = list[Any]
"""What is recorded of one: version, status, reason, headers, the body that came with it, is it all."""


class Wire:
    """A real response, as the bytes of its body.

    Args:
        session: of the agent that reads.
        response: whose head is read. Nobody else reads it any more.
        finish: is called once, when no more is wanted: with whether the connection can be used again.
    """

    def __init__(
        self,
        session: durability.Session,
        response: HTTPResponse,
        finish: Callable[[bool], None],
    ) -> None:
        self._session = session
        self._response = response
        self._announced, self._taken = response.length or 0, 0
        self._tee = _Tee(response.fp)
        response.fp = self._tee  # type: ignore[assignment]  # it has what the response calls
        # An agent that is unloaded drops its responses without closing them.
        self._dropped = weakref.finalize(self, _drop, response, finish)
        self._dropped.atexit = False
        self._finish = finish
        self._error: OSError | None = None
        self._broken = False

    @property
    def head(self) -> Answer:
        """Version, status, reason and headers."""
        response = self._response
        headers = [[name, str(value)] for name, value in response.headers.items()]
        return [response.version, response.status, response.reason, headers]

    @property
    def is_complete(self) -> bool:
        """Whether the whole message was taken."""
        response = self._response
        left = response.length
        return left == 0 or (response.isclosed() and not left and not self._broken)

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to take, not even an error."""
        return self._error is None and (
            self._broken or self._response.isclosed() or self.is_complete
        )

    @property
    def broke_off(self) -> bool:
        """Whether it has ended before it was all there: whoever parses the bytes finds out."""
        return self.has_ended and not self.is_complete

    def take(self, least_bytes: int) -> bytes:
        """So many bytes at least, unless the body ends or breaks before; ``b""``: it has ended.

        Raises:
            OSError: of the connection; after what was received before it.
            ResponseTooLargeError: it is longer than the runtime records; again whenever more is wanted.
        """
        if self._error is not None:
            error, self._error, self._broken = self._error, None, True
            raise error
        self._check_size()
        try:
            while self._tee.size < least_bytes and not self.has_ended:
                self._step()
                self._check_size()
        except OSError as error:
            if not self._tee.size:
                self._broken = True
                raise
            self._error = error
        except (HTTPException, ValueError):  # who parses the bytes will find out, too
            self._broken = True
        taken = self._tee.drained()
        self._taken += len(taken)
        return taken

    def _check_size(self) -> None:
        if received := self._taken + self._tee.size:
            checked_size(self._session, max(received, self._announced))

    def take_first(self) -> tuple[bytes, OSError | None]:
        """As much as is recorded at once, and the error that the next bytes will be, if it is known."""
        try:
            return self.take(WHOLE_BODY_BYTES), self._error
        except OSError as error:
            self._error, self._broken = error, False
            return b"", error

    def _step(self) -> None:
        response: Any = self._response
        response.read1(_STEP_BYTES)
        if response.chunked and response.chunk_left == 0:
            response._safe_read(2)  # readers of chunks want the line's end at once
            response.chunk_left = None

    def close(self) -> None:
        """Let the connection go. Idempotent."""
        if self._dropped.detach():
            reusable = self.is_complete and not self._response.will_close
            self._response.close()
            self._finish(reusable)


def _drop(response: HTTPResponse, finish: Callable[[bool], None]) -> None:
    session = durability.current()
    with contextlib.nullcontext() if session is None else durability.suppressed(session):
        response.close()
        finish(False)


class _Tee:
    """A file that keeps what is read from it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._parts: list[bytes] = []
        self.size = 0

    def _kept(self, data: bytes) -> bytes:
        self._parts.append(data)
        self.size += len(data)
        return data

    def read(self, size: int = -1) -> bytes:
        return self._kept(self._file.read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._kept(self._file.read1(size))

    def readline(self, limit: int = -1) -> bytes:
        return self._kept(self._file.readline(limit))

    def drained(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return data

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def answer_of(wire: Wire, *, whole: bool | None = None) -> Answer:
    """What is recorded of a response when its head has come.

    Args:
        wire: the response.
        whole: whether the caller reads all of the body in one go. By default, what `STREAMS` says.

    Raises:
        RetryableResult: the same, of a response with an error status, or one that broke off.
    """
    error: Exception | None
    head = wire.head
    _, status, _, headers = head
    lines = [(name.encode("latin-1", "replace"), value.encode()) for name, value in headers]
    whole = not STREAMS.get() if whole is None else whole
    body, error = b"", None
    if whole or wire.has_ended or is_small(lines):
        body, error = wire.take_first()
    answer = [*head, body, wire.has_ended]
    if status >= 400:
        later = next((value for name, value in headers if name.lower() == "retry-after"), None)
        error = durability.HttpStatusError(status, later)
    if error is not None:
        raise durability.RetryableResult(answer, error)
    return answer


def is_cut(answer: Answer, wire: Wire | None) -> bool:
    """Whether there is more than what was recorded at once, and no real response to bring it."""
    *_, complete = answer
    return wire is None and not complete


def again(exchange: Exchange, answer: Answer, send: Callable[[], Wire]) -> Again:
    """How a run goes on with an answer that is cut.

    Args:
        exchange: of the request.
        answer: what was recorded.
        send: sends the request again.
    """
    _, status, _, headers, *_ = answer

    def sent() -> tuple[int, Any, Wire]:
        wire = send()
        _, status, _, headers = wire.head
        return status, headers, wire

    return Again(exchange, (status, headers), sent, lost)


def parsed(
    answer: Answer,
    wire: Wire | None,
    again: Again | None,
    name: str,
    method: str | None,
    kind: Callable[..., Any],
) -> Any:
    """A response as agent code gets it.

    Args:
        answer: what was recorded.
        wire: the real response, ``None`` in a run that did not send the request.
        again: how such a run goes on, if the answer `is_cut`.
        name: of the durable calls that read on.
        method: of the request.
        kind: the class of the response.
    """
    version, status, reason, headers, first, complete = answer
    lines = [f"HTTP/{version // 10}.{version % 10} {status} {reason}"]
    lines += [f"{header}: {value}" for header, value in headers]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "surrogateescape")
    body = SyncBody(name, first, wire, again, complete=complete)
    response = kind(_Socket(_File(head, body)), method=method)
    response.begin()
    return response


def described(head: bytes, body: bytes, where: str) -> tuple[Exchange, bool]:
    """The exchange of a request as it is written to a connection, and whether it has an idempotency key.

    Args:
        head: without the empty line after it.
        body: with the framing of chunks.
        where: the URL; or its beginning, to which the request's target belongs.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, *_ = [*first.split(" "), ""]
    pairs = [line.partition(":") for line in lines]
    headers = [(name, value.strip()) for name, _, value in pairs]
    if where.count("/") == 2:
        where = target if "://" in target else where + target
    has_key = any(name.lower() == "idempotency-key" for name, _ in headers)
    return describe(method, where, headers, body), has_key


def lost(message: str) -> Exception:
    """How a connection that is gone shows itself."""
    return ConnectionResetError(message)


class _Socket:
    """Gives a response the file to read from."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def makefile(self, mode: str) -> _File:
        return self._file


class _File:
    """The recorded bytes as `http.client` and those above it read them: head, then body."""

    def __init__(self, head: bytes, body: SyncBody) -> None:
        self._buffer = bytearray(head)
        self._body = body
        self.closed = False

    def _pull(self, least_bytes: int) -> bool:
        more = self._body.more(min(least_bytes, WHOLE_BODY_BYTES))
        self._buffer += more
        return bool(more)

    def _cut(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read(self, size: int | None = -1) -> bytes:
        buffer = self._buffer
        if size is None or size < 0:
            while self._pull(WHOLE_BODY_BYTES):
                pass
            size = len(buffer)
        while len(buffer) < size and self._pull(size - len(buffer)):
            pass
        return self._cut(size)

    def read1(self, size: int = -1) -> bytes:
        if not self._buffer and size:
            self._pull(1)
        return self._cut(len(self._buffer) if size < 0 else size)

    def peek(self, size: int = 0) -> bytes:
        if not self._buffer:
            self._pull(1)
        return bytes(self._buffer)

    def readinto(self, target: Any) -> int:
        with memoryview(target).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1) -> bytes:
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched) + 1
            if not end and not 0 <= limit <= len(self._buffer):
                searched = len(self._buffer)
                if self._pull(1):
                    continue
            size = end or len(self._buffer)
            return self._cut(min(size, limit) if limit >= 0 else size)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._body.close()

"""What HTTP interceptors share: what is stored of an exchange, and how a response's body is read.

One exchange is one durable call. Its outcome is the head of the response, with the body where that is
small or the caller wants it as a whole; otherwise the body is read on in further calls, chunk by chunk
as it arrives, and replayed in the same chunks. The real response exists only in the run that sent the
request: after a crash in the middle of a body, `golem_sdk.intercept.again` says how the next chunk is got.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.redaction import stored_headers, stored_url, without_url_secrets
from golem_sdk.errors import NotDurableError, ResponseTooLargeError
from golem_sdk.steps import run, run_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from golem_sdk.intercept.again import Again, Source
    from golem_sdk.steps import Steps

__all__ = [
    "STREAMS",
    "WHOLE_BODY_BYTES",
    "AsyncBody",
    "Exchange",
    "Pump",
    "SyncBody",
    "announced_bytes",
    "checked_size",
    "describe",
    "is_all",
    "is_small",
    "limited",
    "take",
]

STREAMS: ContextVar[bool] = ContextVar("golem_http_streams", default=True)
"""Whether the caller reads the body step by step; ``False`` while a call that reads it all is made."""

WHOLE_BODY_BYTES = 8 * 1024 * 1024
"""Bodies that are wanted as a whole are recorded in pieces of this size."""

_SMALL_BODY_BYTES = 64 * 1024
_QUEUED_CHUNKS = 4
_Queue: TypeAlias = "asyncio.Queue[bytes | Exception | None]"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = (
    "a function decorated with @durable has read from this response of the agent, and how much is not "
    "recorded, so the agent cannot read on. Have all of it read in one place"
)


@frozen
class Exchange:
    """A request as the oplog knows it.

    Attributes:
        function_type: read-remote for GET, HEAD and OPTIONS, write-remote for everything else.
        request: what is stored, free of secrets; of the body only its size and hash.
        identity: what must be equal on replay: method, URL without secrets, body. Headers are not
            compared: they carry tokens, retry counters and idempotency keys.
    """

    function_type: FunctionType
    request: dict[str, Any]
    identity: list[Any]


def describe(method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Exchange:
    """What the oplog is to know of a request.

    Raises:
        NotDurableError: the connection is to be taken over by another protocol.
    """
    headers = list(headers)
    if method == "CONNECT" or any(name.lower() == "upgrade" for name, _ in headers):
        raise NotDurableError(
            f"An agent tried to open {stored_url(url)} as a WebSocket or tunnel. Nothing was sent: "
            "what passes over such a connection cannot be journaled. Use it inside a function "
            "decorated with @durable."
        )
    digest = hashlib.sha256(body).digest()
    request: dict[str, Any] = {"method": method, "url": stored_url(url)}
    if stored := stored_headers(headers):
        request["headers"] = stored
    if body:
        request["body"] = [len(body), digest.hex()[:16]]
    kind = FunctionType.READ_REMOTE if method in _READS else FunctionType.WRITE_REMOTE
    return Exchange(kind, request, [method, without_url_secrets(url), digest])


def announced_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """How long the body is according to its head; ``None``: it does not say."""
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None


def is_small(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the body is announced to be so short that it is recorded at once in any case."""
    announced = announced_bytes(headers)
    return announced is not None and announced <= _SMALL_BODY_BYTES


def is_all(first: bytes | None) -> bool:
    """Whether what was recorded with the head is the whole body: pieces of one are full, but for the last."""
    return first is not None and len(first) < WHOLE_BODY_BYTES


def checked_size(session: durability.Session, size: int) -> None:
    """See that a body of this size, which is known or announced, may be recorded.

    Raises:
        ResponseTooLargeError: it is longer than the runtime's ``max_received_bytes``.
    """
    limit = session.kernel.settings.max_received_bytes
    if size > limit:
        raise ResponseTooLargeError(limit)


def limited(
    session: durability.Session, chunks: Iterable[bytes], announced: int | None
) -> Iterator[bytes]:
    """The chunks of a body, up to the limit.

    Raises:
        ResponseTooLargeError: at the first, if more is announced (without a body, that means nothing), or
            when it is passed.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        checked_size(session, max(size, announced or 0))
        yield chunk


def take(chunks: Iterator[bytes], least_bytes: int) -> bytes:
    """Chunks joined until they have that many bytes or there are no more; ``b""``: there were none."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= least_bytes:
            break
    return b"".join(parts)


class _Body:
    """A response's body: what came with its head, then what is read on.

    Args:
        name: of the durable calls that read on.
        first: what came with the head; ``None`` or nothing: everything is to be read.
        real: the real body; ``None`` if ``first`` is all, or in a run that did not send the request.
        again: what such a run has instead.
        complete: whether that is all. By default, `is_all` says it.
    """

    def __init__(
        self,
        name: str,
        first: bytes | None,
        real: Source | None,
        again: Again | None,
        *,
        complete: bool | None = None,
    ) -> None:
        self._name = name
        self._first = first or b""
        self._complete = is_all(first) if complete is None else complete
        self._least_bytes = 1 if not first else WHOLE_BODY_BYTES
        self._real = real
        self._again = again
        self._is_foreign = False
        if again is not None:
            again.note(self._first)

    def _check(self, session: durability.Session | None) -> None:
        """See whether a reader may read on, of whom some are none of the agent's code.

        Raises:
            NotDurableError: one was, so nobody knows after a crash from where on to read.
            Exception: the client library's read error, for one that is and has no real body.
        """
        if session is not None:
            raise NotDurableError(_FOREIGN)
        if self._again is not None:
            raise self._again.error("it is not sent again for a function decorated with @durable")
        self._is_foreign = True

    def _called(
        self,
        session: durability.Session | None,
        call: Callable[..., Any],
        perform: Callable[[], Any],
    ) -> Any:
        """What reading on gives; by ``call``, a durable one, if it is the agent that does."""
        if session is None:
            return perform()
        again = self._again
        repeatable = again is not None and again.prepared(session)
        return call(
            session, self._name, FunctionType.READ_REMOTE, None, perform, repeatable=repeatable
        )

    def _got(self, chunk: bytes) -> None:
        """Agent code gets this next."""
        self._complete = not chunk
        if self._again is not None:
            self._again.note(chunk)

    def _resumed(self, least_bytes: int) -> Steps[bytes]:
        """The first bytes that a run gets which did not send the request."""
        assert self._again is not None, "there is a real body, or a way to get one"
        real, chunk = yield from self._again.steps(least_bytes)
        self._real, self._again = real, None
        return chunk


class SyncBody(_Body):
    """The body in synchronous code."""

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.more():
            yield chunk

    def more(self, least_bytes: int = 1) -> bytes:
        """The next bytes, at least so many unless the body ends; ``b""``: there are no more."""
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._complete:
            return b""
        least_bytes = max(least_bytes, self._least_bytes)
        session = durability.current()

        def perform() -> bytes:
            if session is None or self._is_foreign:
                self._check(session)
            if self._real is None:
                return run(self._resumed(least_bytes))
            chunk: bytes = self._real.take(least_bytes)
            return chunk

        got: bytes = self._called(session, durability.durable_call, perform)
        self._got(got)
        return got

    def close(self) -> None:
        """Close the real response, if there is one."""
        if self._real is None:
            return
        session = durability.current()
        with contextlib.nullcontext() if session is None else durability.suppressed(session):
            self._real.close()


class Pump:
    """Reads a real body ahead, a few chunks at most, in one task of the host loop.

    Cancel scopes and generators stay in that task, whoever asks for chunks. To be made, and asked,
    on the host loop; stopped from anywhere, or by being dropped: nobody may take a response that comes when
    its call was cancelled, and an agent that is unloaded drops its responses without closing them.

    Args:
        session: of the agent that reads.
        stream: the real body: an asynchronous iterator of chunks with ``aclose()``.
        announced: its length, if the head says it.
    """

    broke_off = False

    def __init__(self, session: durability.Session, stream: Any, announced: int | None) -> None:
        self._queue: _Queue = asyncio.Queue(_QUEUED_CHUNKS)
        loop = asyncio.get_running_loop()
        task = loop.create_task(_fill(self._queue, session, stream, announced))
        self._stop = weakref.finalize(self, _stop_soon, loop, task, self._queue)
        self._stop.atexit = False
        self._ended = False
        self._error: Exception | None = None

    async def take(self, least_bytes: int) -> bytes:
        """As `take`; an error that ended it is raised each time."""
        parts: list[bytes] = []
        size = 0
        while size < least_bytes and not self._ended:
            item = await self._queue.get()
            if isinstance(item, bytes):
                parts.append(item)
                size += len(item)
            else:
                self._ended, self._error = True, item
        if self._error is not None:
            raise self._error
        return b"".join(parts)

    def close(self) -> None:
        """Have the real response closed, now or soon; nobody waits for it."""
        self._stop()


async def _fill(
    queue: _Queue, session: durability.Session, stream: Any, announced: int | None
) -> None:
    """Put the chunks into the queue, and how they end."""
    end: Exception | None = None
    size = 0
    try:
        try:
            async for chunk in stream:
                size += len(chunk)
                checked_size(session, max(size, announced or 0))
                await queue.put(chunk)
        finally:
            await stream.aclose()
    except Exception as error:  # whatever it is, the reader gets it
        end = error
    await queue.put(end)


def _stop_soon(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], queue: _Queue) -> None:
    def stop() -> None:
        task.cancel()
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(OSError("the response was closed while it was being read"))

    with contextlib.suppress(RuntimeError):  # the loop is closed, and the connection with it
        loop.call_soon_threadsafe(stop)


class AsyncBody(_Body):
    """The body in asynchronous code."""

    _taken = b""
    """What was taken from the real body, and agent code has not got yet."""

    @property
    def is_all_here(self) -> bool:
        """Whether all of it came with the head."""
        return self._complete

    def first(self) -> bytes:
        """What came with the head, once."""
        first, self._first = self._first, b""
        return first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.more():
            yield chunk

    async def more(self, least_bytes: int = 1) -> bytes:
        """As `SyncBody.more`."""
        if self._first:
            return self.first()
        if self._complete:
            return b""
        least_bytes = max(least_bytes, self._least_bytes)
        session = durability.current()

        async def perform() -> bytes:
            if session is None or self._is_foreign:
                self._check(session)
            # A reader may be cancelled when its chunk was taken already: it is the next one's then.
            if not self._taken and self._real is None:
                self._taken = await run_async(self._resumed(least_bytes))
            elif not self._taken and self._real is not None:
                self._taken = await self._real.take(least_bytes)
            return self._taken

        got: bytes = await self._called(session, durability.durable_call_async, perform)
        self._taken = b""
        self._got(got)
        return got

    def close(self) -> None:
        """Have the real response closed, if there is one."""
        if self._real is not None:
            self._real.close()

    async def aclose(self) -> None:
        """The same."""
        self.close()

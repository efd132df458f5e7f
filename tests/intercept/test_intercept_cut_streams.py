"""Responses that a crash has cut: the rest by a second request where that is right, else an error."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import pytest
from anthropic import Anthropic
from openai import OpenAI

from golem_sdk import RetryPolicy, durable, idempotence_mode, retry_policy
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.again import Again
from golem_sdk.intercept.http import WHOLE_BODY_BYTES, Pump
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from intercept.reading import ASYNC, LIBRARIES, SYNC
from intercept.replaying import Runs, recovered, run, run_async, same
from intercept.suite.case import Case
from intercept.suite.cases_llm import TLS
from intercept.suite.outsides import Web
from intercept.suite.stage import crash
from intercept.web import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intercept.web import WebServer

SAME = "/same?chunks=5&pause=2"
CHANGING = "/stream?chunks=5&pause=2"
ALL = b"same-0;same-1;same-2;same-3;same-4;"
QUESTION: Any = [{"role": "user", "content": "What number am I?"}]
READ_ERRORS = {
    "ReadError",  # of httpx
    "ConnectionResetError",  # of http.client
    "ProtocolError",  # of urllib3
    "ChunkedEncodingError",  # of requests
    "ClientPayloadError",  # of aiohttp
}

SHARED: list[Any] = []

libraries = pytest.mark.parametrize("library", LIBRARIES)


def cut(
    web: WebServer,
    library: str,
    path: str,
    method: str = "GET",
    *,
    unread: bool = False,
    around: Callable[[], Any] = nullcontext,
) -> Runs:
    """Read a stream in an agent that crashes in the middle of it: after its first bytes, or before.

    What it gives is what was read, and the error that ended it.

    Args:
        web: the server.
        library: one of `LIBRARIES`.
        path, method: of the request.
        unread: whether the crash comes before anything was read.
        around: makes the block in which the agent does it.
    """
    web.hold.clear()

    def note() -> None:
        """Have on disk what was read so far, and crash. The note itself is sent twice, so it may be."""
        with idempotence_mode(True):
            httpx2.post(web.url("/wait"), verify=TLS)

    def body() -> list[Any]:
        with around():
            return read(library, web.url(path), method, None if unread else 1, note)

    async def body_async() -> list[Any]:
        with around():
            return await read_async(library, web.url(path), method, None if unread else 1, note)

    runs = recovered(body if library in SYNC else body_async, web.held, web.hold)
    assert runs.live == runs.replayed
    return runs


def read(
    library: str, url: str, method: str, noted: int | None, note: Callable[[], None]
) -> list[Any]:
    """What comes of a stream; ``note`` is called after so many pieces, or before any is asked for."""
    pieces: list[bytes] = []
    try:
        with SYNC[library].opened(url, method) as source:
            if noted is None:
                note()
            for piece in source:
                pieces.append(piece)
                if len(pieces) == noted:
                    note()
    except Exception as error:
        return [b"".join(pieces), type(error).__name__, str(error)]
    return [b"".join(pieces)]


async def read_async(
    library: str, url: str, method: str, noted: int | None, note: Callable[[], None]
) -> list[Any]:
    """The same, asynchronously."""
    pieces: list[bytes] = []
    try:
        async with ASYNC[library].opened(url, method) as source:
            if noted is None:
                await asyncio.to_thread(note)
            async for piece in source:
                pieces.append(piece)
                if len(pieces) == noted:
                    await asyncio.to_thread(note)
    except Exception as error:
        return [b"".join(pieces), type(error).__name__, str(error)]
    return [b"".join(pieces)]


def sent(web: WebServer) -> list[str]:
    """The requests for the stream."""
    return [seen.target for seen in web.seen if seen.target != "/wait"]


@libraries
@pytest.mark.parametrize("unread", [False, True])
def test_a_read_is_sent_again_and_goes_on(web: WebServer, library: str, unread: bool) -> None:
    assert cut(web, library, SAME, unread=unread).live == [ALL]
    assert sent(web) == [SAME] * 2


def test_a_read_is_sent_again_under_any_idempotence_mode(web: WebServer) -> None:
    assert cut(web, "httpx2", SAME, around=lambda: idempotence_mode(False)).live == [ALL]


@libraries
def test_other_bytes_do_not_go_on(web: WebServer, library: str) -> None:
    first, name, message = cut(web, library, CHANGING).live
    assert name in READ_ERRORS
    assert first in {b"1-0;", b"1-0;1-1;"}
    assert "response stream lost in a crash: the first" in message
    assert "the request was sent again, but its answer is another one: its first" in message
    assert sent(web) == [CHANGING] * 2


@libraries
@pytest.mark.parametrize("fault", ["drops", "breaks"])
def test_the_retry_policy_sends_it_again_until_it_is_answered(
    web: WebServer, library: str, fault: str
) -> None:
    path = f"{SAME}&{fault}=2"
    assert cut(web, library, path).live == [ALL]
    assert sent(web) == [path] * 4


@libraries
def test_a_server_that_is_gone(web: WebServer, library: str) -> None:
    path = f"{SAME}&drops=9"
    runs = cut(web, library, path, around=lambda: retry_policy(RetryPolicy(max_attempts=1)))
    first, name, message = runs.live
    assert ALL.startswith(first)
    assert first
    assert name in READ_ERRORS
    assert "to send the request again failed with" in message
    assert sent(web) == [path] * 2


@libraries
def test_a_write_is_sent_again_if_nothing_of_its_answer_was_received(
    web: WebServer, library: str
) -> None:
    assert cut(web, library, CHANGING, "POST", unread=True).live == [b"4-0;4-1;4-2;4-3;4-4;"]
    first, again = (seen for seen in web.seen if seen.target == CHANGING)
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert (first.method, first.body) == (again.method, again.body)


@libraries
def test_a_write_whose_answer_had_begun_is_not_sent_again(web: WebServer, library: str) -> None:
    first, _, message = cut(web, library, SAME, "POST").live
    assert ALL.startswith(first)
    assert "a write whose answer had begun to come, is not sent again" in message
    assert sent(web) == [SAME]


@pytest.mark.parametrize("library", ["http.client", "httpx2", "urllib3", "aiohttp"])
def test_a_write_that_was_refused_is_not_sent_again(web: WebServer, library: str) -> None:
    path = f"{SAME}&status=503"
    assert "503" in cut(web, library, path, "POST", unread=True).live[-1]
    assert sent(web) == [path]


@libraries
def test_a_write_that_must_not_be_repeated_is_not_sent_again(web: WebServer, library: str) -> None:
    runs = cut(web, library, SAME, "POST", unread=True, around=lambda: idempotence_mode(False))
    message = runs.live[-1]
    assert "made under idempotence_mode(False), is not sent again" in message
    assert sent(web) == [SAME]


def test_a_response_of_aiohttp_that_went_on_can_be_closed(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.hold.clear()
    closed: list[Pump] = []
    close = Pump.close

    def noted(pump: Pump) -> None:
        closed.append(pump)
        close(pump)

    monkeypatch.setattr(Pump, "close", noted)

    async def body() -> tuple[bytes, bool]:
        async with aiohttp.ClientSession() as session:
            async with session.get(web.url("/same?chunks=999&pause=2")) as response:
                first = await response.content.readexactly(7)
                async with session.post(web.url("/wait")):
                    second = await response.content.readexactly(14)
                content: Any = response.content
                real = content._source._real
            return first + second, real in closed

    assert recovered(body, web.held, web.hold).live == (b"same-0;same-1;same-2;", True)


def test_what_comes_for_a_reader_that_is_cancelled_is_for_the_next(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.hold.clear()
    taken = threading.Event()
    take = Pump.take

    async def noted(pump: Pump, least_bytes: int) -> bytes:
        chunk = await take(pump, least_bytes)
        if web.hold.is_set():
            taken.set()
        return chunk

    monkeypatch.setattr(Pump, "take", noted)

    @durable
    def comes() -> None:
        web.hold.set()
        assert taken.wait(60)

    async def body() -> bytes:
        url = web.url("/same?chunks=5&pause=1")
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            first = await response.content.readexactly(7)
            reading = asyncio.create_task(response.content.readany())
            async with session.get(web.url("/json")):
                comes()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            return first + await response.read()

    assert same(run_async(body)) == ALL


@durable
def reads_some() -> int:
    return len(next(SHARED[-1]))


@durable
async def reads_some_async() -> int:
    return len(await anext(SHARED[-1]))


@pytest.mark.parametrize("library", ["httpx", "httpx2 async"])
def test_agents_do_not_read_on_where_a_durable_function_has_read(
    web: WebServer, library: str
) -> None:
    def body() -> tuple[int, str]:
        with SYNC[library].opened(web.url("/same?chunks=3")) as source:
            SHARED[:] = [source]
            size = reads_some()
            with pytest.raises(NotDurableError) as caught:
                next(source)
            return size, str(caught.value)

    async def body_async() -> tuple[int, str]:
        async with ASYNC[library].opened(web.url("/same?chunks=3")) as source:
            SHARED[:] = [source]
            size = await reads_some_async()
            with pytest.raises(NotDurableError) as caught:
                await anext(source)
            return size, str(caught.value)

    size, message = same(run(body) if library in SYNC else run_async(body_async))
    assert size >= len("same-0;")
    assert "@durable has read from this response" in message


def test_nothing_is_sent_again_for_a_durable_function(web: WebServer) -> None:
    web.hold.clear()

    @durable
    def reads() -> str:
        try:
            return repr(next(SHARED[-1]))
        except httpx2.ReadError as error:
            return str(error)

    def body() -> str:
        with httpx2.stream("GET", web.url(SAME)) as response:
            SHARED[:] = [response.iter_raw()]
            httpx2.post(web.url("/wait"))
            return reads()

    message = recovered(body, web.held, web.hold).live
    assert "it is not sent again for a function decorated with @durable" in message
    assert sent(web) == [SAME]


@libraries
def test_a_long_body_that_is_read_as_a_whole_goes_on(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on: list[int] = []
    steps = Again.steps

    def noted(self: Again, least_bytes: int) -> Any:
        gone_on.append(self._received)
        return steps(self, least_bytes)

    monkeypatch.setattr(Again, "steps", noted)

    def body(web: Any) -> str:
        return hashlib.sha256(SYNC[library].whole(web.url("/large"))).hexdigest()

    async def body_async(web: Any) -> str:
        return hashlib.sha256(await ASYNC[library].whole(web.url("/large"))).hexdigest()

    whole = body if library in SYNC else body_async
    case = Case("large", library, whole, whole, Web)
    end, calm = crash(case, "body")
    assert calm.outcome == ["result", hashlib.sha256(LARGE).hexdigest()]
    assert not gone_on
    for append in range(end.appends, 0, -1):
        _, crashed = crash(case, "body", [CrashPoint(append, CrashMoment.LOST)])
        assert crashed.outcome == calm.outcome
        if max(gone_on, default=0) >= WHOLE_BODY_BYTES:
            return
    pytest.fail("no crash has cut it")


def test_what_was_sent_is_sent_again(web: WebServer) -> None:
    web.hold.clear()

    def body() -> bytes:
        content = (part for part in [b"one", b"two"])
        headers = {"Authorization": "Bearer secret"}
        with httpx2.stream("POST", web.url(CHANGING), content=content, headers=headers) as stream:
            httpx2.post(web.url("/wait"))
            return b"".join(stream.iter_raw())

    assert recovered(body, web.held, web.hold).live == b"4-0;4-1;4-2;4-3;4-4;"
    first, *_, again = web.seen
    assert (again.body, again.headers) == (first.body, first.headers)
    assert again.body == b"onetwo"


def openai_words(web: WebServer) -> Iterator[Any]:
    with OpenAI(api_key="k", base_url=web.url("/v1")) as client:
        asked: Any = {"model": "slow", "messages": QUESTION, "stream": True}
        with client.chat.completions.create(**asked) as stream:
            httpx2.post(web.url("/wait"))  # here it crashes
            for part in stream:
                yield part.choices[0].delta.content


def anthropic_words(web: WebServer) -> Iterator[Any]:
    with Anthropic(api_key="k", base_url=web.url("")) as client:
        asked: Any = {"model": "slow", "max_tokens": 9, "messages": QUESTION}
        with client.messages.stream(**asked) as stream:
            httpx2.post(web.url("/wait"))
            yield from stream.text_stream


@pytest.mark.parametrize("words", [openai_words, anthropic_words])
def test_a_question_to_a_model_is_asked_again(
    web: WebServer, words: Callable[[WebServer], Iterator[Any]]
) -> None:
    web.hold.clear()
    runs = recovered(lambda: list(words(web)), web.held, web.hold)
    assert runs.live == runs.replayed == ["answer", " number", " 4"]
    asked = [seen for seen in web.seen if seen.target != "/wait"]
    assert len(asked) == 2
    assert len({seen.headers["Idempotency-Key"] for seen in asked}) == 1

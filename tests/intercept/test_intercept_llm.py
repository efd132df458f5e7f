"""The real openai and anthropic clients against a local server that answers like a model."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from anthropic import Anthropic
from openai import APIConnectionError, AsyncOpenAI, OpenAI, RateLimitError

from intercept.replaying import crashed, run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intercept.web import WebServer

KEY = "canary-6502"
QUESTION: Any = [{"role": "user", "content": "What number am I?"}]


def openai(web: WebServer) -> OpenAI:
    return OpenAI(api_key=KEY, base_url=web.url("/v1"), max_retries=2)


def async_openai(web: WebServer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=KEY, base_url=web.url("/v1"), max_retries=2)


def test_the_key_is_not_stored(web: WebServer) -> None:
    def body() -> Any:
        with openai(web) as client:
            plain = client.chat.completions.create(model="m", messages=QUESTION)
        return plain.choices[0].message.content

    runs = run(body)
    assert runs.live == "answer number 1"
    assert f"Bearer {KEY}" in web.seen[0].headers.values()
    assert [entry for entry in runs.entries if KEY in repr(entry)] == []


def openai_words(web: WebServer) -> Iterator[Any]:
    with openai(web) as client:
        asked: Any = {"model": "slow", "messages": QUESTION, "stream": True}
        for part in client.chat.completions.create(**asked):
            yield part.choices[0].delta.content


def anthropic_words(web: WebServer) -> Iterator[Any]:
    with Anthropic(api_key=KEY, base_url=web.url("")) as client:
        asked: Any = {"model": "slow", "max_tokens": 9, "messages": QUESTION}
        with client.messages.stream(**asked) as stream:
            yield from stream.text_stream


@pytest.mark.parametrize("words", [openai_words, anthropic_words])
def test_a_crash_in_mid_stream(web: WebServer, words: Callable[[WebServer], Iterator[Any]]) -> None:
    web.hold.clear()

    def body() -> list[Any]:
        heard: list[Any] = []
        try:
            for word in words(web):
                heard.append(word)
                httpx2.post(web.url("/wait"))  # here it crashes
        except (APIConnectionError, httpx2.ReadError) as error:
            heard.append(str(error.__cause__ or error))
            heard.extend(words(web))
        return heard

    again, lost, *anew = crashed(body, web.held, web.hold)
    assert again == "answer"
    assert "response stream lost in a crash" in lost
    assert "".join(anew) == "answer number 4"


def test_openai_async(web: WebServer) -> None:
    async def body() -> list[Any]:
        async with async_openai(web) as client:
            words: list[Any] = []

            async def ask() -> None:
                stream = await client.chat.completions.create(
                    model="m", messages=QUESTION, stream=True
                )
                async for chunk in stream:
                    text = chunk.choices[0].delta.content
                    words.append(text)

            await asyncio.gather(*(ask() for _ in range(4)))
            plain = await client.chat.completions.create(model="m", messages=QUESTION)
        return [words, plain.choices[0].message.content]

    runs = run_async(body)
    assert len(runs.live[0]) == 12
    assert runs.live[1] == "answer number 5"
    assert runs.replayed == runs.live
    assert len(web.seen) == 5


def test_a_shared_async_client_belongs_to_no_agent(web: WebServer) -> None:
    # No connection stays open: nobody closes a client that several agents share.
    limits = httpx2.Limits(max_keepalive_connections=0)
    shared = async_openai(web).with_options(http_client=httpx2.AsyncClient(limits=limits))

    async def body() -> list[Any]:
        asked = shared.chat.completions.create(model="m", messages=QUESTION)
        answer, moment = await asyncio.gather(asked, current_time())
        return [answer.choices[0].message.content, moment]

    async def current_time() -> float:
        return time.time()

    # The live run makes the client's probe, the replay finds it made.
    runs = run_async(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == "answer number 1"


@pytest.mark.parametrize(("code", "sent"), [(500, 3), (429, 3), (400, 1)])
def test_openai_retries(web: WebServer, code: int, sent: int) -> None:
    def body() -> str:
        with openai(web) as client:
            try:
                client.get(f"{web.url('/status')}?code={code}&times=2", cast_to=object)
            except Exception as error:  # its type is the result
                return type(error).__name__
        return "answered"

    runs = run(body)
    assert runs.live == ("BadRequestError" if code == 400 else "answered")
    assert runs.replayed == runs.live
    assert len(web.seen) == sent


def test_openai_errors_come_back_as_they_were(web: WebServer) -> None:
    def body() -> list[Any]:
        found: list[Any] = []
        with openai(web) as retrying:
            client = retrying.with_options(max_retries=0)
            try:
                client.get(f"{web.url('/status')}?code=429&times=9", cast_to=object)
            except RateLimitError as error:
                found.append((error.status_code, str(error)))
            try:
                client.get("http://127.0.0.1:9/", cast_to=object)
            except APIConnectionError as error:
                found.append(str(error))
        return found

    runs = run(body)
    assert len(runs.live) == 2
    assert runs.replayed == runs.live

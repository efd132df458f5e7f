"""Questions to language models, through the real openai and anthropic packages."""

from __future__ import annotations

import re
import ssl
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, ClassVar

import anthropic
import httpx2
import openai

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

__all__ = ["CASES"]

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To be made once: loading certificates takes longer than all the rest."""

QUESTION: Any = [{"role": "user", "content": "What number am I?"}]

LOST = (httpx2.ReadError, openai.APIConnectionError)
"""What openai makes of an error in mid-stream is its own."""

NOBODY = "http://127.0.0.1:9"


class Model(Web):
    """The server; questions are its writes.

    Notes are not: what they do is to put on disk what came before them. A crash at that moment repeats one,
    and has the agent ask its question again, too.
    """

    @property
    def writes(self) -> list[tuple[str, str, bytes]]:
        return [write for write in super().writes if write[1] != "/json"]


class OpenAI:
    """Chat completions of openai."""

    name = "openai"
    asked: ClassVar[Any] = {"model": "m", "messages": QUESTION}

    def client(self, url: str) -> openai.OpenAI:
        """A client that leaves retries to the policy."""
        transport = httpx2.Client(verify=TLS)
        return openai.OpenAI(
            api_key="k", base_url=f"{url}/v1", max_retries=0, http_client=transport
        )

    def async_client(self, url: str) -> openai.AsyncOpenAI:
        """The same for coroutines."""
        transport = httpx2.AsyncClient(verify=TLS)
        return openai.AsyncOpenAI(
            api_key="k", base_url=f"{url}/v1", max_retries=0, http_client=transport
        )

    def answer(self, client: Any) -> Any:
        """An answer, or a coroutine that gives it."""
        return client.chat.completions.create(**self.asked)

    def text(self, answer: Any) -> str:
        """Its text."""
        return str(answer.choices[0].message.content)

    def words(self, client: Any) -> Generator[str]:
        """An answer word by word."""
        with client.chat.completions.create(**self.asked, stream=True) as stream:
            for part in stream:
                yield part.choices[0].delta.content

    async def words_async(self, client: Any) -> AsyncGenerator[str]:
        """The same."""
        async with await client.chat.completions.create(**self.asked, stream=True) as stream:
            async for part in stream:
                yield part.choices[0].delta.content


class Anthropic:
    """Messages of anthropic."""

    name = "anthropic"
    asked: ClassVar[Any] = {"model": "m", "max_tokens": 9, "messages": QUESTION}

    def client(self, url: str) -> anthropic.Anthropic:
        """As `OpenAI.client`."""
        transport = httpx2.Client(verify=TLS)
        return anthropic.Anthropic(api_key="k", base_url=url, max_retries=0, http_client=transport)

    def async_client(self, url: str) -> anthropic.AsyncAnthropic:
        """The same for coroutines."""
        transport = httpx2.AsyncClient(verify=TLS)
        return anthropic.AsyncAnthropic(
            api_key="k", base_url=url, max_retries=0, http_client=transport
        )

    def answer(self, client: Any) -> Any:
        """As `OpenAI.answer`."""
        return client.messages.create(**self.asked)

    def text(self, answer: Any) -> str:
        """Its text."""
        return str(answer.content[0].text)

    def words(self, client: Any) -> Generator[str]:
        """An answer word by word."""
        with client.messages.stream(**self.asked) as stream:
            yield from stream.text_stream

    async def words_async(self, client: Any) -> AsyncGenerator[str]:
        """The same."""
        async with client.messages.stream(**self.asked) as stream:
            async for text in stream.text_stream:
                yield text


class Questions:
    """The same questions through one of the two packages.

    The model answers with the number of the request, which is another one after a crash.

    Args:
        package: which.
    """

    def __init__(self, package: OpenAI | Anthropic) -> None:
        self.package = package

    def asks(self, web: Web) -> list[str]:
        noted = False
        with self.package.client(web.url("")) as client:
            answer = self.package.text(self.package.answer(client))
            while True:
                heard = [answer]
                try:
                    with closing(self.package.words(client)) as words:
                        for word in words:
                            heard.append(word)
                            if not noted:  # on disk is then: so much of the stream
                                httpx2.post(web.url("/json"), content=b"noted", verify=TLS)
                                noted = True
                    return said(heard)
                except LOST:  # in a crash
                    continue

    async def asks_async(self, web: Web) -> list[str]:
        noted = False
        async with self.package.async_client(web.url("")) as client:
            answer = self.package.text(await self.package.answer(client))
            while True:
                heard = [answer]
                try:
                    async with aclosing(self.package.words_async(client)) as words:
                        async for word in words:
                            heard.append(word)
                            if not noted:  # as above
                                httpx2.post(web.url("/json"), content=b"noted", verify=TLS)
                                noted = True
                    return said(heard)
                except LOST:  # in a crash
                    continue

    async def not_found_async(self, web: Web) -> object:
        async with self.package.async_client(web.url("/nowhere")) as client:
            return await self.package.answer(client)

    def unreachable(self, web: Web) -> object:
        with self.package.client(NOBODY) as client:
            return list(self.package.words(client))

    def cases(self) -> Iterator[Case]:
        name = self.package.name
        yield Case(name, name, self.asks, self.unreachable, Model)
        yield Case(f"{name}-async", name, self.asks_async, self.not_found_async, Model)


def said(texts: list[str]) -> list[str]:
    """What was said, without the number of the request."""
    return [re.sub(r"\d+", "#", text) for text in texts]


CASES = [case for package in (OpenAI(), Anthropic()) for case in Questions(package).cases()]

"""Requests through httpx and httpx2."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES"]

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To be made once: loading certificates takes longer than all the rest."""

STREAM = "/stream?chunks=2"

SAME = "/same?chunks=3"
"""Whose rest comes by a second request."""


def parts(text: str) -> list[str]:
    """The streamed text without the number of the request."""
    return re.findall(r"-(\d+);", text)


class Requests:
    """The same requests through one of the two libraries.

    Args:
        library: httpx or httpx2.
    """

    def __init__(self, library: Any) -> None:
        self.library = library

    def plain(self, web: Web) -> list[Any]:
        with self.library.Client(follow_redirects=True, verify=TLS) as client:
            read = client.get(web.url("/redirect"))
            written = client.post(web.url("/json"), content=b"some")
            missing = client.delete(web.url("/nowhere"))
        answer = written.json()
        return [
            [each.status_code, each.headers["content-length"], each.reason_phrase]
            for each in (read, written, missing)
        ] + [[answer["method"], answer["body"], len(read.history)]]

    async def plain_async(self, web: Web) -> list[Any]:
        async with self.library.AsyncClient(follow_redirects=True, verify=TLS) as client:
            read = await client.get(web.url("/redirect"))
            written = await client.put(web.url("/json"), content=b"some")
        return [[read.status_code, len(read.history)], written.json()["body"]]

    def streamed(self, web: Web) -> list[Any]:
        noted = False
        while True:
            texts: list[str] = []
            try:
                with self.library.stream("GET", web.url(STREAM), verify=TLS) as response:
                    for text in response.iter_text():
                        texts.append(text)
                        if not noted:  # on disk is then: so much of the stream
                            self.library.post(web.url("/json"), content=b"noted", verify=TLS)
                            noted = True
                return parts("".join(texts))
            except self.library.ReadError:  # lost in a crash
                continue

    async def streamed_async(self, web: Web) -> list[Any]:
        noted = False
        async with self.library.AsyncClient(verify=TLS) as client:
            while True:
                texts: list[str] = []
                try:
                    async with client.stream("GET", web.url(STREAM)) as response:
                        async for text in response.aiter_text():
                            texts.append(text)
                            if not noted:  # on disk is then: so much of the stream
                                await client.post(web.url("/json"), content=b"noted")
                                noted = True
                    return parts("".join(texts))
                except self.library.ReadError:  # lost in a crash
                    continue

    def going_on(self, web: Web) -> str:
        with self.library.stream("GET", web.url(SAME), verify=TLS) as response:
            texts = [next(chunks := response.iter_text())]
            self.library.post(web.url("/json"), content=b"noted", verify=TLS)
            return "".join([*texts, *chunks])

    async def going_on_async(self, web: Web) -> str:
        async with (
            self.library.AsyncClient(verify=TLS) as client,
            client.stream("GET", web.url(SAME)) as response,
        ):
            texts = [await anext(chunks := response.aiter_text())]
            await client.post(web.url("/json"), content=b"noted")
            return "".join([*texts, *[text async for text in chunks]])

    def refused(self, web: Web) -> Any:
        return self.library.post("http://127.0.0.1:9/", verify=TLS)

    def broken(self, web: Web) -> Any:
        return self.library.get(web.url("/broken"), verify=TLS)

    async def refused_async(self, web: Web) -> Any:
        async with self.library.AsyncClient(verify=TLS) as client:
            return await client.post("http://127.0.0.1:9/")

    async def broken_async(self, web: Web) -> Any:
        async with (
            self.library.AsyncClient(verify=TLS) as client,
            client.stream("GET", web.url("/broken")) as r,
        ):
            return await r.aread()

    def cases(self) -> Iterator[Case]:
        name = self.library.__name__
        yield Case(f"{name}-plain", name, self.plain, self.refused, Web)
        yield Case(f"{name}-streamed", name, self.streamed, self.broken, Web)
        yield Case(f"{name}-going-on", name, self.going_on, self.broken, Web)
        yield Case(f"{name}-async-going-on", name, self.going_on_async, self.broken_async, Web)
        yield Case(f"{name}-async-plain", name, self.plain_async, self.refused_async, Web)
        yield Case(f"{name}-async-streamed", name, self.streamed_async, self.broken_async, Web)


CASES = [*Requests(httpx).cases(), *Requests(httpx2).cases()]

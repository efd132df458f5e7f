"""Requests through aiohttp's client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES"]


def parts(text: str) -> list[str]:
    """The streamed text without the number of the request."""
    return re.findall(r"-(\d+);", text)


async def plain(web: Web) -> list[Any]:
    async with aiohttp.ClientSession() as session:
        async with session.get(web.url("/redirect")) as read:
            text = await read.text()
        async with session.put(web.url("/json"), data=b"some") as written:
            answer = await written.json()
        async with session.delete(web.url("/nowhere")) as missing:
            pass
    return [
        [each.status, each.headers["content-length"], each.reason]
        for each in (read, written, missing)
    ] + [[answer["body"], len(text), len(read.history)]]


async def streamed(web: Web) -> list[Any]:
    noted = False
    async with aiohttp.ClientSession() as session:
        while True:
            texts: list[bytes] = []
            try:
                async with session.get(web.url("/stream?chunks=2")) as response:
                    async for text in response.content.iter_any():
                        texts.append(text)
                        if not noted:  # on disk is then: so much of the stream
                            async with session.post(web.url("/json"), data=b"noted"):
                                noted = True
                return parts(b"".join(texts).decode())
            except aiohttp.ClientPayloadError:  # lost in a crash
                continue


async def going_on(web: Web) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.get(web.url("/same?chunks=3")) as response,
    ):
        first = await response.content.read(7)
        async with session.post(web.url("/json"), data=b"noted"):
            return first + await response.content.read()


async def refused(web: Web) -> Any:
    async with aiohttp.ClientSession() as session:
        return await session.post("http://127.0.0.1:9/")


async def broken(web: Web) -> Any:
    async with aiohttp.ClientSession() as session, session.get(web.url("/broken")) as response:
        return await response.read()


def _cases() -> Iterator[Case]:
    yield Case("aiohttp-plain", "aiohttp", plain, refused, Web)
    yield Case("aiohttp-streamed", "aiohttp", streamed, broken, Web)
    yield Case("aiohttp-going-on", "aiohttp", going_on, broken, Web)


CASES = [*_cases()]

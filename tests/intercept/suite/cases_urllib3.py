"""Requests through urllib3, and through requests above it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES"]

NOBODY = "http://127.0.0.1:9/"
SAME = "/same?chunks=3"


def parts(text: str) -> list[str]:
    """The streamed text without the number of the request."""
    return re.findall(r"-(\d+);", text)


def session_plain(web: Web) -> list[Any]:
    with requests.Session() as session:
        read = session.get(web.url("/redirect"))
        written = session.post(web.url("/json"), data=b"some")
        missing = session.delete(web.url("/nowhere"))
        session.get(web.url("/cookie"))
    answer = written.json()
    return [
        [each.status_code, each.headers["content-length"], each.reason]
        for each in (read, written, missing)
    ] + [[answer["method"], answer["body"], len(read.history), list(session.cookies.keys())]]


def session_streamed(web: Web) -> list[Any]:
    noted = False
    while True:
        texts: list[str] = []
        try:
            with requests.get(web.url("/stream?chunks=2"), stream=True) as response:
                for chunk in response.iter_content(None):
                    texts.append(chunk.decode())
                    if not noted:  # on disk is then: so much of the stream
                        requests.post(web.url("/json"), data=b"noted")
                        noted = True
            return parts("".join(texts))
        except requests.exceptions.ChunkedEncodingError:  # lost in a crash
            continue


def session_going_on(web: Web) -> bytes:
    with requests.Session() as session, session.get(web.url(SAME), stream=True) as response:
        parts = [next(chunks := response.iter_content(7))]
        session.post(web.url("/json"), data=b"noted")
        return b"".join([*parts, *chunks])


def refused(web: Web) -> Any:
    return requests.post(NOBODY)


def broken(web: Web) -> Any:
    return requests.get(web.url("/broken"))


def pool_plain(web: Web) -> list[Any]:
    with urllib3.PoolManager() as pool:
        read = pool.request("GET", web.url("/redirect"))
        written = pool.request("PUT", web.url("/json"), body=iter([b"so", b"me"]))
        packed = pool.request("GET", web.url("/gzip"))
    return [
        [read.status, read.geturl(), read.version],
        written.json()["body"],
        sorted(packed.json()),
    ]


def pool_streamed(web: Web) -> list[Any]:
    noted = False
    with urllib3.PoolManager(retries=False) as pool:
        while True:
            texts: list[bytes] = []
            try:
                url = web.url("/stream?chunks=2")
                response = pool.request("GET", url, preload_content=False)
                for chunk in response.stream():
                    texts.append(chunk)
                    if not noted:  # on disk is then: so much of the stream
                        pool.request("POST", web.url("/json"), body=b"noted")
                        noted = True
                response.release_conn()
                return parts(b"".join(texts).decode())
            except urllib3.exceptions.ProtocolError:  # lost in a crash
                continue


def pool_going_on(web: Web) -> bytes:
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", web.url(SAME), preload_content=False)
        first = response.read(7)
        pool.request("POST", web.url("/json"), body=b"noted")
        return bytes(first + response.read())


def pool_refused(web: Web) -> Any:
    return urllib3.request("POST", NOBODY, retries=1)


def pool_broken(web: Web) -> Any:
    return urllib3.request("GET", web.url("/broken"), retries=0)


def _cases() -> Iterator[Case]:
    yield Case("requests-plain", "urllib3", session_plain, refused, Web)
    yield Case("requests-streamed", "urllib3", session_streamed, broken, Web)
    yield Case("requests-going-on", "urllib3", session_going_on, broken, Web)
    yield Case("urllib3-going-on", "urllib3", pool_going_on, pool_broken, Web)
    yield Case("urllib3-plain", "urllib3", pool_plain, pool_refused, Web)
    yield Case("urllib3-streamed", "urllib3", pool_streamed, pool_broken, Web)


CASES = [*_cases()]

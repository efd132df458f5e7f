"""Requests through http.client, and through urllib.request above it."""

from __future__ import annotations

import re
import urllib.request
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES"]


def parts(text: str) -> list[str]:
    """The streamed text without the number of the request."""
    return re.findall(r"-(\d+);", text)


def connection_to(web: Web) -> closing[HTTPConnection]:
    return closing(HTTPConnection("127.0.0.1", web.server_port))


def plain(web: Web) -> list[Any]:
    with connection_to(web) as connection:
        connection.request("GET", "/redirect")
        read = connection.getresponse()
        read.read()
        connection.request("PUT", "/json", body=iter([b"so", b"me"]))
        written = connection.getresponse()
        text = written.read().decode()
        connection.putrequest("DELETE", "/nowhere")
        connection.endheaders()
        missing = connection.getresponse()
        missing.read()
        connection.request("HEAD", "/json")
        head = connection.getresponse()
        head.read()
    return [
        *([each.status, each.reason, each.version] for each in (read, written, missing, head)),
        *re.findall('"body": "(.*)"', text),
        read.getheader("Location"),
    ]


def streamed(web: Web) -> list[Any]:
    noted = False
    while True:
        texts: list[bytes] = []
        try:
            with urllib.request.urlopen(web.url("/stream?chunks=2")) as response:
                while chunk := response.read1():
                    texts.append(chunk)
                    if not noted:  # on disk is then: so much of the stream
                        urllib.request.urlopen(web.url("/json"), data=b"noted").close()
                        noted = True
            return parts(b"".join(texts).decode())
        except ConnectionResetError:  # lost in a crash
            continue


def going_on(web: Web) -> bytes:
    with connection_to(web) as connection:
        connection.request("GET", "/same?chunks=3")
        response = connection.getresponse()
        first = response.read(7)
        urllib.request.urlopen(web.url("/json"), data=b"noted").close()
        return first + response.read()


def opened(web: Web) -> list[Any]:
    with urllib.request.urlopen(web.url("/redirect")) as response:
        read = [response.status, response.reason, response.url[-5:], response.msg]
        response.read()
    request = urllib.request.Request(web.url("/json"), b"some", {"X-One": "1"}, method="PUT")
    with urllib.request.urlopen(request) as response:
        written = re.findall(b'"body": "(.*)"', response.read())
    try:
        urllib.request.urlopen(web.url("/nowhere"))
    except HTTPError as error:
        with error:
            return [*read, *written, error.code, error.read()]
    return []


def refused(web: Web) -> Any:
    return urllib.request.urlopen("http://127.0.0.1:9/", data=b"")


def unanswered(web: Web) -> Any:
    with connection_to(web) as connection:
        connection.request("GET", "/silent")
        return connection.getresponse()


def broken(web: Web) -> Any:
    with urllib.request.urlopen(web.url("/broken")) as response:
        return response.read()


def _cases() -> Iterator[Case]:
    yield Case("http.client-plain", "http.client", plain, unanswered, Web)
    yield Case("urllib-plain", "http.client", opened, refused, Web)
    yield Case("urllib-streamed", "http.client", streamed, broken, Web)
    yield Case("http.client-going-on", "http.client", going_on, broken, Web)


CASES = [*_cases()]

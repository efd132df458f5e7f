"""Responses that are too long, never come, are read twice or dropped half-way: of each HTTP library."""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Any

import pytest
import requests

from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import ResponseTooLargeError
from golem_sdk.runtime.settings import Settings
from intercept.reading import LIBRARIES, SYNC, outcome, reading
from intercept.replaying import run
from intercept.web import LARGE

if TYPE_CHECKING:
    from intercept.web import WebServer

each = pytest.mark.parametrize("library", LIBRARIES)

USUAL = Settings()
SHORT = Settings(max_received_bytes=20)


@each
def test_a_body_that_is_announced_to_be_too_long_is_not_read(library: str, web: WebServer) -> None:
    runs = reading(library, "whole", web.url("/large"), Settings(max_received_bytes=len(LARGE) - 1))
    assert runs.replayed == runs.live
    assert runs.live[0] == "ResponseTooLargeError"
    assert "max_received_bytes" in runs.live[1]
    assert len(web.seen) == 1, "nobody asks again"


@each
def test_what_is_as_long_as_the_limit_is_read(library: str, web: WebServer) -> None:
    runs = reading(library, "whole", web.url("/large"), Settings(max_received_bytes=len(LARGE)))
    assert runs.replayed == runs.live == LARGE


@each
def test_a_stream_ends_where_the_limit_is_passed(library: str, web: WebServer) -> None:
    runs = reading(library, "pieces", web.url("/stream?chunks=100"), SHORT)
    assert runs.replayed == runs.live
    *pieces, end = runs.live
    assert end[0] == "ResponseTooLargeError"
    assert len(b"".join(pieces)) <= 20


@each
def test_a_head_has_no_body_to_be_too_long(library: str, web: WebServer) -> None:
    runs = reading(library, "whole", web.url("/large"), SHORT, method="HEAD")
    assert runs.replayed == runs.live == b""


@each
def test_a_server_that_never_answers(library: str, web: WebServer) -> None:
    web.hold.clear()
    runs = reading(library, "whole", web.url("/silent"), USUAL)
    assert runs.replayed == runs.live
    assert "time" in runs.live[0].lower()


def test_a_body_that_does_not_come_is_an_error_of_reading_to_requests(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.hold.clear()
    begin = http.client.HTTPResponse.begin

    def has_come(response: Any) -> None:
        """However long the head of a real response takes."""
        sock = response.fp.raw._sock if isinstance(response.fp, io.BufferedReader) else None
        patience_s = sock and sock.gettimeout()
        if sock is not None:
            sock.settimeout(60)
        begin(response)
        if sock is not None:
            sock.settimeout(patience_s)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", has_come)

    def body() -> list[str]:
        with pytest.raises(requests.ConnectionError, match="Read timed out") as whole:
            requests.get(web.url("/half"), timeout=0.1)
        with requests.get(web.url("/half"), timeout=0.1, stream=True) as response:
            chunks = response.iter_content(4)
            first = next(chunks)
            with pytest.raises(requests.ConnectionError, match="Read timed out") as later:
                next(chunks)
        return [str(whole.value), first.decode(), str(later.value)]

    runs = run(body)
    assert runs.live[1] == "half"
    assert [t[-17:] for t in runs.replayed] == [t[-17:] for t in runs.live]


@each
def test_a_body_that_is_read_twice(library: str, web: WebServer) -> None:
    url = web.url("/stream?chunks=3")
    runs = reading(library, "twice", url, USUAL)
    assert runs.replayed == runs.live
    assert len(web.seen) == 1
    if library in SYNC:
        expected = outcome(lambda: SYNC[library].twice(url))
        assert shape(runs.live) == shape(expected)


def shape(found: Any) -> Any:
    """What does not depend on how many requests came before: lengths, or the type of an error."""
    return found[0] if isinstance(found[0], str) else list(map(len, found))


@each
def test_a_body_that_is_dropped_half_way(library: str, web: WebServer) -> None:
    runs = reading(library, "pieces", web.url("/large"), USUAL, pieces=1)
    assert runs.replayed == runs.live
    assert len(runs.live) == 2
    recorded = [e for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    assert len(recorded) < 5, "what nobody has read is not recorded"


def test_the_error_has_the_limit() -> None:
    assert ResponseTooLargeError(5).limit_bytes == 5

"""HTTP through http.client and urllib.request: what the suite's cases do not show."""

from __future__ import annotations

import http.client
import io
import threading
import urllib.request
import xmlrpc.client
from contextlib import closing
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

import pytest

from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import NotDurableError
from intercept.replaying import crashed, run
from intercept.web import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from intercept.web import WebServer


def connection_to(web: WebServer, **options: Any) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", web.server_port, **options))


def test_opened_urls(web: WebServer) -> None:
    def body() -> list[Any]:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        found = []
        for path in ["/redirect", "/cookie", "/gzip", "/json"]:
            with opener.open(web.url(path)) as r:
                found.append([r.status, r.reason, r.url, r.version, r.getheaders(), r.read()])
        return found

    runs = run(body)
    assert runs.replayed == runs.live
    assert [seen.target for seen in web.seen] == ["/redirect", "/json", "/cookie", "/gzip", "/json"]
    assert web.seen[-1].headers["Cookie"] == "visit=3"
    assert runs.calls == ["http.client.request"] * 5


def test_connections_are_kept_open(web: WebServer) -> None:
    socks: list[Any] = []

    def body() -> list[bytes]:
        bodies = []
        with connection_to(web) as connection:
            for path in ["/json", "/large", "/stream?chunks=3", "/json"]:
                connection.request("GET", path)
                bodies.append(connection.getresponse().read())
                socks.append(connection.sock)
        return bodies

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[1] == LARGE
    assert runs.calls.count("http.client.read") <= 9
    assert len(set(socks[:4])) == 1
    assert socks[4:] == [None] * 4


READING: dict[str, Callable[[http.client.HTTPResponse], Any]] = {
    "all": lambda r: [r.read(), r.read(), r.isclosed()],
    "steps": lambda r: [r.read(3), r.read(3), r.read(), r.read(1)],
    "as it comes": lambda r: [r.read1(), r.read1(2), r.isclosed()],
    "lines": lambda r: [r.readline(3), r.readline(), r.read()],
    "peek": lambda r: [r.peek()[:2], r.peek()[:2], r.read()],
    "into": lambda r: [r.readinto(bytearray(4)), r.read()],
    "text": lambda r: list(io.TextIOWrapper(r, "latin-1")),
    "not at all": lambda r: [r.status],
}


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("path", ["/stream?chunks=3", "/gzip", "/json"])
def test_ways_to_read(web: WebServer, reading: str, path: str) -> None:
    def body() -> Any:
        web.seen.clear()
        with connection_to(web) as connection:
            connection.request("GET", path)
            with connection.getresponse() as response:
                return READING[reading](response)

    original = body()
    runs = run(body)
    assert runs.replayed == runs.live == original


def test_an_abandoned_response_closes_the_connection(web: WebServer) -> None:
    def body() -> list[Any]:
        with connection_to(web) as connection:
            connection.request("GET", "/stream?chunks=900")
            response = connection.getresponse()
            first = response.read(4)
            response.close()
            connection.request("GET", "/json")
            return [first, connection.getresponse().read()]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == b"1-0;"
    assert len(web.seen) == 2


def test_request_bodies(web: WebServer) -> None:
    def body() -> list[bytes]:
        bodies: list[Any] = [
            "text",
            b"bytes",
            bytearray(b"array"),
            io.BytesIO(b"file"),
            io.StringIO("text of a file"),
            iter([b"par", b"ts"]),
        ]
        answers = []
        with connection_to(web) as connection:
            for each in bodies:
                connection.request("POST", "/json", each)
                answers.append(connection.getresponse().read())
            connection.putrequest("POST", "/json")
            connection.putheader("Content-Length", "4")
            connection.endheaders()
            connection.send(b"by ")
            connection.send(b"hand"[:1])
            answers.append(connection.getresponse().read())
        return answers

    runs = run(body)
    assert runs.replayed == runs.live
    sent = [seen.body for seen in web.seen]
    assert sent == [b"text", b"bytes", b"array", b"file", b"text of a file", b"parts", b"by h"]
    assert web.seen[5].headers["Transfer-Encoding"] == "chunked"
    assert len({seen.headers["Idempotency-Key"] for seen in web.seen}) == 7


def test_errors_are_outcomes(web: WebServer) -> None:
    web.hold.clear()

    def body() -> list[str]:
        failures = []
        for url, timeout in [
            (web.url("/silent"), 0.1),
            ("http://127.0.0.1:9/", 60),
            (web.url("/half"), 0.1),
            (web.url("/broken"), 60),
        ]:
            with pytest.raises((OSError, http.client.HTTPException)) as caught:
                urllib.request.urlopen(url, timeout=timeout).read()
            failures.append(repr(caught.value))
        return failures

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == runs.live[2] == "TimeoutError('timed out')"
    assert runs.live[1].startswith("<urlopen error") or "URLError" in runs.live[1]
    assert runs.live[3] == "IncompleteRead(4 bytes read, 99996 more expected)"


def test_errors_come_from_the_same_steps(web: WebServer) -> None:
    web.hold.clear()

    def body() -> list[str]:
        refused = http.client.HTTPConnection("127.0.0.1", 9)
        with pytest.raises(ConnectionRefusedError):
            refused.connect()
        with pytest.raises(ConnectionRefusedError):
            refused.request("GET", "/")
        with connection_to(web, timeout=0.1) as connection:
            connection.request("GET", "/silent")
            with pytest.raises(TimeoutError):
                connection.getresponse()
            with pytest.raises(http.client.ResponseNotReady):
                http.client.HTTPConnection("127.0.0.1").getresponse()
        with connection_to(web) as connection:
            connection.connect()
            connection.request("GET", "/json")
            connection.close()
            with pytest.raises(http.client.ResponseNotReady):
                connection.getresponse()
            connection.request("GET", "/json")
            return [connection.getresponse().read().decode()]

    runs = run(body)
    assert runs.replayed == runs.live
    # Reads that time out are tried three times.
    sent = ["/json"] * 2 + ["/silent"] * 3
    while len(web.seen) < len(sent):  # who has given up did not wait for the server to hear it
        threading.Event().wait(0.001)
    assert sorted(seen.target for seen in web.seen) == sent


def test_a_stream_is_lost_in_a_crash(web: WebServer) -> None:
    web.hold.clear()

    def body() -> tuple[list[bytes], int, str]:
        chunks: list[bytes] = []
        answer = 0
        try:
            with urllib.request.urlopen(web.url("/stream?chunks=5")) as response:
                while chunk := response.read1():
                    chunks.append(chunk)
                    if len(chunks) == 2:
                        with urllib.request.urlopen(web.url("/wait"), data=b"") as other:
                            answer = int(other.read())
        except ConnectionResetError as error:
            return chunks, answer, str(error)
        return chunks, answer, "nothing was lost"

    chunks, answer, message = crashed(body, web.held, web.hold)
    assert chunks == [b"1-0;", b"1-1;"]
    assert answer == 3
    assert message.startswith("response stream lost in a crash: the first")
    stream = "/stream?chunks=5"
    assert [seen.target for seen in web.seen] == [stream, "/wait", "/wait", stream]
    assert web.seen[1].headers["Idempotency-Key"] == web.seen[2].headers["Idempotency-Key"]


def test_statuses_are_errors_of_urllib(web: WebServer) -> None:
    def body() -> list[Any]:
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(web.url("/nowhere"))
        with caught.value as error:
            return [error.code, error.reason, error.headers.items(), error.read()]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == 404


def test_remote_procedures(web: WebServer) -> None:
    def body() -> str:
        with (
            xmlrpc.client.ServerProxy(web.url("/nowhere")) as proxy,
            pytest.raises(xmlrpc.client.ProtocolError) as caught,
        ):
            proxy.add(2, 3)
        return repr(caught.value)

    runs = run(body)
    assert runs.replayed == runs.live
    assert b"<methodName>add</methodName>" in web.seen[0].body
    assert len(web.seen) == 1


def test_no_secret_reaches_the_store(web: WebServer) -> None:
    canary = "canary-8086"

    def body() -> None:
        headers = {"Authorization": f"Bearer {canary}", "X-Else": canary}
        url = web.url(f"/json?token={canary}")
        urllib.request.urlopen(urllib.request.Request(url, headers=headers)).close()

    runs = run(body)
    [entry] = [each for each in runs.entries if isinstance(each, ImportedFunctionInvoked)]
    assert canary in web.seen[0].headers["Authorization"]
    assert canary.encode() not in entry.request  # type: ignore[operator]  # small enough to be in place
    assert b"<redacted:" in entry.request  # type: ignore[operator]  # as above


def test_connections_taken_over_are_refused(web: WebServer) -> None:
    def body() -> None:
        with connection_to(web) as connection, pytest.raises(NotDurableError, match="WebSocket"):
            connection.request("GET", "/json", headers={"Upgrade": "websocket"})

    assert run(body).calls == []
    assert web.seen == []


def test_outside_agents_nothing_changes(web: WebServer) -> None:
    run(lambda: None)
    urllib.request.urlopen(web.url("/json"), data=b"x").close()
    assert "Idempotency-Key" not in web.seen[0].headers
    with pytest.raises(URLError):
        urllib.request.urlopen("http://127.0.0.1:9/")

"""HTTP through requests and urllib3 in synchronous agents: what the suite's cases do not show."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.activation import Activator
from golem_sdk.intercept.http import WHOLE_BODY_BYTES
from golem_sdk.storage.base import Space
from intercept.replaying import Runs, crashed, run
from intercept.web import LARGE

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator

    from intercept.web import WebServer


def requests_of(runs: Runs) -> list[ImportedFunctionInvoked]:
    return [
        entry
        for entry in runs.entries
        if isinstance(entry, ImportedFunctionInvoked) and entry.function_name.endswith(".request")
    ]


def facts(response: requests.Response) -> list[Any]:
    """Everything that a caller can see of a response."""
    return [
        response.status_code,
        response.reason,
        response.raw.version,
        list(response.headers.items()),
        response.content,
        response.url,
        response.elapsed,
        [each.url for each in response.history],
        dict(response.cookies),
        response.encoding,
        response.raw.tell(),
    ]


def test_a_response_is_the_same_on_replay(web: WebServer) -> None:
    runs = run(lambda: facts(requests.get(web.url("/json"))))
    assert runs.replayed == runs.live
    assert runs.live[:3] == [200, "OK", 11]
    assert runs.calls == ["urllib3.request"]
    assert len(web.seen) == 1


def test_redirects_cookies_and_compression(web: WebServer) -> None:
    def body() -> list[Any]:
        with requests.Session() as session:
            paths = ["/redirect", "/cookie", "/gzip", "/json"]
            return [facts(session.get(web.url(path))) for path in paths]

    runs = run(body)
    assert runs.replayed == runs.live
    assert [seen.target for seen in web.seen] == ["/redirect", "/json", "/cookie", "/gzip", "/json"]
    assert web.seen[-1].headers["Cookie"] == "visit=3"
    assert runs.live[0][7] == [web.url("/redirect")]
    assert runs.live[2][4] == b'{"count": 4}'
    assert runs.calls == ["urllib3.request"] * 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_reads_and_writes(web: WebServer, method: str) -> None:
    runs = run(lambda: requests.request(method, web.url("/json")).status_code)
    [entry] = requests_of(runs)
    reads = method in {"GET", "HEAD", "OPTIONS"}
    kind = FunctionType.READ_REMOTE if reads else FunctionType.WRITE_REMOTE
    assert entry.function_type == kind
    assert ("Idempotency-Key" in web.seen[0].headers) is not reads


def test_idempotency_keys(web: WebServer) -> None:
    def body() -> bool:
        mine = {"idempotency-key": "mine"}
        with requests.Session() as session:
            first = session.post(web.url("/json"), json={})
            session.post(web.url("/json"), json={})
            session.post(web.url("/json"), headers=mine)
        return "Idempotency-Key" in first.request.headers

    runs = run(body)
    keys = [
        next(v for k, v in s.headers.items() if k.lower() == "idempotency-key") for s in web.seen
    ]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
    assert runs.live is False


def test_retries_of_the_library(web: WebServer) -> None:
    def body() -> list[Any]:
        retry = urllib3.Retry(total=3, backoff_factor=0.001, status_forcelist=[503])
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retry))
            answer: Any = session.get(web.url("/status?code=503&times=2"))
            with pytest.raises(requests.exceptions.RetryError) as caught:
                session.get(web.url("/status?code=503&times=99"))
        return [answer.status_code, answer.raw.retries.total, str(caught.value)[-40:]]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[:2] == [200, 1]
    assert runs.calls.count("urllib3.request") == len(web.seen) == 3 + 4


def test_connections_are_kept_open_and_given_back(web: WebServer) -> None:
    pools: list[Any] = []

    def body() -> None:
        with urllib3.HTTPConnectionPool(
            "127.0.0.1", web.server_port, maxsize=1, block=True
        ) as pool:
            pools.append(pool)
            pool.request("GET", "/json")
            for _ in range(2):
                pool.request("GET", "/large", preload_content=False).close()
            streamed = pool.request("GET", "/stream?chunks=3", preload_content=False)
            assert b"".join(streamed.stream()).count(b";") == 3
            pool.request("GET", "/json", pool_timeout=60)

    run(body)
    live, replayed = pools
    assert live.num_connections == 1
    assert replayed.num_connections == 0


def test_large_bodies_are_recorded_in_pieces(web: WebServer) -> None:
    runs = run(lambda: requests.get(web.url("/large")).content)
    assert runs.live == runs.replayed == LARGE
    assert 1 < runs.calls.count("urllib3.read") <= -(-len(LARGE) // WHOLE_BODY_BYTES)
    assert len(web.seen) == 1


def test_large_bodies_stream(web: WebServer) -> None:
    def body() -> list[int]:
        with requests.get(web.url("/large"), stream=True) as response:
            return [len(chunk) for chunk in response.iter_content(1_000_000)]

    runs = run(body)
    assert runs.live == runs.replayed == [1_000_000] * 20 + [len(LARGE) % 1_000_000]


STREAMED: dict[str, Callable[[Any], Any]] = {
    "chunks": lambda r: list(r.iter_content(None)),
    "small chunks": lambda r: list(r.iter_content(2)),
    "lines": lambda r: list(r.iter_lines(delimiter=b";")),
    "raw": lambda r: [r.raw.read(3), r.raw.read(), r.raw.read()],
    "raw, as it comes": lambda r: [r.raw.read1(), r.raw.closed],
    "into": lambda r: [r.raw.readinto(bytearray(4)), r.raw.data],
    "twice": lambda r: [r.content, r.content, list(r.iter_content(5))],
    "too late": lambda r: [list(r.iter_content(None)), _failure(lambda: r.content)],
}


def _failure(call: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever the library says
        call()
    return repr(caught.value)


@pytest.mark.parametrize("reading", STREAMED)
@pytest.mark.parametrize("path", ["/stream?chunks=3", "/gzip", "/json"])
def test_streams(web: WebServer, reading: str, path: str) -> None:
    def body() -> Any:
        web.seen.clear()
        with requests.get(web.url(path), stream=True) as response:
            return STREAMED[reading](response)

    original = body()
    runs = run(body)
    assert runs.replayed == runs.live == original


def test_an_abandoned_stream(web: WebServer) -> None:
    def body() -> list[bytes]:
        with requests.Session() as session:
            response = session.get(web.url("/stream?chunks=900"), stream=True)
            chunks = response.iter_content(4)
            first = next(chunks)
            del chunks, response
            return [first, session.get(web.url("/json")).content]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == b"1-0;"


def test_streamed_request_bodies_are_agent_code(web: WebServer) -> None:
    state: list[int] = []

    def body() -> tuple[Any, list[int]]:
        state.clear()

        def parts() -> Iterator[bytes]:
            for i in range(3):
                state.append(i)
                yield b"part%d," % i

        return requests.post(web.url("/json"), data=parts()).json(), list(state)

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[1] == [0, 1, 2]
    [seen] = web.seen
    assert (seen.body, seen.headers["Transfer-Encoding"]) == (b"part0,part1,part2,", "chunked")


def test_uploads(web: WebServer) -> None:
    def body() -> list[Any]:
        array: Any = bytearray(b"array")
        content = io.BytesIO(b"content")
        files = {"file": ("a.txt", content, "text/plain")}
        return [
            requests.post(web.url("/json"), files=files, data={"x": "1"}).json()["method"],
            requests.put(web.url("/json"), data=io.BytesIO(b"of a file")).json()["body"],
            urllib3.request("PUT", web.url("/json"), body=io.StringIO("text")).json()["body"],
            urllib3.request("PUT", web.url("/json"), body=array).json()["body"],
            urllib3.request("PUT", web.url("/json"), body="text").json()["body"],
        ]

    runs = run(body)
    assert runs.replayed == runs.live == ["POST", "of a file", "text", "array", "text"]
    assert b"content" in web.seen[0].body
    assert web.seen[1].headers["Content-Length"] == "9"


def test_errors_are_outcomes(web: WebServer) -> None:
    web.hold.clear()
    tries: list[tuple[str, Any]] = [
        (web.url("/silent"), (60.0, 0.05)),
        ("http://127.0.0.1:9/", 60.0),
        (web.url("/broken"), 60.0),
        ("http://no.such.host.invalid/", 60.0),
    ]

    def body() -> list[str]:
        failures = []
        for url, timeout in tries:
            with pytest.raises(requests.RequestException) as caught:
                requests.get(url, timeout=timeout)
            failures.append(type(caught.value).__name__ + str(caught.value))
        return failures

    runs = run(body)
    names = ["ReadTimeout", "ConnectionError", "ChunkedEncodingError", "ConnectionError"]
    assert all(text.startswith(name) for text, name in zip(runs.live, names, strict=True))
    assert runs.replayed == runs.live


def test_a_stream_is_lost_in_a_crash(web: WebServer) -> None:
    web.hold.clear()

    def body() -> tuple[list[bytes], int, str]:
        chunks: list[bytes] = []
        answer = 0
        try:
            with requests.get(web.url("/stream?chunks=5"), stream=True) as response:
                for chunk in response.iter_content(None):
                    chunks.append(chunk)
                    if len(chunks) == 2:
                        answer = requests.post(web.url("/wait")).json()
        except requests.exceptions.ChunkedEncodingError as error:
            return chunks, answer, str(error)
        return chunks, answer, "nothing was lost"

    chunks, answer, message = crashed(body, web.held, web.hold)
    assert chunks == [b"1-0;", b"1-1;"]
    assert answer == 3
    assert "response stream lost in a crash" in message
    # The request that was under way is sent again, under the same key; so is that for the stream, which is
    # another one by then.
    stream = "/stream?chunks=5"
    assert [seen.target for seen in web.seen] == [stream, "/wait", "/wait", stream]
    assert web.seen[1].headers["Idempotency-Key"] == web.seen[2].headers["Idempotency-Key"]


def test_outside_agents_nothing_changes(web: WebServer) -> None:
    run(lambda: None)
    assert requests.post(web.url("/json"), data=b"x").json()["body"] == "x"
    assert "Idempotency-Key" not in web.seen[0].headers


def test_adapters_of_users_are_agent_code() -> None:
    class Canned(HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.url = 200, request.url
            response.raw = io.BytesIO(b"canned")
            return response

    def body() -> str:
        with requests.Session() as session:
            session.mount("test://", Canned())
            return session.get("test://x").text

    runs = run(body)
    assert runs.live == runs.replayed == "canned"
    assert runs.calls == []


def test_connections_taken_over_are_refused(web: WebServer) -> None:
    def body() -> None:
        with pytest.raises(NotDurableError, match="WebSocket"):
            requests.get(web.url("/json"), headers={"Upgrade": "websocket"})

    assert run(body).calls == []
    assert web.seen == []


def test_a_proxy_is_asked(web: WebServer) -> None:
    def body() -> int:
        proxies = {"http": f"http://me:canary-7@127.0.0.1:{web.server_port}"}
        return requests.get("http://example.invalid/json", proxies=proxies).status_code

    runs = run(body)
    assert runs.live == runs.replayed == 200
    assert web.seen[0].target == "http://example.invalid/json"
    assert web.seen[0].headers["Proxy-Authorization"].startswith("Basic ")
    [entry] = requests_of(runs)
    assert b"http://example.invalid/json" in entry.request  # type: ignore[operator]  # small enough to be in place


def test_no_secret_reaches_the_store(web: WebServer) -> None:
    canary = "canary-8086"

    def body() -> int:
        headers = {"Authorization": f"Bearer {canary}", "X-Api-Key": canary, "X-Else": canary}
        with requests.Session() as session:
            session.headers.update(headers)
            session.cookies.set("session", canary)
            url = web.url(f"/nowhere?api_key={canary}")
            return session.put(url, data={"password": canary}).status_code

    runs = run(body)
    assert canary in web.seen[0].headers["X-Api-Key"]
    assert canary in web.seen[0].headers["Cookie"]
    [entry] = requests_of(runs)
    assert b"<redacted:" in entry.request  # type: ignore[operator]  # small enough to be in place
    stored = [
        value for space in Space for _, value in runs.engine.scan(space, b"\x00", None, limit=1000)
    ]
    assert all(canary.encode() not in value for value in stored)


@pytest.mark.parametrize("library", [requests, urllib3], ids=["requests", "urllib3"])
def test_unknown_versions_warn_and_are_intercepted(
    library: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "__version__", "99.0")
    with pytest.warns(RuntimeWarning, match=r"99\.0"):
        assert Activator().activate(library.__name__)


def test_versions_built_otherwise_warn_and_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        urllib3.connectionpool.HTTPConnectionPool, "_make_request", lambda pool, conn: None
    )
    with pytest.warns(RuntimeWarning, match="not durable"):
        assert Activator().activate("urllib3") == []

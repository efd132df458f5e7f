"""HTTP through httpx and httpx2 in synchronous agents: requests are sent once, replay sends none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.activation import Activator
from golem_sdk.intercept.http import WHOLE_BODY_BYTES
from golem_sdk.storage.base import Space
from intercept.replaying import Runs, crashed, run, run_async, same
from intercept.web import LARGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from intercept.web import WebServer


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def requests_of(runs: Runs) -> list[ImportedFunctionInvoked]:
    return [
        entry
        for entry in runs.entries
        if isinstance(entry, ImportedFunctionInvoked) and entry.function_name.endswith(".request")
    ]


def facts(response: Any) -> dict[str, Any]:
    """Everything that a caller can see of a response."""
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "version": response.http_version,
        "headers": response.headers.raw,
        "content": response.content,
        "url": str(response.url),
        "elapsed": response.elapsed,
        "history": [str(each.url) for each in response.history],
        "cookies": dict(response.cookies),
        "downloaded": response.num_bytes_downloaded,
        "extensions": response.extensions,
    }


def test_a_response_is_the_same_on_replay(library: Any, web: WebServer) -> None:
    runs = run(lambda: facts(library.get(web.url("/json"))))
    assert len(web.seen) == 1
    assert runs.replayed == runs.live
    assert runs.live["version"] == "HTTP/1.1"
    assert runs.live["reason"] == "OK"
    assert runs.live["elapsed"].total_seconds() >= 0
    assert runs.calls == [f"{library.__name__}.request"]


def test_redirects_cookies_and_compression(library: Any, web: WebServer) -> None:
    def body() -> list[Any]:
        with library.Client(follow_redirects=True) as client:
            paths = ["/redirect", "/cookie", "/gzip", "/json"]
            return [facts(client.get(web.url(path))) for path in paths]

    runs = run(body)
    assert runs.replayed == runs.live
    assert [seen.target for seen in web.seen] == ["/redirect", "/json", "/cookie", "/gzip", "/json"]
    assert web.seen[-1].headers["Cookie"] == "visit=3"
    assert runs.live[0]["history"] == [web.url("/redirect")]
    assert runs.live[2]["content"] == b'{"count": 4}'
    assert runs.calls == [f"{library.__name__}.request"] * 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_reads_and_writes(library: Any, web: WebServer, method: str) -> None:
    runs = run(lambda: library.request(method, web.url("/json")).status_code)
    [entry] = requests_of(runs)
    reads = method in {"GET", "HEAD", "OPTIONS"}
    kind = FunctionType.READ_REMOTE if reads else FunctionType.WRITE_REMOTE
    assert entry.function_type == kind
    assert ("Idempotency-Key" in web.seen[0].headers) is not reads


def test_idempotency_keys(library: Any, web: WebServer) -> None:
    def body() -> bool:
        with library.Client() as client:
            request = client.build_request("POST", web.url("/json"), json={})
            client.send(request)
            client.send(request)
            client.post(web.url("/json"), headers={"Idempotency-Key": "mine"})
            return "Idempotency-Key" in request.headers

    runs = run(body)
    first, second, own = (seen.headers["Idempotency-Key"] for seen in web.seen)
    assert first != second
    assert own == "mine"
    assert runs.live is False


def test_large_bodies_are_recorded_in_pieces(library: Any, web: WebServer) -> None:
    runs = run(lambda: library.get(web.url("/large")).content)
    assert runs.live == runs.replayed == LARGE
    pieces = -(-len(LARGE) // WHOLE_BODY_BYTES)
    assert runs.calls.count(f"{library.__name__}.request") == 1
    assert 1 < runs.calls.count(f"{library.__name__}.read") <= pieces + 1


def test_a_stream_is_replayed_in_the_same_chunks(library: Any, web: WebServer) -> None:
    def body() -> tuple[list[bytes], Any]:
        with library.stream("GET", web.url("/stream?chunks=5")) as response:
            chunks = list(response.iter_raw())
        return chunks, response.elapsed

    runs = run(body)
    assert b"".join(runs.live[0]) == b"1-0;1-1;1-2;1-3;1-4;"
    assert runs.replayed == runs.live
    # One call for each chunk, and one that finds the end.
    assert runs.calls.count(f"{library.__name__}.read") == len(runs.live[0]) + 1


def test_who_reads_everything_anyway_gets_one_entry(library: Any, web: WebServer) -> None:
    runs = run(lambda: library.get(web.url("/stream?chunks=5")).text)
    assert runs.live == runs.replayed == "1-0;1-1;1-2;1-3;1-4;"
    assert runs.calls == [f"{library.__name__}.request"]


def test_a_small_body_is_recorded_with_its_head(library: Any, web: WebServer) -> None:
    def body() -> list[bytes]:
        with library.stream("GET", web.url("/json")) as response:
            return list(response.iter_raw())

    runs = run(body)
    assert runs.replayed == runs.live == [b'{"count": 1, "method": "GET", "body": ""}']
    assert runs.calls == [f"{library.__name__}.request"]


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/large"), ("DELETE", "/nothing")])
def test_an_answer_without_a_body_is_recorded_at_once(
    library: Any, web: WebServer, method: str, path: str
) -> None:
    def body() -> bytes:
        with library.stream(method, web.url(path)) as response:
            return bytes(response.read())

    async def body_async() -> bytes:
        async with library.AsyncClient() as client, client.stream(method, web.url(path)) as answer:
            return bytes(await answer.aread())

    for runs in (run(body), run_async(body_async)):
        assert same(runs) == b""
        assert runs.calls == [f"{library.__name__}.request"]


def test_an_abandoned_stream(library: Any, web: WebServer) -> None:
    def body() -> list[bytes]:
        with library.Client() as client:
            with client.stream("GET", web.url("/stream?chunks=900")) as response:
                first = next(response.iter_raw())
            return [first, client.get(web.url("/json")).content]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[0].startswith(b"1-0;")


def test_streamed_request_bodies_are_agent_code(library: Any, web: WebServer) -> None:
    state: list[int] = []

    def body() -> tuple[Any, list[int]]:
        state.clear()

        def parts() -> Iterator[bytes]:
            for i in range(3):
                state.append(i)
                yield b"part%d," % i

        answer = library.post(web.url("/json"), content=parts()).json()
        return answer, list(state)

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live[1] == [0, 1, 2]
    assert web.seen[0].body == b"part0,part1,part2,"
    assert len(web.seen) == 1


def test_uploads(library: Any, web: WebServer) -> None:
    files = {"file": ("a.txt", b"content", "text/plain")}
    runs = run(lambda: library.post(web.url("/json"), files=files, data={"x": "1"}).json())
    assert runs.replayed == runs.live
    assert b"content" in web.seen[0].body


def test_errors_are_outcomes(library: Any, web: WebServer) -> None:
    web.hold.clear()

    def body() -> list[tuple[str, str, str]]:
        failures = []
        for url, timeout in [
            (web.url("/silent"), library.Timeout(60.0, read=0.01)),
            ("http://127.0.0.1:9/", 60.0),
            (web.url("/broken"), 60.0),
        ]:
            with pytest.raises(library.TransportError) as caught:
                library.get(url, timeout=timeout)
            failures.append(
                (type(caught.value).__name__, str(caught.value), str(caught.value.request.url))
            )
        return failures

    runs = run(body)
    assert [name for name, _, _ in runs.live] == [
        "ReadTimeout",
        "ConnectError",
        "RemoteProtocolError",
    ]
    assert runs.replayed == runs.live


def test_a_stream_that_breaks(library: Any, web: WebServer) -> None:
    def body() -> tuple[list[bytes], str]:
        chunks: list[bytes] = []
        with (
            pytest.raises(library.TransportError) as caught,
            library.stream("GET", web.url("/broken")) as response,
        ):
            chunks.extend(response.iter_raw())
        return chunks, type(caught.value).__name__

    runs = run(body)
    assert runs.live == runs.replayed == ([b"half"], "RemoteProtocolError")


def test_a_stream_is_lost_in_a_crash(library: Any, web: WebServer) -> None:
    web.hold.clear()

    def body() -> tuple[list[bytes], int, str]:
        chunks: list[bytes] = []
        answer = 0
        try:
            with library.stream("GET", web.url("/stream?chunks=5")) as response:
                for chunk in response.iter_raw():
                    chunks.append(chunk)
                    if len(chunks) == 2:
                        answer = library.post(web.url("/wait")).json()
        except library.ReadError as error:
            return chunks, answer, str(error)
        return chunks, answer, "nothing was lost"

    chunks, answer, message = crashed(body, web.held, web.hold)
    assert chunks == [b"1-0;", b"1-1;"]
    assert answer == 3
    assert message.startswith("response stream lost in a crash: the first 8 bytes")
    # The request that was under way is sent again, under the same key; so is that for the stream, which is
    # another one by then.
    stream = "/stream?chunks=5"
    assert [seen.target for seen in web.seen] == [stream, "/wait", "/wait", stream]
    assert web.seen[1].headers["Idempotency-Key"] == web.seen[2].headers["Idempotency-Key"]


def test_outside_agents_nothing_changes(library: Any, web: WebServer) -> None:
    run(lambda: None)
    response = library.post(web.url("/json"), content=b"x")
    assert "network_stream" in response.extensions
    assert "Idempotency-Key" not in web.seen[0].headers
    with library.stream("GET", web.url("/stream?chunks=2")) as streamed:
        assert b"".join(streamed.iter_raw()) == b"2-0;2-1;"


def test_transports_of_users_are_agent_code(library: Any) -> None:
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(str(request.url))
        return library.Response(200, text="mocked")

    def body() -> str:
        with library.Client(transport=library.MockTransport(answer)) as client:
            return str(client.get("http://example.invalid/").text)

    runs = run(body)
    assert runs.live == runs.replayed == "mocked"
    assert runs.calls == []
    assert len(asked) == 2


@pytest.mark.parametrize("headers", [{"Upgrade": "websocket"}, {"upgrade": "h2c"}])
def test_connections_taken_over_are_refused(
    library: Any, web: WebServer, headers: dict[str, str]
) -> None:
    def body() -> None:
        with pytest.raises(NotDurableError, match="WebSocket"):
            library.get(web.url("/json"), headers=headers)

    assert run(body).calls == []
    assert web.seen == []


def test_no_secret_reaches_the_store(library: Any, web: WebServer) -> None:
    canary = "canary-8086"

    def body() -> int:
        url = web.url(f"/json?api_key={canary}").replace(
            "127.0.0.1", f"{canary}:{canary}@127.0.0.1"
        )
        headers = {"Authorization": f"Bearer {canary}", "X-Api-Key": canary, "X-Else": canary}
        cookies = {"session": canary}
        data = {"password": canary}
        with library.Client(headers=headers, cookies=cookies) as client:
            return int(client.put(url, data=data).status_code)

    runs = run(body)
    assert canary in web.seen[0].headers["X-Api-Key"]
    assert canary.encode() in web.seen[0].body
    # The server echoes the body in its answer, which is recorded: agent code needs it on replay.
    [entry] = requests_of(runs)
    stored = [
        value for space in Space for _, value in runs.engine.scan(space, b"\x00", None, limit=1000)
    ]
    assert canary.encode() not in entry.request  # type: ignore[operator]  # small enough to be in place
    assert b"<redacted:" in entry.request  # type: ignore[operator]  # as above
    assert sum(value.count(canary.encode()) for value in stored) == 1


def test_other_secrets_at_replay_do_no_harm(library: Any, web: WebServer) -> None:
    keys = iter(["first", "second"])

    def body() -> Any:
        key = next(keys)
        headers = {"Authorization": key}
        return library.get(web.url(f"/json?token={key}"), headers=headers).json()

    runs = run(body)
    assert runs.live == runs.replayed


def test_unknown_versions_warn_and_are_intercepted(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "__version__", "99.0")
    with pytest.warns(RuntimeWarning, match=r"99\.0"):
        assert Activator().activate(library.__name__)


def test_versions_built_otherwise_warn_and_are_left_alone(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(library, "AsyncHTTPTransport")
    with pytest.warns(RuntimeWarning, match="not durable"):
        assert Activator().activate(library.__name__) == []

"""HTTP clients, and the SDKs that build on them."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["HTTP"]

_PROBE = "one probe of the async client is done unrecorded; requests go through httpx or httpx2"
_HTTPX = (
    "GET, HEAD and OPTIONS are reads, the rest are writes with an `Idempotency-Key`; responses are recorded "
    "as they are, request bodies by hash. Where a crash, or a wait for which the agent was unloaded, has cut "
    "a body (one that is streamed, or longer than 8 MiB), a read is sent again, and goes on if all that had "
    "come comes again; a write, only if nothing of the body had come, not after an error status, and not "
    "under `idempotence_mode(False)`. Else it ends in the library's read error: send the request again. Such "
    "a body is read by the agent or by a `@durable` function, not by both. A client that a `@durable` "
    "function closes is open again after it. Not transports of one's own, `network_stream`, trailers; "
    "WebSockets are refused"
)

_URLLIB3 = (
    "as httpx, but to go on after a crash a body must come in the same chunks, too; files and iterators as "
    "request bodies are read into memory first. Not HTTP/2, nor "
    "`response.connection`; urllib3 1 is not intercepted"
)
_REQUESTS = (
    "tells urllib3 whether the body is streamed. Not adapters of one's own that do without urllib3"
)

_HTTP_CLIENT = (
    "as urllib3, and so urllib.request and xmlrpc; request bodies are read into memory first. Not `sock` of "
    "a connection, which replay does not have"
)

_AIOHTTP = (
    "as httpx; bodies are recorded unpacked, streamed request bodies are collected first. A `ClientSession` "
    "is of the agent that has made it: its `@durable` functions are refused to close it. Not connectors that "
    "connect in a way of their own, nor the ends of chunks in `iter_chunks`; WebSockets are refused"
)

_WEBSOCKETS = (
    "opening, every whole message and closing are calls each; a sent message is recorded by its hash, and "
    "has no idempotency key. A connection that a crash took is opened again if no message has passed over "
    "it; else the next call raises `ConnectionClosedError`: connect again, as "
    "`async for websocket in connect(...)` does. Messages in parts, `ping`, `pong`, `request`, `latency`, "
    "`sock` and `create_connection` are refused; not `websockets.legacy`, nor connections opened outside "
    "agents"
)

_MCP = (
    "over stdio a request with its answer is one call, a tool's a write; over HTTP as httpx2, where an "
    "answer that a crash has cut after its beginning raises `MCPError`. After a crash a server of stdio is "
    "started anew and initialized as before: what else it remembered is lost. Notifications come with the "
    "next answer. Sessions that offer sampling, elicitation or roots are refused"
)


def _exchanges(kind: str, names: str) -> Replaced:
    return Replaced(kind, names, (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE))


def _httpx(library: str, tested: tuple[str, str]) -> Interceptor:
    return Interceptor(
        name=library,
        library=library,
        tested=tested,
        adapters={library: "golem_sdk.intercept.httpx:httpx_patches"},
        replaces=(
            _exchanges(f"{library}.HTTPTransport", "handle_request"),
            _exchanges(f"{library}.AsyncHTTPTransport", "handle_async_request"),
            Replaced(f"{library}.AsyncHTTPTransport", "aclose __aexit__", Treatment.PASSED_ON),
            Replaced(f"{library}.Client", "send close __enter__ __exit__", Treatment.PASSED_ON),
            Replaced(
                f"{library}.AsyncClient", "send aclose __aenter__ __aexit__", Treatment.PASSED_ON
            ),
        ),
        limits=_HTTPX,
    )


def _model_sdk(library: str, tested: tuple[str, str]) -> Interceptor:
    module = f"{library}._base_client"
    return Interceptor(
        name=library,
        library=library,
        tested=tested,
        adapters={module: "golem_sdk.intercept.llm:probe_patches"},
        replaces=(Replaced(module, "asyncify", Treatment.PASSED_ON),),
        limits=_PROBE,
    )


_POOL = "urllib3.connectionpool.HTTPConnectionPool"

HTTP = (
    _httpx("httpx", ("0.27", "0.28")),
    _httpx("httpx2", ("2", "2")),
    Interceptor(
        name="urllib3",
        library="urllib3",
        tested=("2.0", "2.8"),
        adapters={"urllib3": "golem_sdk.intercept.urllib3:urllib3_patches"},
        replaces=(
            _exchanges(_POOL, "_make_request"),
            Replaced(_POOL, "_get_conn _put_conn close", Treatment.PASSED_ON),
        ),
        limits=_URLLIB3,
    ),
    Interceptor(
        name="requests",
        library="requests",
        tested=("2.32", "2.34"),
        adapters={"requests": "golem_sdk.intercept.urllib3:requests_patches"},
        replaces=(Replaced("requests.sessions.Session", "send", Treatment.PASSED_ON),),
        limits=_REQUESTS,
    ),
    Interceptor(
        name="http.client",
        adapters={"http.client": "golem_sdk.intercept.http_client:http_client_patches"},
        replaces=(
            _exchanges("http.client.HTTPConnection", "request getresponse"),
            Replaced("http.client.HTTPConnection", "connect", Treatment.READ_REMOTE),
            Replaced("http.client.HTTPSConnection", "connect", Treatment.READ_REMOTE),
            Replaced("http.client.HTTPConnection", "send close", Treatment.PASSED_ON),
        ),
        limits=_HTTP_CLIENT,
    ),
    Interceptor(
        name="aiohttp",
        library="aiohttp",
        tested=("3.14", "3.14"),
        adapters={"aiohttp": "golem_sdk.intercept.aiohttp:aiohttp_patches"},
        replaces=(
            _exchanges("aiohttp.connector.BaseConnector", "connect"),
            Replaced("aiohttp.connector.BaseConnector", "close", Treatment.PASSED_ON),
        ),
        limits=_AIOHTTP,
    ),
    Interceptor(
        name="websockets",
        library="websockets",
        tested=("17.4", "17.4"),
        adapters={
            "websockets.asyncio.client": "golem_sdk.intercept.websockets:asyncio_patches",
            "websockets.sync.client": "golem_sdk.intercept.websockets:sync_patches",
        },
        replaces=(
            _exchanges("websockets.asyncio.client.connect", "connect"),
            _exchanges("websockets.sync.client.reconnect", "connect"),
        ),
        limits=_WEBSOCKETS,
    ),
    Interceptor(
        name="mcp",
        library="mcp",
        tested=("2.3", "2.3"),
        adapters={"mcp.client.stdio": "golem_sdk.intercept.mcp:stdio_patches"},
        replaces=(_exchanges("mcp.client.stdio", "stdio_client"),),
        limits=_MCP,
    ),
    _model_sdk("anthropic", ("2", "2")),
    _model_sdk("openai", ("3", "3")),
)

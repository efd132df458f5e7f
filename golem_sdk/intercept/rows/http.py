"""HTTP clients, and the SDKs that build on them."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["HTTP"]

_PROBE = "one probe of the async client is done unrecorded; requests go through httpx or httpx2"
_HTTPX = (
    "GET, HEAD and OPTIONS are reads, the rest are writes with an `Idempotency-Key`; responses are recorded "
    "as they are, request bodies by hash. Not transports of one's own, `network_stream`, trailers; "
    "WebSockets are refused"
)


def _httpx(library: str, tested: tuple[str, str]) -> Interceptor:
    exchange = (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE)
    return Interceptor(
        name=library,
        library=library,
        tested=tested,
        adapters={library: "golem_sdk.intercept.httpx:httpx_patches"},
        replaces=(
            Replaced(f"{library}.HTTPTransport", "handle_request", exchange),
            Replaced(f"{library}.AsyncHTTPTransport", "handle_async_request", exchange),
            Replaced(f"{library}.AsyncHTTPTransport", "aclose __aexit__", Treatment.PASSED_ON),
            Replaced(f"{library}.Client", "send", Treatment.PASSED_ON),
            Replaced(f"{library}.AsyncClient", "send", Treatment.PASSED_ON),
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


HTTP = (
    _httpx("httpx", ("0.27", "0.28")),
    _httpx("httpx2", ("2", "2")),
    _model_sdk("anthropic", ("2", "2")),
    _model_sdk("openai", ("3", "3")),
)

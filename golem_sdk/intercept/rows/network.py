"""Connections of asyncio itself."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["NETWORK"]

NETWORK = (
    Interceptor(
        name="connections",
        adapters={
            "golem_sdk.runtime.refusals": "golem_sdk.intercept.asyncio_connections:loop_patches"
        },
        replaces=(
            Replaced(
                "golem_sdk.runtime.refusals.BareLoop",
                "create_connection create_unix_connection start_tls",
                (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE),
            ),
            Replaced(
                "golem_sdk.runtime.refusals.BareLoop",
                "getaddrinfo getnameinfo",
                Treatment.READ_REMOTE,
            ),
        ),
        limits="what `asyncio.open_connection`, `open_unix_connection` and client libraries with asyncio "
        "protocols of their own end in: every piece that arrives (recorded as it is) and every write (by "
        "hash: replay must write the same) is one call. A connection that a crash took is opened again if "
        "nothing has passed over it; else its protocol is told `ConnectionResetError`: connect again. One "
        "that is open keeps its agent in memory during an invocation, and ends where more than "
        "`max_received_bytes` arrive. Servers, datagrams, `sock_*`, `sock=`, `sendfile` and what the socket "
        "itself gives are refused",
    ),
)

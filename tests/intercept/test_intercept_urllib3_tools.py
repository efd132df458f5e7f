"""Other tools that stand between urllib3 and its connections, as those that record for tests do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from urllib3.connectionpool import HTTPConnectionPool

from intercept.replaying import run

if TYPE_CHECKING:
    import pytest

    from intercept.web import WebServer


def test_a_tool_gets_a_connection_of_the_pools_class(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> str:
        asked_before = HTTPConnectionPool._get_conn

        def asked(pool: Any, timeout: float | None = None) -> Any:
            """Asks until it gets one of them, as vcrpy does; but not for ever."""
            found = (asked_before(pool, timeout) for _ in range(9))
            return next(each for each in found if isinstance(each, pool.ConnectionCls))

        with monkeypatch.context() as context:
            context.setattr(HTTPConnectionPool, "_get_conn", asked)
            return str(requests.get(web.url("/json")).json()["method"])

    runs = run(body)
    assert runs.replayed == runs.live == "GET"
    assert runs.calls == ["urllib3.request"]

"""A web server for the interceptors of HTTP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from intercept.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server

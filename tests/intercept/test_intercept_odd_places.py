"""Requests of each HTTP library from odd places: a finaliser, a class body, the top level of a module."""

from __future__ import annotations

import http.client
import importlib
import sys
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import httpx2
import pytest
import requests
import urllib3

from intercept.replaying import run
from intercept.suite.cases_llm import TLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from intercept.web import WebServer


def by_http_client(url: str) -> str:
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(http.client.HTTPConnection(host)) as connection:
        connection.request("GET", f"/{path}")
        return connection.getresponse().read().decode()


def by_urllib(url: str) -> str:
    with urllib.request.urlopen(url) as response:
        return str(response.read().decode())


GET: dict[str, Callable[[str], str]] = {
    "http.client": by_http_client,
    "httpx": lambda url: httpx.get(url, verify=TLS).text,
    "httpx2": lambda url: httpx2.get(url, verify=TLS).text,
    "requests": lambda url: requests.get(url).text,
    "urllib.request": by_urllib,
    "urllib3": lambda url: urllib3.request("GET", url).data.decode(),
}

each = pytest.mark.parametrize("library", GET)


@each
def test_a_finaliser_that_a_count_of_references_runs_is_agent_code(
    library: str, web: WebServer
) -> None:
    heard: list[str] = []

    class Leaver:
        def __del__(self) -> None:
            heard.append(GET[library](web.url("/json")))

    def body() -> list[str]:
        leaver = Leaver()
        del leaver
        return heard[-1:]

    runs = run(body)
    assert runs.replayed == runs.live
    assert '"count": 1' in runs.live[0]
    assert len(heard) == 2
    assert len(web.seen) == 1


@each
def test_the_body_of_a_class_is_agent_code(library: str, web: WebServer) -> None:
    def body() -> str:
        class Settings:
            text = GET[library](web.url("/json"))

        return Settings.text

    runs = run(body)
    assert runs.replayed == runs.live
    assert '"count": 1' in runs.live
    assert len(web.seen) == 1


@each
def test_the_top_level_of_a_module_is_nobodys(
    library: str, web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"asks_by_{library.replace('.', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "from intercept.test_intercept_odd_places import GET\n"
        f"TEXT = GET[{library!r}]({web.url('/json')!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def body() -> str:
        return str(importlib.import_module(name).TEXT)

    try:
        runs = run(body)
    finally:
        sys.modules.pop(name, None)
    assert runs.replayed == runs.live
    assert runs.calls == []
    assert len(web.seen) == 1

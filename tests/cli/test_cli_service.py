"""The demo's service keeps its wits when clients are killed while they talk to it."""

from __future__ import annotations

import json
import socket
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from golem_sdk.cli.demo.ledger import Ledger, read_ledger
from golem_sdk.cli.demo.service import Service
from golem_sdk.cli.demo.shop import CHARGE, SUMMARIZE, page_text, summary_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BILL = {"order": "order-1", "cents": 5}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(Ledger(tmp_path / "ledger"), "test", pace=0) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as connected:
        yield connected


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_same_key_gets_the_same_answer(
    client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        client.post(CHARGE, json=BILL, headers={"Idempotency-Key": key}) for key in ("a", "a", "b")
    ]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    assert [row.repeated for row in read_ledger(tmp_path / "ledger")] == [False, True, False]
    effects = [event for event in told(capsys) if event["event"] == "effect"]
    assert [event["repeated"] for event in effects] == [False, True, False]


def test_a_key_is_good_for_one_thing(client: httpx.Client) -> None:
    client.post(CHARGE, json=BILL, headers={"Idempotency-Key": "a"})
    other = client.post(CHARGE, json={**BILL, "cents": 6}, headers={"Idempotency-Key": "a"})
    assert other.status_code == 422


def test_pages_and_streams(client: httpx.Client) -> None:
    pages = client.get("/pages/tides").json()
    assert client.get(pages[0]).text == page_text(pages[0])
    with client.stream("POST", SUMMARIZE, json={"topic": "tides"}) as answer:
        assert "".join(answer.iter_text()) == "".join(summary_words("tides"))


@pytest.mark.parametrize("path", ["/", "/pages/nothing", "/pages/tides/99"])
def test_what_is_not_there(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == client.post(path).status_code == 404


def test_half_a_request_has_no_effect(
    service: Service, client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", service.server_port)) as connection:
        head = f"POST {CHARGE} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        connection.sendall(f'{head}{{"or'.encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""  # it hung up
    assert client.get("/orders/order-1").status_code == 200
    assert read_ledger(tmp_path / "ledger") == []
    assert capsys.readouterr().err == ""

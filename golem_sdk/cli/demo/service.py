"""The demo's outside world: a small HTTP service with slow answers and a witness ledger.

Runs as a process of its own (``python -m golem_sdk.cli.demo.service``) and lives as long as its standard
input is open. Reads: orders and pages. Effects: reservations, charges, shipments, and answers of a
"model", which arrive word by word. It does no more for exactly-once than any decent payment provider: an
effect is bound to the request's Idempotency-Key, and a key that was seen gets the first answer again.

What it sees it also tells on standard output, one JSON object per line, for whoever watches.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from golem_sdk import originals
from golem_sdk.cli.demo import shop
from golem_sdk.cli.demo.family import die_with_parent
from golem_sdk.cli.demo.ledger import Ledger

__all__ = ["Service"]

_LATENCY_S = (0.01, 0.07)  # before and again after an effect: kills fall on either side of it
_WORD_S = (0.01, 0.04)


class Service(ThreadingHTTPServer):
    """One instance of the service on a free port of this machine.

    Args:
        ledger: where its effects are witnessed.
        name: goes with everything it tells.
        pace: factor on all waiting; 0 answers at once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, ledger: Ledger, name: str, pace: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ledger = ledger
        self.name = name
        self._pace = pace
        self._mouth = Lock()
        self._dice = random.Random(name)

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://127.0.0.1:{self.server_port}"

    def tell(self, **what: Any) -> None:
        """One line on standard output."""
        with self._mouth:
            print(json.dumps({"service": self.name, **what}), flush=True)

    def wait(self, range_s: tuple[float, float]) -> None:
        """Be as slow as a real service."""
        if self._pace:
            originals.sleep(self._dice.uniform(*range_s) * self._pace)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients get killed here: a broken connection is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_GET(self) -> None:
        self.server.tell(event="request", path=self.path)
        self.server.wait(_LATENCY_S)
        match self.path.split("/"):
            case ["", "orders", name]:
                lines = shop.order_named(name).lines
                self._answer([{"item": line.item, "quantity": line.quantity} for line in lines])
            case ["", "pages", topic] if topic in shop.TOPICS:
                self._answer(shop.pages_of(topic))
            case ["", "pages", topic, _] if self.path in shop.pages_of(topic):
                self.server.tell(event="read", path=self.path)
                self._send(200, "text/plain", shop.page_text(self.path).encode())
            case _:
                self._answer({"error": f"nothing at {self.path}"}, 404)

    def do_POST(self) -> None:
        server = self.server
        server.tell(event="request", path=self.path)
        if self.path not in (shop.RESERVE, shop.CHARGE, shop.SHIP, shop.SUMMARIZE):
            self._answer({"error": f"nothing at {self.path}"}, 404)
            return
        length = int(self.headers["Content-Length"])
        sent = self.rfile.read(length)
        if len(sent) < length:  # the client was killed while it asked
            self.close_connection = True
            return
        body = json.loads(sent)
        subject, answer = shop.answer_to(self.path, body)
        server.wait(_LATENCY_S)
        row = server.ledger.witness(self.path, subject, self.headers["Idempotency-Key"], body)
        server.tell(event="effect", endpoint=self.path, subject=subject, repeated=row.repeated)
        server.wait(_LATENCY_S)
        if row.conflict:
            self._answer({"error": "this Idempotency-Key was used for something else"}, 422)
        elif self.path == shop.SUMMARIZE:
            self._stream(subject, answer["words"])
        else:
            self._answer(answer)

    def _answer(self, value: object, status: int = 200) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, topic: str, words: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for count, word in enumerate(words, start=1):
            self.wfile.write(f"{len(word):x}\r\n{word}\r\n".encode())
            self.server.tell(event="word", topic=topic, count=count)
            self.server.wait(_WORD_S)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


def _main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--instance", nargs=3, action="append", metavar=("NAME", "LEDGER", "PACE"))
    threads = []
    for name, path, pace in parser.parse_args().instance:
        service = Service(Ledger(Path(path)), name, float(pace))
        threads.append(Thread(target=service.serve_forever, name=name))
        threads[-1].start()
        service.tell(event="ready", url=service.url)
    for (
        thread
    ) in threads:  # from Python 3.12 on, nobody starts a thread once the main thread has ended
        thread.join()


if __name__ == "__main__":
    _main()

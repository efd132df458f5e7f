"""A server that writes down every request, on disk, before it answers. Run: ``witness.py LEDGER [telling]``.

It prints its port, and if it is telling, a dot for each row that it has written. Each row of the ledger is
``[idempotency key, path, body]`` as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any


class Witness(ThreadingHTTPServer):
    """Keeps the ledger; one row at a time."""

    daemon_threads = True

    def __init__(self, ledger: Path, telling: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rows = ledger.open("a", encoding="utf-8")
        self.telling = telling
        self.mutex = Lock()

    def note(self, row: list[str]) -> None:
        with self.mutex:
            self.rows.write(json.dumps(row) + "\n")
            self.rows.flush()
            os.fsync(self.rows.fileno())
            if self.telling:
                os.write(1, b".")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of ours."""


class Handler(BaseHTTPRequestHandler):
    """Answers a POST with its own body."""

    disable_nagle_algorithm = True  # or clients wait 40 ms for a body that follows its header
    protocol_version = "HTTP/1.1"
    server: Witness

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length).decode()
        if len(body) < length:  # the client was killed while it sent: no request was made
            self.close_connection = True
            return
        self.server.note([self.headers["Idempotency-Key"], self.path, body])
        answer = json.dumps({"path": self.path, "body": body}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    witness = Witness(Path(sys.argv[1]), "telling" in sys.argv[2:])
    print(witness.server_address[1], flush=True)
    witness.serve_forever()

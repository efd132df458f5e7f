"""Fake services for whole programs: they answer each question alike, and remember who asked what."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Answer", "Services", "calls", "completion", "says"]


@frozen
class Answer:
    """A response: what is sent as JSON, with which status and headers."""

    value: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Services(ThreadingHTTPServer):
    """Serves until the ``with`` block ends.

    What is answered must follow from the request alone: after a crash a question may be asked again, and
    the story must go on as it would have.

    Args:
        answer: gives the response to a method, a target and a body.

    Attributes:
        ledger: idempotency key, method, target and body of every request, in the order of their arrival.
        arrived: released once for each.
        place: what programs are told of: the URL.
        left: what they have left there besides, when it is over.
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[str, str, bytes], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.ledger: list[tuple[str, str, str, bytes]] = []
        self.arrived = threading.Semaphore(0)
        self.place = self.url = f"http://127.0.0.1:{self.server_port}"
        self.left: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed hang up."""


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # or every answer waits 40 ms for the client
    protocol_version = "HTTP/1.1"
    server: Services

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass

    def do_GET(self) -> None:  # the base class finds it by this name
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Idempotency-Key", "")
        self.server.ledger.append((key, self.command, self.path, body))
        self.server.arrived.release()
        answer = self.server.answer(self.command, self.path, body)
        data = json.dumps(answer.value).encode()
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815  # as above


# --- a language model --------------------------------------------------------------------------------


def says(text: str) -> dict[str, Any]:
    """A model's message."""
    return {"role": "assistant", "content": text}


def calls(*tools: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A model's message that calls tools, all at once."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call-{name}-{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(tools)
        ],
    }


def completion(message: dict[str, Any]) -> Answer:
    """What ``/v1/chat/completions`` of OpenAI answers."""
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    return Answer(
        {
            "id": "completion",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "fake",
            "choices": [{"index": 0, "finish_reason": reason, "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )

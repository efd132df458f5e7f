"""A small web server in a thread of the test process, and what it saw."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["Seen", "WebServer"]

LARGE = bytes(range(256)) * 81_920  # 20 MiB


class Seen:
    """One request as it arrived, and from which host."""

    def __init__(
        self, method: str, target: str, headers: dict[str, str], body: bytes, client: str
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.client = client


class WebServer(ThreadingHTTPServer):
    """Serves until the ``with`` block ends.

    Attributes:
        seen: the requests, in the order of their arrival.
        hold: ``/wait`` and ``/silent`` do not answer until this is set, ``/half`` stops in the middle, a
            stream before the part that is asked for as ``pause``, and a model named ``slow`` after its first
            word.
        held: set when one of the first two was asked.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.hold = threading.Event()
        self.hold.set()
        self.held = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = (
        True  # or a body that follows its header late waits 40 ms for the client
    )
    protocol_version = "HTTP/1.1"
    server: WebServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass

    def do_GET(self) -> None:  # the base class finds it by this name
        self._answer()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815  # as above

    def _answer(self) -> None:
        body = self._body()
        seen = Seen(self.command, self.path, dict(self.headers), body, self.client_address[0])
        self.server.seen.append(seen)
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        count = len(self.server.seen)
        match url.path:
            case "/redirect":
                self._send(302, b"", {"Location": "/json"})
            case "/json":
                self._json({"count": count, "method": self.command, "body": body.decode()})
            case "/gzip":
                packed = gzip.compress(json.dumps({"count": count}).encode(), mtime=0)
                self._send(200, packed, {"Content-Encoding": "gzip"})
            case "/cookie":
                self._send(200, b"", {"Set-Cookie": f"visit={count}; Path=/"})
            case "/status":
                status = int(query["code"]) if count <= int(query["times"]) else 200
                later = {"Retry-After": query["later"]} if "later" in query else {}
                self._send(status, b"{}", {"Retry-After-Ms": "1", **later})
            case "/nothing":
                self.send_response(204)
                self.end_headers()
            case "/large":
                self._send(200, LARGE, {})
            case "/stream" | "/same":
                self._parts(query, str(count) if url.path == "/stream" else "same")
            case "/broken":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
                self.close_connection = True
            case "/half":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                self.server.hold.wait()
                self.close_connection = True
            case "/silent" | "/wait":
                self.server.held.set()
                self.server.hold.wait()
                if url.path == "/wait":
                    self._json(count)
                self.close_connection = True
            case "/v1/chat/completions" | "/v1/messages":
                self._model(json.loads(body), count)
            case _:
                self._send(404, b"{}", {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(
        self, chunks: Iterator[bytes], content_type: str = "text/plain", status: int = 200
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _parts(self, query: dict[str, str], name: str) -> None:
        """So many parts as are asked for; as often as is asked none, or half of one, but not at first."""
        times = [seen.target for seen in self.server.seen].count(self.path)
        if 1 < times <= 1 + int(query.get("drops", 0)):
            self.close_connection = True
            return

        def parts() -> Iterator[bytes]:
            if 1 < times <= 1 + int(query.get("breaks", 0)):
                yield name[:2].encode()
                raise BrokenPipeError
            for number in range(int(query["chunks"])):
                if query.get("pause") == str(number):
                    self.server.hold.wait()
                yield f"{name}-{number};".encode()

        self._stream(
            parts(), status=int(query["status"]) if "status" in query and times == 1 else 200
        )

    def _model(self, request: dict[str, Any], count: int) -> None:
        """Answers like a language model: with the number of the request, word by word if asked."""
        words = ["answer", " number", f" {count}"]
        streamed = bool(request.get("stream"))
        if self.path == "/v1/messages":
            events = _messages_events(words) if streamed else [_message(words)]
        else:
            events = [_completion(word, "delta") for word in words]
            events = events if streamed else [_completion("".join(words), "message")]
        if streamed:
            texts = [f"event: {e.get('type')}\ndata: {json.dumps(e)}\n\n" for e in events]
            pauses = request["model"] == "slow"
            self._stream(self._paused(texts, pauses), "text/event-stream")
        else:
            self._json(events[0])

    def _paused(self, texts: list[str], pauses: bool) -> Iterator[bytes]:
        """Encoded; with a pause after the first word that is said."""
        for number, text in enumerate(texts):
            yield text.encode()
            if pauses and "answer" in text and number + 1 < len(texts):
                self.server.hold.wait()


def _completion(text: str, part: str) -> dict[str, Any]:
    """OpenAI's answer (``part="message"``) or a piece of it (``part="delta"``)."""
    kind = "chat.completion" if part == "message" else "chat.completion.chunk"
    choice = {"index": 0, "finish_reason": None, part: {"role": "assistant", "content": text}}
    return {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice]}


def _message(words: list[str]) -> dict[str, Any]:
    """Anthropic's answer."""
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "".join(words)}] if words else [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _messages_events(words: list[str]) -> list[dict[str, Any]]:
    """Anthropic's answer in pieces."""
    block = {"type": "text", "text": ""}
    deltas = [{"type": "text_delta", "text": word} for word in words]
    return [
        {"type": "message_start", "message": _message([])},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
    ]

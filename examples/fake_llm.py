"""A model that always tells the same story, behind the API that OpenAI's client speaks.

python examples/fake_llm.py [PORT]    # llm_stream.py starts it in a thread if it knows no other model
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

PORT = 8765
STORY = (
    "Once there was a process that was killed every evening. In the morning it read its own log, "
    "nodded, and went on with the very next word. Nobody who talked to it ever noticed."
)


class FakeModel(BaseHTTPRequestHandler):
    """Answers every chat with the story, a word at a time, as server-sent events."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer POST /v1/chat/completions."""
        self.rfile.read(int(self.headers["Content-Length"]))
        print(f"asked with key {self.headers['Idempotency-Key']!r}", file=sys.stderr, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in STORY.split(" "):
            self.event(json.dumps(chunk(f"{word} ", None)))
            time.sleep(0.03)
        self.event(json.dumps(chunk("", "stop")))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data: str) -> None:
        """Send one event, as one chunk of the body."""
        line = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Be quiet."""


class FakeServer(ThreadingHTTPServer):
    """Does not mind that its clients get killed."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A broken connection is no news here."""


def start(port: int = PORT) -> str:
    """Serve in a thread, as long as this process lives; gives the base URL for clients."""
    server = FakeServer(("127.0.0.1", port), FakeModel)
    Thread(target=server.serve_forever, name="fake-model", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def chunk(text: str, finish_reason: str | None) -> dict[str, object]:
    """One piece of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "fake",
        "choices": [choice],
    }


if __name__ == "__main__":
    print(start(int(sys.argv[1]) if len(sys.argv) > 1 else PORT), flush=True)
    Event().wait()

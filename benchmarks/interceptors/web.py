"""Servers that answer everything in the same way, in a process of their own. It prints their ports, as JSON.

Handwritten, because they are to take as little of what is measured as they can.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

_DEFAULT = b'{"id": "order-000017", "status": "accepted"}'
_MODELS = {
    b"/v1/chat/completions": {
        "id": "one",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "seventeen"},
            }
        ],
    },
    b"/v1/messages": {
        "id": "one",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "seventeen"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}


def _answer(body: bytes) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return (head % len(body)).encode() + body


_ANSWERS = {path: _answer(json.dumps(answer).encode()) for path, answer in _MODELS.items()}
_ANSWER = _answer(_DEFAULT)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (head := await _head(reader)) is not None:
        length = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        if length:
            await reader.readexactly(int(length[0].partition(b":")[2]))
        writer.write(_ANSWERS.get(head.split(b" ", 2)[1], _ANSWER))
    writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None


async def _serve_keys(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As redis: every key has the same value, and everything else works."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        writer.write(b"$3\r\none\r\n" if words[0].upper() == b"GET" else b"+OK\r\n")
    writer.close()


async def _return(socket: Any) -> None:
    async for message in socket:
        await socket.send(message)


async def main() -> None:
    servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (_serve, _serve_keys)]
    web, keys = (server.sockets[0].getsockname()[1] for server in servers)
    sockets = 0
    try:
        from websockets.asyncio.server import serve
    except ImportError:
        pass
    else:
        sockets = (await serve(_return, "127.0.0.1", 0)).sockets[0].getsockname()[1]
    print(json.dumps({"web": web, "keys": keys, "sockets": sockets}), flush=True)
    await servers[0].serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

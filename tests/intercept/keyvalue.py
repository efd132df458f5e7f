"""A server that speaks as much of redis' protocol as the tests of its interceptor need."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

__all__ = ["KeyValueServer"]

_READS = frozenset({b"GET", b"LRANGE", b"PING", b"WATCH", b"UNWATCH", b"MULTI", b"CLIENT", b"AUTH"})


class _RefusedError(Exception):
    pass


class _Conversation(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Listener

    def handle(self) -> None:
        store = self.server.store
        queued: list[list[bytes]] | None = None
        watched: dict[bytes, Any] = {}
        while (command := self._command()) is not None:
            name, *args = command
            name = name.upper()
            store.seen.append(command)
            with store.lock:
                if name in (b"SUBSCRIBE", b"UNSUBSCRIBE"):
                    store.listeners[args[0]] = self.wfile
                    answer = _array([_bulk(name.lower()), _bulk(args[0]), b":1\r\n"])
                elif name == b"MULTI":
                    queued, answer = [], b"+OK\r\n"
                elif name in (b"EXEC", b"DISCARD"):
                    changed = any(store.data.get(key) != value for key, value in watched.items())
                    run = [] if changed or name == b"DISCARD" else queued or []
                    answer = (
                        b"*-1\r\n" if changed else _array([store.answer(*each) for each in run])
                    )
                    queued, watched = None, {}
                elif name == b"WATCH":
                    watched = {key: store.data.get(key) for key in args}
                    answer = b"+OK\r\n"
                elif queued is not None:
                    queued.append(command)
                    answer = b"+QUEUED\r\n"
                else:
                    answer = store.answer(name, *args)
            if args and args[0] == b"slow":
                store.asked.set()
                store.answers.wait(60)
            self.wfile.write(answer)

    def _command(self) -> list[bytes] | None:
        head = self.rfile.readline()
        if not head:
            return None
        words = []
        for _ in range(int(head[1:])):
            size = int(self.rfile.readline()[1:])
            words.append(self.rfile.read(size + 2)[:-2])
        return words


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    store: KeyValueServer


class KeyValueServer:
    """Strings, lists and transactions; and a list of the commands that reached it.

    Attributes:
        port: where it listens, on this machine.
        data: what is stored.
        seen: all commands.
        asked: is set when the key ``slow`` was asked for, and ``answers`` waited for before it is told.
        listeners: who has subscribed, by channel.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: dict[bytes, Any] = {b"name": b"one", b"list": [b"a", b"b"]}
        self.seen: list[list[bytes]] = []
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self.listeners: dict[bytes, Any] = {}
        self.port = 0

    def __enter__(self) -> KeyValueServer:
        self._listener = _Listener(("127.0.0.1", 0), _Conversation)
        self._listener.store = self
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    @property
    def writes(self) -> list[tuple[bytes, ...]]:
        """The commands that are no reads."""
        skipped = {*_READS, b"EXEC", b"DISCARD"}
        return [tuple(command) for command in self.seen if command[0].upper() not in skipped]

    @property
    def trace(self) -> list[object]:
        """All commands but those that tell of the client."""
        return [command for command in self.seen if command[0].upper() != b"CLIENT"]

    def answer(self, name: bytes, *args: bytes) -> bytes:
        """Do it."""
        try:
            return self._done(name.upper(), *args)
        except _RefusedError as failure:
            return b"-%b\r\n" % str(failure).encode()

    def _done(self, name: bytes, *args: bytes) -> bytes:
        data = self.data
        if name == b"GET":
            value = data.get(args[0])
            if isinstance(value, list):
                raise _RefusedError(
                    "WRONGTYPE Operation against a key holding the wrong kind of value"
                )
            return _bulk(value)
        if name == b"SET":
            data[args[0]] = args[1]
            return b"+OK\r\n"
        if name == b"INCRBY":
            data[args[0]] = b"%d" % (int(data.get(args[0], b"0")) + int(args[1]))
            return b":%b\r\n" % data[args[0]]
        if name == b"RPUSH":
            data.setdefault(args[0], []).extend(args[1:])
            return b":%d\r\n" % len(data[args[0]])
        if name == b"LRANGE":
            return _array([_bulk(value) for value in data.get(args[0], [])])
        if name == b"PUBLISH":
            self.listeners[args[0]].write(_array([_bulk(b"message"), *map(_bulk, args)]))
            return b":1\r\n"
        if name == b"PING":
            return b"+PONG\r\n"
        if name in (b"CLIENT", b"UNWATCH", b"AUTH"):
            return b"+OK\r\n"
        raise _RefusedError(f"ERR unknown command '{name.decode()}'")


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def _array(parts: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(parts)

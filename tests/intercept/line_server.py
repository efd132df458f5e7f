"""A small server of lines in threads of the test process, over TCP or a Unix socket, and what it saw."""

from __future__ import annotations

import datetime
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from typing import Self

__all__ = ["LineServer", "client_context"]


class LineServer:
    """Serves until the ``with`` block ends.

    It echoes lines, and knows some words: ``count 3`` is answered with three lines, ``big 1000`` with so many
    bytes, ``starttls`` with ``go on`` and TLS, ``bye`` by closing, ``drop`` by breaking the connection off.
    The end of what it is sent is answered with ``end``, unless it speaks TLS.

    Args:
        path: of a Unix socket to listen at. By default, it listens to TCP.
        tls: whether it speaks TLS from the beginning.

    Attributes:
        opened: how many connections there were.
        received: the lines, in order.
        sizes: of what was sent between ``sink`` and the end, which is not kept.
        hold: the answer to ``wait`` comes when this is set.
        held: set when ``wait`` came.
        finished: set when a connection has ended.
        port: where it listens.
    """

    def __init__(self, path: str | None = None, *, tls: bool = False) -> None:
        _contexts()  # now: two threads would make two
        self.opened = 0
        self.received: list[str] = []
        self.sizes: list[int] = []
        self.hold = threading.Event()
        self.held = threading.Event()
        self.finished = threading.Event()
        self.tls = tls
        self.mutex = threading.Lock()
        self.sockets: list[socket.socket] = []
        self._listener: Any
        if path is None:
            self._listener = _TcpListener(("127.0.0.1", 0), _Conversation)
        else:
            self._listener = _UnixListener(path, _Conversation)
        self._listener.owner = self
        self.port: int = 0 if path else self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._listener.shutdown()
        self._thread.join()
        with self.mutex:
            for each in self.sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._listener.server_close()


class _Listener(socketserver.ThreadingMixIn, socketserver.BaseServer):
    request_queue_size = 128
    owner: LineServer

    def process_request(self, request: Any, client_address: Any) -> None:
        # Not on its thread, which may come late: who ends the server ends it, too.
        with self.owner.mutex:
            self.owner.opened += 1
            self.owner.sockets.append(request)
        super().process_request(request, client_address)


class _TcpListener(_Listener, socketserver.TCPServer):
    allow_reuse_address = True


class _UnixListener(_Listener, socketserver.UnixStreamServer):
    pass


class _Conversation(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        owner = self.server.owner
        if self.request.family == socket.AF_INET:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError), ExitStack() as stack:
            self.talk(owner, stack)

    def talk(self, owner: LineServer, stack: ExitStack) -> None:
        wire = _to_tls(self.request) if owner.tls else self.request
        stack.callback(wire.close)
        lines = stack.enter_context(wire.makefile("rb"))
        while line := lines.readline().decode().rstrip("\n"):
            owner.received.append(line)
            word, _, number = line.partition(" ")
            match word:
                case "count":
                    for each in range(int(number)):
                        wire.sendall(b"%d\n" % each)
                case "big":
                    wire.sendall(b"x" * int(number) + b"\n")
                case "wait":
                    owner.held.set()
                    owner.hold.wait(60)
                    wire.sendall(b"waited\n")
                case "sink":
                    owner.sizes.append(len(lines.read()))
                case "starttls":
                    wire.sendall(b"go on\n")
                    wire = _to_tls(wire)
                    stack.callback(wire.close)
                    lines = stack.enter_context(wire.makefile("rb"))
                case "bye":
                    break
                case "drop":
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                case _:
                    wire.sendall(line.encode() + b"\n")
        else:
            if not isinstance(wire, ssl.SSLSocket):  # whose other side hears nothing any more
                wire.sendall(b"end\n")

    def finish(self) -> None:
        with self.server.owner.mutex:
            self.server.owner.sockets.remove(self.request)
        self.server.owner.finished.set()


def _to_tls(wire: socket.socket) -> ssl.SSLSocket:
    return _contexts()[0].wrap_socket(wire, server_side=True)


def client_context() -> ssl.SSLContext:
    """Trusts the server, whose name is ``localhost``."""
    return _contexts()[1]


@cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the server and for its clients. To be made once: keys take long."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    public = certificate.public_bytes(pem)
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "pem"
        file.write_bytes(private + public)
        server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=public.decode())
    return server, client

"""What libraries get of the socket, and of TLS, below a connection of an agent: as it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golem_sdk.errors import NotDurableError

if TYPE_CHECKING:
    from golem_sdk.intercept.asyncio_lines import Line

__all__ = ["Socket", "Tls"]


class Socket:
    """Where libraries set options of the socket.

    Attributes:
        family, type, proto: of it, as numbers.
    """

    def __init__(self, line: Line, kind: list[int], peer: Any, own: Any) -> None:
        self.family, self.type, self.proto = kind
        self._line = line
        self._names = peer, own

    def setsockopt(self, *option: Any) -> None:
        """Not recorded: it is set on every real socket that there is."""
        self._line.set_option(option)

    def getpeername(self) -> Any:
        """The other side's address."""
        return self._names[0]

    def getsockname(self) -> Any:
        """The own address."""
        return self._names[1]

    def __getattr__(self, name: str) -> Any:
        raise _refusal(name, "the socket")


class Tls:
    """What libraries ask of TLS."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known

    def version(self) -> Any:
        """What was agreed on; see `ssl.SSLSocket` for all of these."""
        return self._known["version"]

    def cipher(self) -> Any:
        """What was agreed on."""
        return self._known["cipher"]

    def compression(self) -> Any:
        """What was agreed on."""
        return self._known["compression"]

    def selected_alpn_protocol(self) -> Any:
        """What was agreed on."""
        return self._known["alpn"]

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The certificate of the other side."""
        return self._known["der" if binary_form else "peercert"]

    def __getattr__(self, name: str) -> Any:
        raise _refusal(name, "TLS")


def _refusal(name: str, of: str) -> Exception:
    if name.startswith("_"):
        return AttributeError(name)
    return NotDurableError(
        f"{name} of {of} of an agent's connection is not recorded: replay would lack what it gives or does."
        " Use the transport or the stream, or put the code that needs it, with a connection of its own, into"
        " a function decorated with @durable"
    )

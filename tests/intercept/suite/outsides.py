"""Outsides that several files of cases use."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from intercept.web import WebServer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Screen", "Web"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_VARYING = frozenset({"host"})


class Web(WebServer):
    """The web server, see `intercept.web` for what it answers."""

    @property
    def writes(self) -> list[tuple[str, str, bytes]]:
        """Requests that are no reads: method, target, body."""
        return [(s.method, s.target, s.body) for s in self.seen if s.method not in _READS]

    @property
    def trace(self) -> list[object]:
        """All requests with all headers but those that name the port."""
        return [
            [
                s.method,
                s.target,
                s.body,
                [h for h in s.headers.items() if h[0].lower() not in _VARYING],
            ]
            for s in self.seen
        ]


class Screen(contextlib.ExitStack):
    """The standard output, while it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = io.StringIO()

    def __enter__(self) -> Self:
        super().__enter__()
        self.enter_context(contextlib.redirect_stdout(self._shown))
        return self

    @property
    def writes(self) -> list[str]:
        """The lines that were shown."""
        return self._shown.getvalue().splitlines()

    @property
    def trace(self) -> list[object]:
        return [*self.writes]

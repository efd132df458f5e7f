"""Durable calls in the words of their own field: HTTP as a request line, sleeps in seconds.

Everything is shaped by what is stored, which may be anything: what does not have the expected shape is
shown as the plain value that it is.
"""

from __future__ import annotations

from typing import Any

from golem_sdk.cli.stored import as_text, read_stored

__all__ = ["arguments_text", "outcome_text", "request_text"]

_NAMESPACE = "golem:"
_SLEEP = "golem:clock/sleep"
_INVOKING = frozenset({"golem:rpc/invoke", "golem:rpc/invoke-and-await", "golem:rpc/schedule"})


def request_text(name: str, request: Any) -> str:
    """A call and what it was asked: ``POST http://shop/charge``, ``sleep 0.25 s``, ``time.time``."""
    match request:
        case {"method": str(method), "url": str(url)}:
            return f"{method} {url}"
        case int() if name == _SLEEP:
            return f"sleep {request / 1e9:.3f} s"
        case [str(agent), str(method), bytes(arguments), *_] if name in _INVOKING:
            word = name.rpartition("/")[2].partition("-")[0]
            return f"{word} {agent}.{method}({arguments_text(read_stored(arguments))})"
    plain = name.removeprefix(_NAMESPACE)
    return plain if request is None else f"{plain} {as_text(request)}"


def outcome_text(outcome: Any) -> str:
    """What came of a call: of an HTTP request its status and the body, if it came at once."""
    match outcome:
        case [int(status), list(), dict(), *body]:
            return " ".join([str(status), *map(_body_text, body)])
    return as_text(outcome)


def arguments_text(arguments: Any) -> str:
    """Encoded arguments as they are written in a call."""
    match arguments:
        case [list(positional), dict(keyword)]:
            named = [f"{name}={as_text(value)}" for name, value in keyword.items()]
            return ", ".join([*map(as_text, positional), *named])
    return as_text(arguments)


def _body_text(body: Any) -> str:
    match body:
        case bytes():
            text = body.decode(errors="replace")
            return text if text.isprintable() else as_text(body)
        case None:
            return "(body follows)"
    return as_text(body)

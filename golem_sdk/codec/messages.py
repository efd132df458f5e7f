"""HTTP requests and responses that exceptions carry: httpx's and httpx2's own classes, nothing derived.

``except httpx.HTTPStatusError as error: error.response.status_code`` is how HTTP errors are told apart, so an
exception keeps its response: status, headers and the body, as far as it was read. Of a request only the
method and the URL without query, fragment and password are kept: the rest is where secrets are. That is
not exact, so neither is a value by itself: only as an attribute of an exception.
"""

from __future__ import annotations

import sys
from typing import Any

from attrs import frozen

from golem_sdk.codec.codes import Code, Lowered, Malformed
from golem_sdk.errors import DecodingError

__all__ = ["Message", "lower_message", "message_in", "raise_message"]

_LIBRARIES = ("httpx", "httpx2")
_NO_PART = {"username": None, "password": None, "query": None, "fragment": None}


@frozen
class Message:
    """A request or response on its way into the bytes of an exception."""

    library: str
    value: Any


def message_in(value: Any) -> Any:
    """A request or response as a `Message`; anything else as it is."""
    for name in _LIBRARIES:
        library = sys.modules.get(name)
        kinds = (getattr(library, "Request", None), getattr(library, "Response", None))
        if any(type(value) is kind for kind in kinds):
            return Message(name, value)
    return value


def lower_message(message: Message) -> Lowered:
    """The body of a message: its library, and what is kept of it."""
    parts = vars(message.value)
    if "status_code" not in parts:
        return Code.HTTP_MESSAGE, [message.library, *_request_parts(message.value)]
    request = parts.get("_request")
    headers = [[name, value] for name, value in message.value.headers.raw]
    content = parts.get("_content")
    asked = None if request is None else _request_parts(request)
    return Code.HTTP_MESSAGE, [message.library, message.value.status_code, headers, content, asked]


def _request_parts(request: Any) -> list[str]:
    return [str(request.method), str(request.url.copy_with(**_NO_PART))]


def raise_message(body: Any) -> Any:
    """The request or response, as unpickling makes it: without a connection or a stream."""
    if type(body) is not list or not body or body[0] not in _LIBRARIES:
        raise Malformed("not an HTTP message")
    library: Any = sys.modules.get(body[0])
    if library is None:
        raise DecodingError(f"stored value is an HTTP message: import {body[0]} before reading it")
    kinds = [type(part) for part in body[1:]]
    if kinds == [str, str]:
        return _request(library, *body[1:])
    if len(kinds) != 4 or kinds[:2] != [int, list] or kinds[2] not in (bytes, type(None)):
        raise Malformed("not an HTTP message")
    _, status, headers, content, asked = body
    if not all(
        type(pair) is list and [type(x) for x in pair] == [bytes, bytes] for pair in headers
    ):
        raise Malformed("not the headers of a response")
    if asked is not None and (type(asked) is not list or [type(x) for x in asked] != [str, str]):
        raise Malformed("not the request of a response")
    response = object.__new__(library.Response)
    response.__setstate__(
        {
            "status_code": status,
            "headers": library.Headers([tuple(pair) for pair in headers]),
            "_request": None if asked is None else _request(library, *asked),
            "next_request": None,
            "history": [],
            "is_stream_consumed": True,
            "default_encoding": "utf-8",
            "_num_bytes_downloaded": 0,
            **({} if content is None else {"_content": content}),
        }
    )
    return response


def _request(library: Any, method: str, url: str) -> Any:
    request = object.__new__(library.Request)
    parts = {"method": method, "url": library.URL(url), "headers": library.Headers()}
    request.__setstate__({**parts, "_content": b""})
    return request

"""HTTP messages that exceptions carry: classes of httpx, requests, aiohttp, http.client, nothing derived.

``except httpx.HTTPStatusError as error: error.response.status_code`` is how HTTP errors are told apart, so an
exception keeps its response: status, headers and the body, as far as it was read. Of a request only the
method and the URL without query, fragment and password are kept, of a connection not how it is
authenticated: the rest is where secrets are. That is not exact, so none of it is a value by itself: only
as an attribute or an argument of an exception. And the texts of HTTP errors often name a URL: its password,
and parameters that are named like secrets, are blanked in them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable  # attrs classes are resolved at run time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from golem_sdk.codec.classes import mro_of
from golem_sdk.codec.codes import Code, Lowered, Malformed
from golem_sdk.core.redaction import without_url_secrets
from golem_sdk.errors import DecodingError

__all__ = ["Message", "kept_of", "lower_message", "raise_message"]

_TELL_URLS = frozenset(
    {
        "aiohttp",
        "anthropic",
        "botocore",
        "http",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "openai",
        "requests",
        "urllib",
        "urllib3",
        "websockets",
    }
)
"""Packages of HTTP clients: the texts of their errors name URLs."""

_NO_PART = {"username": None, "password": None, "query": None, "fragment": None}


@frozen
class Message:
    """A message on its way into the bytes of an exception."""

    library: str
    value: Any


@frozen
class _Library:
    """How the messages of a library are taken apart and put together again.

    Attributes:
        kinds: their classes, given the library's module.
        lower: gives what is kept of one.
        build: makes one, given the library's module and what was kept.
    """

    kinds: Callable[[Any], tuple[Any, ...]]
    lower: Callable[[Any], list[Any]]
    build: Callable[[Any, list[Any]], Any]


def kept_of(cls: type[Any]) -> Callable[[Any], Any]:
    """How parts of exceptions of this class are kept; of what HTTP clients say, secrets in URLs are not."""
    packages = {str(base.__module__).partition(".")[0] for base in mro_of(cls)}
    return message_in if packages.isdisjoint(_TELL_URLS) else _without_secrets


def _without_secrets(value: Any) -> Any:
    return without_url_secrets(value) if type(value) is str else message_in(value)


def message_in(value: Any) -> Any:
    """A request, a response or the like as a `Message`; anything else as it is.

    Of several responses, the history of redirects, nothing is kept.
    """
    if type(value) is tuple and value and all(map(_is_response_of_aiohttp, value)):
        return ()
    for name, library in _LIBRARIES.items():
        module = sys.modules.get(name)
        if module is not None and any(type(value) is kind for kind in library.kinds(module)):
            return Message(name, value)
    return value


def lower_message(message: Message) -> Lowered:
    """The body of a message: its library, and what is kept of it."""
    return Code.HTTP_MESSAGE, [message.library, *_LIBRARIES[message.library].lower(message.value)]


def raise_message(body: Any) -> Any:
    """The request or response, as unpickling makes it: without a connection or a stream."""
    if type(body) is not list or not body or body[0] not in _LIBRARIES:
        raise Malformed("not an HTTP message")
    module: Any = sys.modules.get(body[0])
    if module is None:
        raise DecodingError(f"stored value is an HTTP message: import {body[0]} before reading it")
    return _LIBRARIES[body[0]].build(module, body[1:])


def _check(parts: list[Any], *kinds: type | tuple[type, ...]) -> None:
    if len(parts) != len(kinds) or not all(map(_is_one_of, parts, kinds)):
        raise Malformed("not an HTTP message")


def _is_one_of(part: Any, kinds: type | tuple[type, ...]) -> bool:
    return type(part) in (kinds if isinstance(kinds, tuple) else (kinds,))


def _pairs(found: Any, kind: type) -> list[tuple[Any, Any]]:
    for pair in found:
        if type(pair) is not list or [type(each) for each in pair] != [kind, kind]:
            raise Malformed("not the headers of an HTTP message")
    return [(name, value) for name, value in found]


_MAYBE_TEXT = (str, type(None))
_MAYBE_BYTES = (bytes, type(None))
_MAYBE_LIST = (list, type(None))


# --- httpx and httpx2 -----------------------------------------------------------------------------


def _lower_httpx(value: Any) -> list[Any]:
    parts = vars(value)
    if "status_code" not in parts:
        return [str(value.method), str(value.url.copy_with(**_NO_PART))]
    request = parts.get("_request")
    asked = None if request is None else _lower_httpx(request)
    headers = [[name, value] for name, value in value.headers.raw]
    return [value.status_code, headers, parts.get("_content"), asked]


def _build_httpx(library: Any, parts: list[Any]) -> Any:
    if len(parts) == 2:
        _check(parts, str, str)
        request = object.__new__(library.Request)
        state = {"method": parts[0], "url": library.URL(parts[1]), "headers": library.Headers()}
        request.__setstate__({**state, "_content": b""})
        return request
    _check(parts, int, list, _MAYBE_BYTES, _MAYBE_LIST)
    status, headers, content, asked = parts
    response = object.__new__(library.Response)
    response.__setstate__(
        {
            "status_code": status,
            "headers": library.Headers(_pairs(headers, bytes)),
            "_request": None if asked is None else _build_httpx(library, _request_in(asked)),
            "next_request": None,
            "history": [],
            "is_stream_consumed": True,
            "default_encoding": "utf-8",
            "_num_bytes_downloaded": 0,
            **({} if content is None else {"_content": content}),
        }
    )
    return response


def _request_in(asked: list[Any]) -> list[Any]:
    _check(asked, str, str)
    return asked


# --- requests -------------------------------------------------------------------------------------


def _lower_requests(value: Any) -> list[Any]:
    if not hasattr(value, "status_code"):
        return [str(value.method), _bare(value.url)]
    asked = None if value.request is None else _lower_requests(value.request)
    headers = [[str(name), str(value)] for name, value in value.headers.items()]
    content = value._content if isinstance(value._content, bytes) else None
    reason = value.reason if isinstance(value.reason, str) else None
    told = [_bare(value.url), reason, value.encoding]
    return [value.status_code, headers, content, asked, *told]


def _build_requests(library: Any, parts: list[Any]) -> Any:
    headers_of = library.structures.CaseInsensitiveDict
    if len(parts) == 2:
        _check(parts, str, str)
        request = object.__new__(library.PreparedRequest)
        request.method, request.url = parts
        request.headers, request.hooks = headers_of(), library.hooks.default_hooks()
        request.body = request._cookies = request._body_position = None
        return request
    _check(parts, int, list, _MAYBE_BYTES, _MAYBE_LIST, str, _MAYBE_TEXT, _MAYBE_TEXT)
    status, headers, content, asked, url, reason, encoding = parts
    response = object.__new__(library.Response)
    response.__setstate__(
        {
            "status_code": status,
            "headers": headers_of(_pairs(headers, str)),
            "_content": False if content is None else content,
            "request": None if asked is None else _build_requests(library, _request_in(asked)),
            "url": url,
            "reason": reason,
            "encoding": encoding,
            "history": [],
            "cookies": library.cookies.RequestsCookieJar(),
            "elapsed": timedelta(0),
        }
    )
    return response


def _bare(url: Any) -> str:
    """A URL without what may be secret of it."""
    try:
        parts = urlsplit(str(url))
    except ValueError:  # no URL
        return ""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


# --- aiohttp --------------------------------------------------------------------------------------


def _kinds_of_aiohttp(library: Any) -> tuple[Any, ...]:
    inner = getattr(library, "client_reqrep", None)
    return getattr(library, "RequestInfo", None), getattr(inner, "ConnectionKey", None)


def _is_response_of_aiohttp(value: Any) -> bool:
    return type(value) is getattr(sys.modules.get("aiohttp"), "ClientResponse", None)


def _lower_aiohttp(value: Any) -> list[Any]:
    if hasattr(value, "method"):
        return [str(value.method), _bare(value.url), _bare(value.real_url)]
    certificates = value.ssl if isinstance(value.ssl, bool) else True
    return [value.host, value.port, value.is_ssl, certificates, value.server_hostname]


def _build_aiohttp(library: Any, parts: list[Any]) -> Any:
    if len(parts) == 3:
        _check(parts, str, str, str)
        method, *urls = parts
        url, real_url = map(sys.modules["yarl"].URL, urls)
        no_headers = _build_headers(sys.modules["multidict"], [])
        return library.RequestInfo(url, method, no_headers, real_url)
    _check(parts, str, (int, type(None)), bool, bool, _MAYBE_TEXT)
    host, port, is_ssl, certificates, server = parts
    return library.client_reqrep.ConnectionKey(
        host, port, is_ssl, certificates, None, None, None, server
    )


def _lower_headers(value: Any) -> list[Any]:
    return [[str(name), str(value)] for name, value in value.items()]


def _build_headers(library: Any, parts: list[Any]) -> Any:
    return library.CIMultiDictProxy(library.CIMultiDict(_pairs(parts, str)))


def _build_message(library: Any, parts: list[Any]) -> Any:
    message = library.HTTPMessage()
    for name, value in _pairs(parts, str):
        message[name] = value
    return message


def _messages(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda library: tuple(getattr(library, name, None) for name in names)


_HTTPX = _Library(_messages("Request", "Response"), _lower_httpx, _build_httpx)
_LIBRARIES = {
    "httpx": _HTTPX,
    "httpx2": _HTTPX,
    "requests": _Library(
        _messages("PreparedRequest", "Response"), _lower_requests, _build_requests
    ),
    "aiohttp": _Library(_kinds_of_aiohttp, _lower_aiohttp, _build_aiohttp),
    "multidict": _Library(_messages("CIMultiDictProxy"), _lower_headers, _build_headers),
    "http.client": _Library(_messages("HTTPMessage"), _lower_headers, _build_message),
}

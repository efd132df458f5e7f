"""What errors of libraries tell: whether they may be gone the next time, and of which HTTP answer."""

from __future__ import annotations

import socket
from email.message import Message
from http.client import IncompleteRead
from itertools import count
from typing import Any, ClassVar
from urllib.error import HTTPError, URLError

import pytest

from golem_sdk.core.http_status import HttpStatusError, RetryableResult, answer_in
from golem_sdk.core.transient import is_transient


def kind(module: str, name: str, *bases: type) -> Any:
    """A class as a library that is not installed here has it."""
    return type(name, bases or (Exception,), {"__module__": module})


REQUESTS_ERROR = kind("requests.exceptions", "RequestException", OSError)
REQUESTS_CONNECTION = kind("requests.exceptions", "ConnectionError", REQUESTS_ERROR)
MAX_RETRY = kind("urllib3.exceptions", "MaxRetryError")


def max_retry(reason: object) -> Exception:
    error: Exception = MAX_RETRY("Max retries exceeded")
    vars(error)["reason"] = reason
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(113, "no route"),
        URLError(ConnectionRefusedError(111, "refused")),
        URLError(TimeoutError("slow")),
        URLError(URLError(TimeoutError("slow"))),
        IncompleteRead(b"half"),
        REQUESTS_CONNECTION("reset"),
        kind("requests.exceptions", "SSLError", REQUESTS_CONNECTION)("handshake"),
        kind("requests.exceptions", "Timeout", REQUESTS_ERROR)("slow"),
        kind("requests.exceptions", "ChunkedEncodingError", REQUESTS_ERROR)("broken"),
        kind("aiohttp.client_exceptions", "ClientConnectionError")("closed"),
        kind("aiohttp.client_exceptions", "ServerTimeoutError", TimeoutError)("slow"),
        kind("aiohttp.client_exceptions", "ClientPayloadError")("half"),
        kind("urllib3.exceptions", "ProtocolError")("broken"),
        max_retry(kind("urllib3.exceptions", "TimeoutError")("slow")),
        kind("botocore.exceptions", "HTTPClientError")("reset"),
        kind("botocore.exceptions", "ConnectionError")("refused"),
        kind("httpx._exceptions", "TransportError")("reset"),
        kind("httpx2._exceptions", "TransportError")("reset"),
        socket.gaierror(-3, "no name server"),
        kind("openai", "APIConnectionError")("reset"),
        kind("anthropic", "APIConnectionError")("reset"),
    ],
    ids=map(str, count()),
)
def test_errors_of_connections_and_timeouts(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "no such file"),
        URLError("unknown url type"),
        URLError(OSError(2, "no such file")),
        REQUESTS_ERROR("other"),
        kind("requests.exceptions", "InvalidURL", REQUESTS_ERROR)("bad"),
        kind("aiohttp.client_exceptions", "ClientResponseError")("500"),
        max_retry(ValueError("bad")),
        max_retry(None),
        MAX_RETRY("without a reason"),
        kind("mine", "Timeout")("of another library"),
    ],
    ids=map(str, count()),
)
def test_other_errors(error: Exception) -> None:
    assert is_transient(error) is False


def test_an_answer_of_urllib_is_no_failed_connection() -> None:
    with HTTPError("http://x", 404, "none", Message(), None) as error:
        assert not is_transient(error)


def test_a_circle_of_reasons_has_an_end() -> None:
    error = URLError("")
    error.reason = error
    assert is_transient(error) is False


@pytest.mark.parametrize(("depth", "expected"), [(7, True), (8, False)])
def test_reasons_are_followed_to_a_depth(depth: int, expected: bool) -> None:
    error: Exception = TimeoutError("slow")
    for _ in range(depth):
        error = URLError(error)
    assert is_transient(error) is expected


def test_libraries_that_are_installed() -> None:
    httpx = pytest.importorskip("httpx")
    assert is_transient(httpx.ConnectTimeout("slow"))
    assert not is_transient(httpx.InvalidURL("bad"))
    openai = pytest.importorskip("openai")
    assert is_transient(openai.APITimeoutError(request=httpx.Request("GET", "http://x")))


# --- HTTP answers -----------------------------------------------------------------------------------


class Response:
    status_code = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "3"}


class SdkError(Exception):
    """As libraries raise it."""

    def __init__(self, response: object) -> None:
        super().__init__(response)
        self.response = response


def told(error: BaseException) -> tuple[int, str | None] | None:
    answer = answer_in(error)
    return None if answer is None else (answer.status, answer.retry_after)


def test_our_own_errors_keep_what_they_tell() -> None:
    busy = HttpStatusError(503, "7")
    assert answer_in(busy) is busy
    assert str(busy) == "HTTP status 503"
    result = RetryableResult("page", busy)
    assert (result.result, result.error) == ("page", busy)
    assert (busy.args, result.args) == ((503, "7"), ("page", busy))


def test_exceptions_of_http_libraries_tell_their_status() -> None:
    assert told(SdkError(Response())) == (429, "3")
    with HTTPError("http://x", 503, "busy", Message(), None) as of_urllib:
        assert told(of_urllib) == (503, None)
    assert told(OSError(13, "no")) is None
    assert told(SystemExit(404)) is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"HTTPStatusCode": 503, "HTTPHeaders": {"retry-after": "7"}}, (503, "7")),
        ({"HTTPStatusCode": 503, "HTTPHeaders": {"Retry-After": "7"}}, (503, "7")),
        ({"HTTPStatusCode": 503, "HTTPHeaders": {}}, (503, None)),
        ({"HTTPStatusCode": 503, "HTTPHeaders": {"retry-after": 7}}, (503, None)),
        ({"HTTPStatusCode": 503, "HTTPHeaders": ["retry-after"]}, (503, None)),
        ({"HTTPStatusCode": 503}, (503, None)),
        ({"HTTPStatusCode": 100}, (100, None)),
        ({"HTTPStatusCode": 99}, None),
        ({"HTTPStatusCode": 599}, (599, None)),
        ({"HTTPStatusCode": 600}, None),
        ({"HTTPStatusCode": "503"}, None),
        ({"HTTPStatusCode": 5030}, None),
        ({"HTTPStatusCode": True}, None),
        ({}, None),
        (None, None),
        (503, None),
    ],
    ids=map(str, count()),
)
def test_botocore_tells_it_in_a_dict(metadata: object, expected: object) -> None:
    assert told(SdkError({"Error": {"Code": "x"}, "ResponseMetadata": metadata})) == expected


class Broken:
    """Whatever it is asked for, it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class CodeError(Exception):
    """It is the answer, under the oldest name of a status."""

    code = 504
    headers: ClassVar[dict[str, str]] = {"retry-after": "2"}


class BrokenHeaders(Response):
    headers: ClassVar[Any] = type("Headers", (), {"get": Broken()})()


class BrokenMapping(dict[str, object]):
    def get(self, *args: object) -> Any:
        raise RuntimeError("no")


class NoResponseError(Exception):
    """Its answer is its own; the response is none."""

    status = 502
    headers: ClassVar[dict[str, str]] = {}

    @property
    def response(self) -> object:
        raise RuntimeError("no response")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SdkError(Broken()), None),
        (SdkError(BrokenHeaders()), (429, None)),
        (SdkError(BrokenMapping(ResponseMetadata={})), None),
        (SdkError({"ResponseMetadata": BrokenMapping(HTTPStatusCode=503)}), None),
        (SdkError({}), None),
        (SdkError([]), None),
        (NoResponseError(), (502, None)),
        (CodeError(), (504, "2")),
    ],
    ids=map(str, count()),
)
def test_odd_shapes_are_no_failure_of_their_own(error: Exception, expected: object) -> None:
    assert told(error) == expected

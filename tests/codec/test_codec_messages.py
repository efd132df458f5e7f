"""What exceptions of requests and aiohttp keep of the HTTP messages that they carry."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import aiohttp
import httpx
import msgpack
import pytest
import requests
import urllib3
import yarl
from multidict import CIMultiDict, CIMultiDictProxy

from golem_sdk.codec.codes import Code
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://ada:password@a.example/pay?api_key=SECRET#token"


def stored(error: BaseException, *secrets: bytes) -> Any:
    """The error after it was recorded, without these secrets."""
    data = encode(error)
    assert not [secret for secret in secrets if secret in data]
    back = decode(data)
    assert type(back) is type(error)
    assert encode(decode(encode(back))) == encode(back)
    return back


def test_an_error_of_requests_keeps_its_response_but_no_secrets() -> None:
    request = requests.Request("POST", URL, headers={"Authorization": "SECRET"}, data=b"SECRET")
    response = requests.Response()
    response.status_code, response.reason, response.url = 402, "Pay", URL
    response.headers["X-Limit"] = "7"
    response._content, response.encoding = b'{"left": 3}', "utf-8"
    response.request = request.prepare()
    error = requests.HTTPError("no money", response=response)
    back = stored(error, b"SECRET", b"password").response
    assert (back.status_code, back.reason, back.json()) == (402, "Pay", {"left": 3})
    assert (back.headers["x-limit"], back.ok, back.text) == ("7", False, '{"left": 3}')
    assert back.url == back.request.url == "https://a.example/pay"
    assert back.request.method == "POST"


def test_a_response_of_requests_that_was_not_read_keeps_its_head() -> None:
    response = requests.Response()
    response.status_code = 500
    back = stored(requests.HTTPError("down", response=response)).response
    assert (back.status_code, back.request) == (500, None)
    with pytest.raises(RuntimeError, match="consumed"):
        _ = back.content


def request_info() -> aiohttp.RequestInfo:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": "SECRET"}))
    return aiohttp.RequestInfo(yarl.URL(URL), "POST", headers)


def test_an_error_of_aiohttp_keeps_what_it_says_but_no_headers_of_the_request() -> None:
    headers = CIMultiDictProxy(CIMultiDict([("X-Limit", "7"), ("x-limit", "8")]))
    given: Any = (request_info(), ())
    error = aiohttp.ClientResponseError(*given, status=402, message="Pay", headers=headers)
    del error.request_info  # what the text says of it is tested below
    back = stored(error, b"Authorization", b"password")
    assert (back.status, back.message, back.headers.getall("x-limit")) == (402, "Pay", ["7", "8"])
    info, history = back.args
    assert (info.method, str(info.real_url), history) == ("POST", "https://a.example/pay", ())


def test_an_error_of_aiohttp_can_be_shown() -> None:
    info = request_info()._replace(real_url=yarl.URL("https://a.example/pay"))
    error = aiohttp.ClientResponseError(info, (), status=402, message="Pay")
    assert str(stored(error)) == str(error)


def test_an_error_of_urllib_keeps_the_headers_of_its_response() -> None:
    headers = HTTPMessage()
    headers["X-Limit"], headers["x-limit"] = "7", "8"
    back = stored(HTTPError(URL, 402, "Pay", headers, None), b"SECRET", b"password")
    assert (back.code, back.reason, str(back)) == (402, "Pay", "HTTP Error 402: Pay")
    assert back.headers.get_all("X-Limit") == ["7", "8"]


@pytest.mark.parametrize("certificates", [True, False, object()], ids=["all", "none", "own"])
def test_an_error_of_connecting_says_where_but_not_how(certificates: Any) -> None:
    proxy = yarl.URL("http://ada:password@proxy")
    auth: Any = "ada:password"
    key = aiohttp.client_reqrep.ConnectionKey("a.example", 443, True, certificates, proxy, auth, 7)
    back = stored(aiohttp.ClientConnectorError(key, OSError(111, "refused")), b"password")
    assert (back.host, back.port, back.errno) == ("a.example", 443, 111)
    assert str(back).startswith("Cannot connect to host a.example:443 ssl:")


def refused_by_requests() -> BaseException:
    pool: Any = "pool"
    slow = urllib3.exceptions.ReadTimeoutError(pool, "/pay?api_key=SECRET", "late")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/?token=SECRET", slow))


def refused_by_httpx() -> BaseException:
    response = httpx.Response(401, request=httpx.Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    return caught.value


def refused_by_proxy() -> BaseException:
    proxy = request_info()._replace(real_url=yarl.URL("http://ada:SECRET@proxy"))
    return aiohttp.ClientHttpProxyError(proxy, (), status=407, message="Proxy")


class OwnError(httpx.HTTPError):
    """A user's."""


def refused_by_user() -> BaseException:
    error = OwnError(f"no way to {URL}")
    error.add_note(f"asked {URL}")
    error.__dict__["place"] = URL
    return error


@pytest.mark.parametrize(
    "make", [refused_by_requests, refused_by_httpx, refused_by_proxy, refused_by_user]
)
def test_secrets_in_urls_are_blanked_in_what_http_errors_say(
    make: Callable[[], BaseException],
) -> None:
    back = stored(make(), b"SECRET", b"password")
    assert "<redacted>" in str(back) or make is refused_by_proxy


def test_other_errors_say_what_they_said() -> None:
    assert str(stored(ValueError(URL))) == URL


@pytest.mark.parametrize(
    "body",
    [
        ["requests", "GET"],
        ["requests", "GET", 7],
        ["requests", "200", [], b"", None, "", None, None],
        ["requests", 200, [["a", b"b"]], b"", None, "", None, None],
        ["requests", 200, [], b"", ["GET"], "", None, None],
        ["requests", 200, [], b"", ["GET", 7], "", None, None],
        ["aiohttp", "GET"],
        ["aiohttp", "GET", "http://a", "http://[::1"],
        ["aiohttp", "a", "80", True, True, None],
        ["multidict", ["a"]],
        ["multidict", ["a", 7]],
        ["multidict", "ab"],
        ["http.client", ["a", 7]],
    ],
    ids=range(13),
)
def test_a_malformed_message_is_refused(body: Any) -> None:
    with pytest.raises(DecodingError):
        decode(msgpack.packb(msgpack.ExtType(Code.HTTP_MESSAGE, msgpack.packb(body))))

"""Exceptions come back as what they were; recording one never fails."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import httpx2
import msgpack
import openai
import pytest

from codec import samples
from golem_sdk.codec.codes import Code
from golem_sdk.codec.exceptions import MAX_FRAMES, MAX_LINKS
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import (
    DecodingError,
    DivergenceError,
    EncodingError,
    RecordedError,
    StoreCorruptError,
)


def raised(make: Any) -> BaseException:
    try:
        make()
    except BaseException as error:  # control exceptions are recorded too
        return error
    raise AssertionError("nothing was raised")


def throw(error: BaseException) -> Any:
    def make() -> None:
        raise error

    return make


def slotted() -> samples.SlottedError:
    error = samples.SlottedError("x")
    error.code = (1, 2)
    return error


CASES: dict[str, Any] = {
    "value": throw(ValueError("x", (1, 2))),
    "key": lambda: dict[str, int]()["k"],
    "os": lambda: open("/does/not/exist"),  # noqa: SIM115  # it never opens
    "os-two-files": throw(OSError(1, "no", "a", None, "b")),
    "json": lambda: json.loads("{"),
    "unicode-decode": lambda: b"a\xff".decode(),
    "unicode-encode": lambda: "\ud800".encode(),
    "syntax": lambda: compile("a b", "file", "exec"),
    "import": throw(ImportError("m", name="n", path="p")),
    "stop": throw(StopIteration(3)),
    "exit": throw(SystemExit(4)),
    "cancelled": throw(asyncio.CancelledError("why")),
    "interrupt": throw(KeyboardInterrupt()),
    "generator-exit": throw(GeneratorExit()),
    "timeout": throw(TimeoutError()),
    "divergence": throw(DivergenceError("a", "m", 3, "r", "t")),
    "corrupt": throw(StoreCorruptError("m", "OPLOG", b"k")),
    "two-args": throw(samples.TwoArgs(3, {"a": (1,)})),
    "slots": throw(slotted()),
}


@pytest.mark.parametrize("name", CASES)
def test_exception_comes_back_as_it_was(name: str) -> None:
    error = raised(CASES[name])
    back = decode(encode(error))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert repr(back) == repr(error)
    kept = {k: v for k, v in vars(back).items() if not k.startswith("__golem")}
    assert kept == vars(error)
    for attribute in (
        "errno",
        "filename",
        "filename2",
        "start",
        "lineno",
        "name",
        "path",
        "code",
        "value",
    ):
        assert getattr(back, attribute, None) == getattr(error, attribute, None)
    assert encode(back) == encode(decode(encode(back)))


def test_no_constructor_runs() -> None:
    error = OSError.__new__(samples.TouchyError)
    error.args = (2, "text")
    error.errno, error.strerror = 2, "text"
    back = decode(encode(error))
    assert type(back) is samples.TouchyError
    assert (back.errno, str(back)) == (2, "[Errno 2] text")


def test_cause_context_and_notes() -> None:
    cause = KeyError("cause")
    context = TypeError("context")
    error = ValueError("x")
    error.__cause__, error.__context__ = cause, context
    error.add_note("a note")
    back = decode(encode(error))
    assert repr(back.__cause__) == repr(cause)
    assert repr(back.__context__) == repr(context)
    assert back.__suppress_context__
    assert back.__notes__ == ["a note"]
    error.__context__ = cause
    back = decode(encode(error))
    assert back.__cause__ is back.__context__
    silenced = ValueError("x")
    silenced.__context__ = context
    assert not decode(encode(silenced)).__suppress_context__
    silenced.__suppress_context__ = True
    assert decode(encode(silenced)).__suppress_context__


@pytest.mark.parametrize("kind", [ExceptionGroup, BaseExceptionGroup, samples.OwnGroup])
@pytest.mark.parametrize("sequence", [list, tuple])
def test_group(kind: Any, sequence: Any) -> None:
    group = kind(
        "many", sequence([ValueError(1), ExceptionGroup("inner", [samples.TwoArgs(1, {})])])
    )
    group.add_note("note")
    back = decode(encode(group))
    assert type(back) is type(group)
    assert repr(back) == repr(group)
    assert type(back.exceptions[1].exceptions[0]) is samples.TwoArgs
    assert back.exceptions[1].exceptions[0].code == 1
    assert back.__notes__ == ["note"]


def test_traceback_is_kept_as_text() -> None:
    def inner() -> None:
        raise ValueError("x")

    back = decode(encode(raised(inner)))
    assert [frame[2] for frame in back.__golem_traceback__] == ["raised", "inner"]
    file, line, _ = back.__golem_traceback__[-1]
    assert file == __file__
    assert line == inner.__code__.co_firstlineno + 1
    assert encode(back) == encode(decode(encode(back)))
    again = decode(encode(raised(throw(back))))
    assert [frame[2] for frame in again.__golem_traceback__] == [
        "raised",
        "make",
        "raised",
        "inner",
    ]


def test_traceback_is_bounded_and_keeps_the_innermost_frames() -> None:
    def deep(level: int) -> None:
        if level:
            deep(level - 1)
        raise ValueError

    frames = decode(encode(raised(lambda: deep(200)))).__golem_traceback__
    assert len(frames) == MAX_FRAMES
    assert frames[-1][1] == deep.__code__.co_firstlineno + 3


def test_rate_limit_error_of_openai() -> None:
    request = httpx.Request("POST", "https://api.example/v1")
    response: Any = httpx.Response(429, request=request)
    error = openai.RateLimitError("slow down", response=response, body={"code": "rate"})
    back = decode(encode(error))
    assert type(back) is openai.RateLimitError
    assert (back.status_code, back.body, back.message) == (429, {"code": "rate"}, "slow down")
    assert back.response.status_code == 429
    assert str(back.request.url) == str(request.url)
    assert "__golem_omitted__" not in vars(back)
    assert encode(back) == encode(error)


def test_read_timeout_of_httpx() -> None:
    error = httpx.ReadTimeout("late", request=httpx.Request("GET", "https://a.example"))
    back = decode(encode(error))
    assert type(back) is httpx.ReadTimeout
    assert str(back) == "late"
    assert (back.request.method, str(back.request.url)) == ("GET", "https://a.example")


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
def test_an_http_error_keeps_its_response_but_no_secrets(library: Any) -> None:
    url = "https://ada:password@a.example/pay?api_key=SECRET#token"
    request = library.Request("POST", url, headers={"Authorization": "SECRET"}, content=b"SECRET")
    answer = {"request": request, "headers": [("X-Limit", "7"), ("x-limit", "8")]}
    response = library.Response(402, content=b'{"left": 3}', **answer)
    error = library.HTTPStatusError("no money", request=request, response=response)
    data = encode(error)
    assert b"SECRET" not in data
    assert b"password" not in data
    back = decode(data)
    assert encode(back) == data
    assert (back.response.status_code, back.response.json()) == (402, {"left": 3})
    assert back.response.headers.get_list("x-limit") == ["7", "8"]
    assert str(back.request.url) == str(back.response.request.url) == "https://a.example/pay"


def test_a_response_that_was_not_read_keeps_its_head() -> None:
    request = httpx.Request("GET", "https://a.example")
    response = httpx.Response(500, request=request, stream=httpx.ByteStream(b"never read"))
    back = decode(encode(httpx.HTTPStatusError("down", request=request, response=response)))
    assert back.response.status_code == 500
    with pytest.raises(httpx.ResponseNotRead):
        _ = back.response.content


def test_an_http_message_is_no_value_by_itself() -> None:
    with pytest.raises(EncodingError, match="Response"):
        encode(httpx.Response(200))


@pytest.mark.parametrize(
    "body",
    [
        [],
        ["os", "GET", "http://a"],
        ["httpx", "GET"],
        ["httpx", "GET", "http://[::1"],
        ["httpx", "200", [], b"", None],
        ["httpx", 200, [["a", "b"]], b"", None],
        ["httpx", 200, [[b"a"]], b"", None],
        ["httpx", 200, [], "", None],
        ["httpx", 200, [], b"", ["GET"]],
    ],
    ids=range(9),
)
def test_a_malformed_http_message_is_refused(body: Any) -> None:
    with pytest.raises(DecodingError):
        decode(msgpack.packb(msgpack.ExtType(Code.HTTP_MESSAGE, msgpack.packb(body))))


def test_argument_that_cannot_be_stored_becomes_text() -> None:
    lock = threading.Lock()
    back = decode(encode(ValueError("x", lock, [memoryview(b"")])))
    assert back.args[0] == "x"
    assert back.args[1].startswith("<not recorded: <unlocked")
    assert back.args[2].startswith("<not recorded: [<memory")
    assert back.__golem_omitted__ == ("args[1]", "args[2]")
    assert encode(decode(encode(back))) == encode(back)


def test_argument_that_is_too_deep_or_cyclic_becomes_text() -> None:
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep]
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    back = decode(encode([[ValueError(deep, cyclic, 7)]]))[0][0]
    assert [type(arg) for arg in back.args] == [str, str, int]


def test_broken_str_and_repr_do_not_hide_the_failure() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    back = decode(encode(BrokenError(BrokenError("x"), threading.Lock())))
    assert type(back) is RecordedError
    assert back.text == ""


def test_class_that_cannot_be_found_comes_back_as_a_stand_in() -> None:
    class LocalError(ValueError):
        pass

    error = LocalError("text", 3)
    error.add_note("note")
    error.__cause__ = KeyError("cause")
    back = decode(encode(error))
    assert type(back) is RecordedError
    assert back.type_name.endswith("<locals>.LocalError")
    assert back.text == "('text', 3)"
    assert back.original_args == ("text", 3)
    assert back.__notes__ == ["note"]
    assert repr(back.__cause__) == "KeyError('cause')"
    assert vars(decode(encode(back))) == vars(back)


def test_group_whose_class_cannot_be_found_keeps_its_members() -> None:
    class LocalGroup(ExceptionGroup[Exception]):
        pass

    back = decode(encode(LocalGroup("many", [ValueError(1)])))
    assert type(back) is RecordedError
    assert repr(back.original_args) == "('many', [ValueError(1)])"


def test_class_that_only_its_own_code_can_build_comes_back_as_a_stand_in() -> None:
    error = raised(lambda: samples.Model(name=[]))  # type: ignore[arg-type]  # on purpose
    back = decode(encode(error))
    assert type(back) is RecordedError
    assert "valid string" in back.text


def chain(length: int) -> BaseException:
    error: BaseException = ValueError(0)
    for number in range(1, length):
        outer = ValueError(number, error)
        outer.__cause__ = outer.__context__ = error
        error = outer
    return error


def test_chain_is_bounded() -> None:
    back: Any = decode(encode(chain(40)))
    links = 0
    while type(back) is ValueError:
        back, links = back.__cause__, links + 1
    assert links == MAX_LINKS
    assert type(back) is RecordedError
    assert back.__cause__ is None


def test_chain_that_contains_itself_is_bounded() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__context__, second.__context__ = second, first
    assert repr(decode(encode(first)).__context__) == "ValueError(2)"
    group = ExceptionGroup("g", [first])
    first.__cause__ = group
    assert repr(decode(encode(group)).exceptions[0]) == "ValueError(1)"


def test_unicode_error_with_impossible_positions_is_refused() -> None:
    # printing such an error reads outside its buffer in CPython
    for object_, start, end in (
        (b"abc", -5, -4),
        (b"abc", 9, 10),
        ("text", 0, 1),
        (b"abc", "0", 1),
    ):
        forged = forge(
            {
                "type": "builtins:UnicodeDecodeError",
                "args": [],
                "attributes": {
                    "object": object_,
                    "start": start,
                    "end": end,
                    "reason": "r",
                    "encoding": "utf-8",
                },
            }
        )
        with pytest.raises(DecodingError, match="unicode"):
            decode(forged)


def forge(body: Any) -> bytes:
    data: bytes = msgpack.packb(msgpack.ExtType(23, msgpack.packb(body)))
    return data


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"type": 3},
        {"type": "builtins:int"},
        {"type": "builtins:ValueError", "args": {}},
        {"type": "builtins:ValueError", "unknown": 1},
        {"type": "builtins:ValueError", "cause": 3},
        {"type": "builtins:ValueError", "cause": True},
        {"type": "builtins:ValueError", "traceback": [["f", "1", "x"]]},
        {"type": "builtins:ValueError", "attributes": {1: 2}},
        {"type": "builtins:ValueError", "notes": [1]},
        {"type": "builtins:ExceptionGroup", "members": [1]},
    ],
    ids=repr,
)
def test_malformed_exception_is_refused(body: Any) -> None:
    with pytest.raises(DecodingError):
        decode(forge(body))

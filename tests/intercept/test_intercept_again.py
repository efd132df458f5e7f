"""The rule: whether a request is sent again whose answer a crash has cut, and whether the new one goes on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from golem_sdk.core.function_type import FunctionType
from golem_sdk.durability import FinalError
from golem_sdk.intercept import http
from golem_sdk.intercept.again import Again, difference, refusal
from golem_sdk.intercept.http import AsyncBody, SyncBody, describe
from golem_sdk.steps import run

READ, WRITE = FunctionType.READ_REMOTE, FunctionType.WRITE_REMOTE


class Noting:
    """A session that notes how often what it has recorded is brought to disk."""

    commits = 0

    def commit(self) -> None:
        self.commits += 1


def again(method: str, received: bytes = b"") -> Again:
    made = Again(describe(method, "http://x/", [], b""), (200, []), lambda: None, OSError)
    made.note(received)
    return made


@pytest.mark.parametrize(
    ("made", "prepared", "commits"),
    [
        (again("GET", b"some"), True, 0),
        (again("POST"), True, 1),
        (again("POST", b"some"), False, 0),
    ],
)
def test_what_was_recorded_is_on_disk_before_a_write_is_sent_again(
    made: Again, prepared: bool, commits: int
) -> None:
    session: Any = Noting()
    assert made.prepared(session) is prepared
    assert session.commits == commits


@pytest.mark.parametrize(
    ("made", "repeatable", "commits"),
    [
        (None, False, 0),
        (again("GET", b"some"), True, 0),
        (again("POST"), True, 1),
        (again("POST", b"some"), False, 0),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_reading_on_is_repeated_where_the_request_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
    made: Again | None,
    repeatable: bool,
    commits: int,
    is_async: bool,
) -> None:
    def call(*_: object, repeatable: bool) -> bytes:
        asked.append((session.commits, repeatable))
        return b""

    async def call_async(*given: object, repeatable: bool) -> bytes:
        return call(*given, repeatable=repeatable)

    session, asked = Noting(), list[Any]()
    door = SimpleNamespace(
        current=lambda: session, durable_call=call, durable_call_async=call_async
    )
    monkeypatch.setattr(http, "durability", door)
    if is_async:
        assert asyncio.run(AsyncBody("read", None, None, made).more()) == b""
    else:
        assert SyncBody("read", None, None, made).more() == b""
    assert asked == [(commits, repeatable)]


@pytest.mark.parametrize(
    ("kind", "idempotent", "status", "received", "reason"),
    [
        (READ, True, 200, 0, ""),
        (READ, False, 500, 9, ""),
        (WRITE, True, 200, 0, ""),
        (WRITE, True, 307, 0, ""),
        (WRITE, True, 503, 0, "a write that was answered with status 503, is not sent again"),
        (WRITE, True, 200, 1, "a write whose answer had begun"),
        (WRITE, False, 200, 0, "idempotence_mode(False)"),
        (WRITE, False, 200, 1, "idempotence_mode(False)"),
    ],
)
def test_whether_a_request_is_sent_again(
    kind: FunctionType, idempotent: bool, status: int, received: int, reason: str
) -> None:
    found = refusal(kind, idempotent=idempotent, status=status, received=received)
    assert reason in found
    assert bool(found) is bool(reason)


@pytest.mark.parametrize(
    ("fields", "new", "reason"),
    [
        ([], [], ""),
        ([("Date", "1")], [("Date", "2")], ""),
        ([("Content-Type", "a")], [(b"content-type", b"a")], ""),
        ([("Content-Type", "a")], [("Content-Type", "b")], "its content-type is 'b', and was 'a'"),
        ([("Content-Type", "a")], [], "its content-type is None, and was 'a'"),
        ([], [("Content-Encoding", "gzip")], "its content-encoding is 'gzip', and was None"),
        ([("Content-Length", "1")], [("Transfer-Encoding", "chunked")], "content-length is None"),
        ([], [("Transfer-Encoding", "chunked")], "transfer-encoding is 'chunked', and was None"),
        ([("ETag", "1")], [("ETag", "2")], "its etag is '2', and was '1'"),
        ([("ETag", "1")], [], ""),
        ([], [("Last-Modified", "1")], ""),
        ([("Last-Modified", "1")], [("Last-Modified", "2")], "its last-modified is '2'"),
        ([("Content-Type", "a"), ("Content-Type", "b")], [("Content-Type", "b")], "was 'a, b'"),
    ],
)
def test_whether_an_answer_is_another_one(fields: Any, new: Any, reason: str) -> None:
    found = difference((200, fields), (200, new))
    assert reason in found
    assert bool(found) is bool(reason)
    assert difference((200, fields), (503, new)) == "its status is 503, and was 200"


class Real:
    """A body in pieces."""

    closed = False

    def __init__(self, *pieces: bytes, broke_off: bool = False) -> None:
        self.broke_off = broke_off
        self.pieces = [*pieces]

    def take(self, least_bytes: int) -> bytes:
        taken = b""
        while self.pieces and len(taken) < least_bytes:
            taken += self.pieces.pop(0)
        return taken

    def close(self) -> None:
        self.closed = True


def going_on(real: Real, status: int, *parts: bytes) -> Again:
    """A response with status 200 of which these parts were recorded, and the answer to a second request."""
    exchange = describe("GET", "http://x/", [], b"")
    made = Again(exchange, (200, []), lambda: (status, [], real), OSError)
    for part in parts:
        made.note(part)
    return made


def test_an_answer_with_another_status_does_not_go_on() -> None:
    real = Real(b"something")
    with pytest.raises(FinalError) as caught:
        run(going_on(real, 503, b"some").steps(1))
    assert "the first 4 bytes were recorded" in str(caught.value.error)
    assert "another one: its status is 503, and was 200. Send" in str(caught.value.error)
    assert real.closed


@pytest.mark.parametrize(
    ("pieces", "least_bytes", "gives"),
    [
        ([b"some", b"thing", b"else"], 1, b"thing"),
        ([b"so", b"meth", b"ing", b"else"], 1, b"th"),
        ([b"so", b"meth", b"ing", b"else"], 4, b"thing"),
        ([b"something"], 1, b"thing"),
        ([b"some"], 1, b""),
        ([b"so"], 1, "its body ends after 2 bytes"),
        ([], 1, "its body ends after 0 bytes"),
        ([b"Some", b"thing"], 1, "its first 4 bytes are others"),
    ],
)
def test_where_a_new_body_goes_on(pieces: list[bytes], least_bytes: int, gives: Any) -> None:
    real = Real(*pieces)
    made = going_on(real, 200, b"", b"so", b"me")
    if isinstance(gives, bytes):
        assert run(made.steps(least_bytes)) == (real, gives)
    else:
        with pytest.raises(FinalError) as caught:
            run(made.steps(least_bytes))
        assert gives in str(caught.value.error)
    assert real.closed is isinstance(gives, str)


@pytest.mark.parametrize("same", [0, 9, 250])
def test_that_a_body_is_another_one_shows_before_it_is_as_long(same: int) -> None:
    events = [f"event of yesterday {number:3}\n".encode() for number in range(999)]
    others = [f"event of this day  {number:3}\n".encode() for number in range(999)]
    real = Real(*events[:same], *others[same:])
    with pytest.raises(FinalError) as caught:
        run(going_on(real, 200, *events).steps(1))
    assert "bytes are others" in str(caught.value.error)
    assert len(others) - len(real.pieces) <= max(3, 2 * same)

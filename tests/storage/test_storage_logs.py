"""Claims to the places of a log, whose earlier records may be taken away, on each engine there is."""

from __future__ import annotations

import pytest

from golem_sdk.storage.base import Batch, Engine, Space, be64


@pytest.fixture
def engine(any_engine: Engine) -> Engine:
    return any_engine


def positions(engine: Engine) -> list[int]:
    return [
        int.from_bytes(key[-8:], "big") for key, _ in engine.scan(Space.OPLOG, b"", None, limit=99)
    ]


def part(position: int, log: bytes = b"one\0", dels: tuple[int, ...] = ()) -> Batch:
    """What is appended to a log, and which earlier parts it takes away."""
    gone = tuple((Space.OPLOG, log + be64(each)) for each in dels)
    return Batch(claim=(Space.OPLOG, log + be64(position), b""), dels=gone, log=log)


def test_a_place_of_a_log_is_lost_when_a_later_one_is_taken(engine: Engine) -> None:
    assert engine.commit([part(1), part(2), part(5)]) == [True] * 3
    assert engine.commit([part(5), part(3), part(6), part(6), part(4)]) == [
        *(False, False, True),
        *(False, False),
    ]
    assert positions(engine) == [1, 2, 5, 6]


def test_a_place_of_a_log_is_lost_for_ever(engine: Engine) -> None:
    """What was there may have been taken away; without a log its key could be claimed again."""
    engine.commit([part(1), part(2), part(3)])
    assert engine.commit([part(4, dels=(2, 3)), part(2), part(3)]) == [True, False, False]
    assert engine.commit([part(2), part(3), part(5)]) == [False, False, True]
    assert positions(engine) == [1, 4, 5]


def test_what_is_taken_away_in_the_same_commit_still_counts(engine: Engine) -> None:
    """And what is only put there does not count yet, on none of the engines."""
    engine.commit([part(1), part(2), part(3)])
    gone = Batch(dels=((Space.OPLOG, b"one\0" + be64(3)),))
    assert engine.commit([part(4, dels=(2,)), gone, part(2)]) == [True, True, False]
    assert engine.commit([Batch(dels=((Space.OPLOG, b"one\0" + be64(4)),)), part(3)]) == [
        True,
        False,
    ]
    put = Batch(puts=((Space.OPLOG, b"one\0" + be64(9), b""),))
    assert engine.commit([put, part(5)]) == [True, True]
    assert positions(engine) == [1, 5, 9]


def test_logs_are_apart(engine: Engine) -> None:
    logs = [b"on\0", b"one\0", b"onf\0", b"p\0", b"o\0"]
    for log in logs:
        assert engine.commit([part(7, log)]) == [True]
    for log in logs:
        assert engine.commit([part(6, log), part(8, log)]) == [False, True]

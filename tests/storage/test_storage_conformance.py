"""What every engine promises (golem_sdk.storage.base), run on each engine there is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from golem_sdk.errors import RuntimeClosedError
from golem_sdk.storage.base import (
    KEY_LIMIT,
    VALUE_LIMIT,
    Batch,
    Engine,
    RecordSizeError,
    Space,
    be64,
    prefix_range,
)
from golem_sdk.storage.format import FORMAT_KEY
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine

Record = tuple[Space, bytes, bytes]

SPACES = [Space.OPLOG, Space.INBOX, Space.RESULT]


@pytest.fixture
def engine(any_engine: Engine) -> Engine:
    return any_engine


def put(key: bytes, value: bytes, space: Space = Space.OPLOG) -> Batch:
    return Batch(puts=((space, key, value),))


def claim(
    key: bytes, value: bytes = b"", *, puts: tuple[Record, ...] = (), chain: int = 0
) -> Batch:
    return Batch(claim=(Space.OPLOG, key, value), puts=puts, chain=chain)


def rows(engine: Engine, space: Space = Space.OPLOG) -> dict[bytes, bytes]:
    return dict(engine.scan(space, b"", None, limit=10_000))


# --- against a model ------------------------------------------------------------------------------

keys = st.sampled_from([b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff", b"k" * KEY_LIMIT])
values = st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 2_500, b"y" * 9_000]))
records = st.tuples(st.sampled_from(SPACES), keys, values)
batches = st.builds(
    Batch,
    claim=st.none() | records,
    puts=st.lists(records, max_size=3).map(tuple),
    dels=st.lists(st.tuples(st.sampled_from(SPACES), keys), max_size=2).map(tuple),
    chain=st.integers(0, 2),
)
bounds = st.one_of(keys, st.binary(max_size=3))


def apply(model: dict[tuple[Space, bytes], bytes], batches: list[Batch]) -> list[bool]:
    """The rules of `Engine.commit`, once more and as plainly as possible."""
    lost, happened = set(), []
    for batch in batches:
        taken = batch.claim is not None and batch.claim[:2] in model
        if taken or batch.chain in lost:
            lost |= {batch.chain} - {0}
            happened.append(False)
            continue
        for space, key, value in (*([batch.claim] if batch.claim else []), *batch.puts):
            model[space, key] = value
        for gone in batch.dels:
            model.pop(gone, None)
        happened.append(True)
    return happened


class EngineMachine(RuleBasedStateMachine):
    """Any sequence of operations gives what a dict gives."""

    def open(self) -> Engine:
        raise NotImplementedError

    def reopen(self, engine: Any) -> Engine:
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.engine = self.open()
        self.model: dict[tuple[Space, bytes], bytes] = {}

    @rule(batches=st.lists(batches, max_size=4))
    def commit(self, batches: list[Batch]) -> None:
        assert self.engine.commit(batches) == apply(self.model, batches)

    @rule(space=st.sampled_from(SPACES), key=keys)
    def get(self, space: Space, key: bytes) -> None:
        assert self.engine.get(space, key) == self.model.get((space, key))

    @rule(
        space=st.sampled_from(SPACES),
        lo=bounds,
        hi=st.none() | bounds,
        limit=st.integers(0, 5),
        reverse=st.booleans(),
    )
    def scan(self, space: Space, lo: bytes, hi: bytes | None, limit: int, reverse: bool) -> None:
        expected = sorted(
            ((key, value) for (of, key), value in self.model.items() if of is space and key >= lo),
            reverse=reverse,
        )
        if hi is not None:
            expected = [row for row in expected if row[0] < hi]
        page = self.engine.scan(space, lo, hi, limit=limit, reverse=reverse)
        assert page == expected[:limit]

    @rule()
    def restart(self) -> None:
        self.engine = self.reopen(self.engine)

    @invariant()
    def everything_is_there(self) -> None:
        for space in SPACES:
            expected = {key: value for (of, key), value in self.model.items() if of is space}
            assert rows(self.engine, space) == expected

    def teardown(self) -> None:
        self.engine.close()


class MemoryMachine(EngineMachine):
    def open(self) -> Engine:
        return MemoryEngine()

    def reopen(self, engine: MemoryEngine) -> Engine:
        return engine.snapshot()


class LmdbMachine(EngineMachine):
    def open(self) -> Engine:
        self.path = Path(tempfile.mkdtemp())
        return LmdbEngine(self.path, map_size=1 << 20)

    def reopen(self, engine: LmdbEngine) -> Engine:
        engine.close()
        return LmdbEngine(self.path, map_size=1 << 20)

    def teardown(self) -> None:
        assert isinstance(self.engine, LmdbEngine)
        assert self.engine.verify() == []
        super().teardown()
        shutil.rmtree(self.path)


TestMemoryMachine = MemoryMachine.TestCase
TestLmdbMachine = pytest.mark.once(LmdbMachine.TestCase)


# --- rule by rule ---------------------------------------------------------------------------------


def test_a_lost_claim_takes_its_whole_batch_with_it(engine: Engine) -> None:
    engine.commit([claim(b"1", b"first"), put(b"kept", b"")])
    loser = Batch(
        claim=(Space.OPLOG, b"1", b"second"),
        puts=((Space.RESULT, b"r", b""),),
        dels=((Space.OPLOG, b"kept"),),
    )
    assert engine.commit([loser]) == [False]
    assert rows(engine) == {b"1": b"first", b"kept": b""}
    assert rows(engine, Space.RESULT) == {}


def test_a_lost_batch_does_not_fail_its_neighbours(engine: Engine) -> None:
    engine.commit([claim(b"1", b"first")])
    happened = engine.commit([put(b"before", b""), claim(b"1", b"second"), put(b"after", b"")])
    assert happened == [True, False, True]
    assert rows(engine) == {b"1": b"first", b"before": b"", b"after": b""}


def test_batches_apply_in_order(engine: Engine) -> None:
    engine.commit([put(b"k", b"1"), put(b"k", b"2"), Batch(dels=((Space.OPLOG, b"gone"),))])
    engine.commit([put(b"gone", b""), Batch(dels=((Space.OPLOG, b"gone"),)), put(b"k", b"3")])
    assert rows(engine) == {b"k": b"3"}


def test_inside_a_batch_deletes_come_last(engine: Engine) -> None:
    key = (Space.OPLOG, b"k")
    engine.commit([Batch(claim=(*key, b"1"), puts=((*key, b"2"),), dels=(key,))])
    assert rows(engine) == {}


def test_one_of_many_claims_wins_also_within_one_commit(engine: Engine) -> None:
    assert engine.commit([claim(b"1", b"a"), claim(b"1", b"b")]) == [True, False]
    assert engine.get(Space.OPLOG, b"1") == b"a"


def test_a_claim_may_be_won_again_after_its_key_was_deleted(engine: Engine) -> None:
    engine.commit([claim(b"1", b"a")])
    free = Batch(dels=((Space.OPLOG, b"1"),))
    assert engine.commit([free, claim(b"1", b"b")]) == [True, True]
    assert engine.get(Space.OPLOG, b"1") == b"b"


def test_racing_claims_have_one_winner(engine: Engine) -> None:
    wins: list[list[bool]] = [[], [], [], []]

    def race(me: int) -> None:
        for index in range(50):
            wins[me] += engine.commit([claim(be64(index), bytes([me]))])

    threads = [Thread(target=race, args=(me,)) for me in range(len(wins))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(round_) for round_ in zip(*wins, strict=True)] == [1] * 50
    for index in range(50):
        winner = next(me for me in range(len(wins)) if wins[me][index])
        assert engine.get(Space.OPLOG, be64(index)) == bytes([winner])


def test_a_chain_ends_with_its_first_lost_claim(engine: Engine) -> None:
    engine.commit([claim(b"2")])
    happened = engine.commit(
        [
            claim(b"1", chain=7),
            claim(b"2", chain=7),
            claim(b"3", chain=7),
            claim(b"4", chain=8),
            claim(b"5"),
            Batch(puts=((Space.OPLOG, b"6", b""),), chain=7),
        ]
    )
    assert happened == [True, False, False, True, True, False]
    assert list(rows(engine)) == [b"1", b"2", b"4", b"5"]


def test_without_a_chain_a_lost_claim_ends_nothing(engine: Engine) -> None:
    engine.commit([claim(b"1")])
    assert engine.commit([claim(b"1"), claim(b"2")]) == [False, True]


def test_a_batch_that_cannot_be_stored_changes_nothing(engine: Engine) -> None:
    bad: Any = "text, not bytes"
    with pytest.raises(TypeError):
        engine.commit([put(b"k", b""), put(b"l", bad)])
    assert rows(engine) == {}
    assert engine.commit([put(b"k", b"")]) == [True]


def test_spaces_are_apart(engine: Engine) -> None:
    for space in Space:
        engine.commit([put(b"k", space.name.encode(), space)])
    for space in Space:
        assert engine.get(space, b"k") == space.name.encode()


def test_a_new_store_holds_its_format_and_nothing_of_users(engine: Engine) -> None:
    assert rows(engine, Space.META)[FORMAT_KEY] == b"1"
    assert not any(rows(engine, space) for space in Space if space is not Space.META)


def test_keys_and_values_up_to_their_limits(engine: Engine) -> None:
    key, value = b"k" * KEY_LIMIT, b"v" * VALUE_LIMIT
    engine.commit([put(key, value), put(b"empty", b"")])
    assert engine.get(Space.OPLOG, key) == value
    assert engine.get(Space.OPLOG, b"empty") == b""
    assert engine.scan(Space.OPLOG, key + b"\0", None, limit=1) == []  # the page after the last key


@pytest.mark.parametrize(
    ("key", "value", "size"),
    [(b"", b"", 0), (b"k" * 481, b"", 481), (b"k", b"v" * (VALUE_LIMIT + 1), VALUE_LIMIT + 1)],
)
def test_what_is_outside_the_limits_never_becomes_a_batch(
    key: bytes, value: bytes, size: int
) -> None:
    record = (Space.OPLOG, key, value)
    parts: list[dict[str, Any]] = [{"claim": record}, {"puts": (record,)}]
    for part in parts:
        with pytest.raises(RecordSizeError, match="Nothing was written") as caught:
            Batch(**part)
        assert (caught.value.space, caught.value.key) == (Space.OPLOG, key)
        assert caught.value.size == size
        assert isinstance(caught.value, ValueError)


def test_reading_checks_key_limits_too(engine: Engine) -> None:
    for key in (b"", b"k" * 481):
        with pytest.raises(RecordSizeError):
            engine.get(Space.OPLOG, key)
        with pytest.raises(RecordSizeError):
            Batch(dels=((Space.OPLOG, key),))
    with pytest.raises(RecordSizeError):
        engine.scan(Space.OPLOG, b"k" * 482, None, limit=1)
    with pytest.raises(RecordSizeError):
        engine.scan(Space.OPLOG, b"", b"k" * 482, limit=1)


def test_paging_forth_and_back_meets_every_row_once(engine: Engine) -> None:
    expected = [be64(number) for number in range(25)]
    engine.commit([put(key, b"") for key in expected])
    seen: list[bytes] = []
    while page := engine.scan(Space.OPLOG, seen[-1] + b"\0" if seen else b"", None, limit=4):
        seen += [key for key, _ in page]
    assert seen == expected
    seen = []
    while page := engine.scan(Space.OPLOG, b"", seen[-1] if seen else None, limit=4, reverse=True):
        seen += [key for key, _ in page]
    assert seen == expected[::-1]


def test_big_endian_keys_sort_like_their_numbers() -> None:
    numbers = [0, 1, 255, 256, 2**32, 2**64 - 1]
    assert sorted(map(be64, numbers)) == [be64(number) for number in numbers]


@pytest.mark.parametrize("prefix", [b"", b"a", b"a\xff", b"\xff", b"\xff\xff"])
def test_a_prefix_range_holds_the_keys_with_the_prefix(engine: Engine, prefix: bytes) -> None:
    everything = [b"\0", b"a", b"a\xfe", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff\0"]
    engine.commit([put(key, b"") for key in everything])
    lo, hi = prefix_range(prefix)
    found = [key for key, _ in engine.scan(Space.OPLOG, lo, hi, limit=100)]
    assert found == sorted(key for key in everything if key.startswith(prefix))


def test_size_grows_with_content(engine: Engine) -> None:
    before = engine.size_bytes()
    engine.commit([put(be64(number), b"v" * 10_000) for number in range(30)])
    assert engine.size_bytes() >= before + 300_000


def test_after_closing_everything_but_closing_raises(engine: Engine) -> None:
    engine.close()
    engine.close()
    for operation in (
        lambda: engine.commit([put(b"k", b"")]),
        lambda: engine.get(Space.OPLOG, b"k"),
        lambda: engine.scan(Space.OPLOG, b"", None, limit=1),
        lambda: engine.size_bytes(),
    ):
        with pytest.raises(RuntimeClosedError):
            operation()


# --- the memory engine's own ----------------------------------------------------------------------


def test_a_snapshot_is_independent() -> None:
    engine = MemoryEngine()
    engine.commit([put(b"k", b"1")])
    copy = engine.snapshot()
    engine.commit([put(b"k", b"2"), put(b"l", b"")])
    copy.commit([put(b"m", b"")])
    assert rows(copy) == {b"k": b"1", b"m": b""}
    assert rows(engine) == {b"k": b"2", b"l": b""}


def test_a_killed_engine_raises_and_keeps_what_was_committed() -> None:
    engine = MemoryEngine()
    engine.commit([put(b"k", b"1")])
    crash = OSError("crash")
    engine.kill(crash)
    for operation in (
        lambda: engine.commit([put(b"k", b"2")]),
        lambda: engine.get(Space.OPLOG, b"k"),
        lambda: engine.scan(Space.OPLOG, b"", None, limit=1),
        lambda: engine.size_bytes(),
    ):
        with pytest.raises(OSError, match="crash") as caught:
            operation()
        assert caught.value is crash
    engine.close()
    assert rows(engine.snapshot()) == {b"k": b"1"}

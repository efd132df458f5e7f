"""One agent's log: dense, in order, claimed, and what is on disk is always a beginning of it."""

from __future__ import annotations

from collections import deque
from threading import Event
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.codec.entries import encode_chunk
from golem_sdk.core.entries import BeginAtomicRegion, Entry, Log, PayloadRef
from golem_sdk.core.ids import storage_key
from golem_sdk.core.plan import EMPTY_PLAN, OplogRuleError
from golem_sdk.errors import (
    AgentSuspendedSignal,
    StoreCorruptError,
    StoreError,
    StoreFencedError,
)
from golem_sdk.oplog import writer as writing
from golem_sdk.oplog.archive import Loose
from golem_sdk.oplog.reader import (
    Survey,
    agents_with_entries,
    chunk_key,
    no_entries,
    read_entries,
    survey,
    surveyed_entries,
)
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.payloads import load_payload
from golem_sdk.testing.histories import CREATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.storage.base import Engine

NAME = "Order(1)"
KEY = storage_key(NAME)


def writer_over(engine: Engine, last: int = 0) -> OplogWriter:
    found = evolve(no_entries(), last=last)
    return OplogWriter(NAME, Committer(engine, write_behind_s=None), found)


def line(number: int) -> Log:
    return Log(number, "info", "", f"line {number}")


@given(st.lists(st.sampled_from(["append", "flush", "commit"]), max_size=60), st.integers(1, 40))
def test_c1_what_is_on_disk_is_a_beginning_of_what_was_appended(
    steps: list[str], start: int
) -> None:
    engine = MemoryEngine()
    writer = writer_over(engine)
    appended: list[tuple[int, Entry]] = [(writer.append(CREATE), CREATE)]
    for number, step in enumerate(steps, start=2):
        if step == "append":
            appended.append((writer.append(line(number)), line(number)))
        elif step == "flush":
            writer.flush()
        else:
            writer.commit()
            assert list(read_entries(engine, KEY)) == appended
        on_disk = list(read_entries(engine, KEY))
        assert on_disk == appended[: len(on_disk)]
    writer.commit()
    assert [index for index, _ in appended] == list(range(1, len(appended) + 1)), "L1"
    assert list(read_entries(engine, KEY, start)) == appended[start - 1 :]
    found = survey(engine, KEY)
    assert (found.last, found.create) == (len(appended), CREATE)


def test_a_full_buffer_is_handed_over_before_the_next_entry() -> None:
    engine = MemoryEngine()
    writer = writer_over(engine)
    writer.append(CREATE)
    for number in range(2, 129):
        writer.append(line(number))
    assert writer.newest is None
    writer.append(line(129))
    assert writer.newest is not None
    with writer.together():
        writer.put(Space.RESULT, b"key", b"value")
    writer.commit()
    assert len(list(read_entries(engine, KEY))) == 129
    assert len(engine.scan(Space.OPLOG, b"\0", None, limit=9)) == 2


def test_x1_a_stale_owner_is_refused_with_everything_it_brings() -> None:
    engine = MemoryEngine()
    owner, stale = writer_over(engine), writer_over(engine)
    owner.append(CREATE)
    stale.append(CREATE)
    owner.commit()
    stale.put(Space.RESULT, b"key", b"stale")
    with pytest.raises(StoreFencedError):
        stale.commit()
    assert engine.get(Space.RESULT, b"key") is None
    stale.append(line(2))
    with pytest.raises(StoreError):
        stale.commit()
    owner.append(line(2))
    owner.commit()
    assert len(list(read_entries(engine, KEY))) == 2


def test_a_fenced_writer_takes_nothing() -> None:
    writer = writer_over(MemoryEngine())
    writer.fence(OSError("over"))
    writer.fence(OSError("later"))
    for action in (
        lambda: writer.append(CREATE),
        lambda: writer.put(Space.RESULT, b"key", b""),
        lambda: writer.delete(Space.RESULT, b"key"),
        writer.flush,
        lambda: writer.keep(b"x" * 70_000),
    ):
        with pytest.raises(OSError, match="over"):
            action()


def test_writers_that_are_over_keep_nobody_elses_entries_from_the_disk() -> None:
    """What fences them is a control signal; the thread that writes behind must go on to the next one."""
    engine, go, done = MemoryEngine(), Event(), Event()
    committer = Committer(engine, pause=lambda seconds: go.wait(30))
    for name in ("Order(1)", "Order(2)"):
        over = OplogWriter(name, committer, no_entries())
        over.append(CREATE)
        over.soon()
        over.fence(AgentSuspendedSignal("it waits"))
    writer = OplogWriter("Order(3)", committer, no_entries())
    writer.append(CREATE)
    writer.soon()
    committer.soon(done.set)
    go.set()
    assert done.wait(30), "and those behind would stay in memory, with all that they keep"
    committer.close()
    assert [*agents_with_entries(engine)] == [storage_key("Order(3)")]


def test_entries_that_break_the_rules_are_not_appended() -> None:
    writer = writer_over(MemoryEngine())
    with pytest.raises(OplogRuleError, match="L1"):
        writer.append(BeginAtomicRegion(1))
    assert writer.append(CREATE) == 1


def test_long_payloads_are_kept_once_and_come_back() -> None:
    engine = MemoryEngine()
    writer = writer_over(engine)
    writer.append(CREATE)
    long = bytes(range(256)) * 5000
    kept = [writer.keep(long), writer.keep(long)]
    assert writer.keep(b"short") == b"short"
    writer.commit()
    assert isinstance(kept[0], PayloadRef)
    assert kept[0] == kept[1]
    assert load_payload(engine, kept[0]) == long
    assert len(engine.scan(Space.PAYLOAD, b"\0", None, limit=99)) == 5
    piece = engine.scan(Space.PAYLOAD, b"\0", None, limit=1)[0][0]
    engine.commit([Batch(dels=((Space.PAYLOAD, piece),))])
    with pytest.raises(StoreCorruptError, match="incomplete"):
        load_payload(engine, kept[0])


def test_long_payloads_do_not_wait_in_memory_until_somebody_waits() -> None:
    asked: list[int] = []

    class Counting(Committer):
        def soon(self, prepare: Callable[[], object] | None = None) -> None:
            asked.append(len(self._queue))

    writer = OplogWriter(NAME, Counting(MemoryEngine(), write_behind_s=None), no_entries())
    for number in range(4):
        writer.keep(bytes([number]) * 256 * 1024 * 20)
    assert asked == [1, 2, 3, 4, 5]


def test_who_records_faster_than_the_disk_takes_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    most, piece = 4 * 2**20, 2**20
    monkeypatch.setattr(writing, "_MOST_BEHIND_BYTES", most)
    queued: list[int] = []

    class Slow(Committer):
        def soon(self, prepare: Callable[[], object] | None = None) -> None:
            queued.append(sum(len(p[2]) for ticket in self._queue for p in ticket.batch.puts))

    engine = MemoryEngine()
    writer = OplogWriter(NAME, Slow(engine, write_behind_s=None), no_entries())
    for number in range(32):
        writer.keep(number.to_bytes() * piece)
        writer.append(Log(number, "info", "", "x" * 2**18))
    assert max(queued) <= 2 * most + piece
    assert engine.scan(Space.PAYLOAD, b"", None, limit=100)


def test_what_belongs_together_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_MOST_BEHIND_BYTES", 0)
    engine = MemoryEngine()
    writer = OplogWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    with writer.together():  # its caller holds what others wait for, who may be committing
        with writer.together():
            pass
        for number in range(300):
            writer.append(line(number) if number else CREATE)
    assert not engine.scan(Space.OPLOG, b"", None, limit=1)
    for number in range(300):
        writer.append(line(number))
    assert engine.scan(Space.OPLOG, b"", None, limit=1)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_k2_a_missing_entry_is_noticed(missing: int) -> None:
    engine = MemoryEngine()
    writer = writer_over(engine)
    for entry in (CREATE, line(2), line(3), line(4)):
        writer.append(entry)
        writer.commit()
    engine.commit([Batch(dels=((Space.OPLOG, chunk_key(KEY, missing)),))])
    for read in (lambda: list(read_entries(engine, KEY)), lambda: survey(engine, KEY)):
        with pytest.raises(StoreCorruptError, match=f"damaged at entry {missing}"):
            read()


def test_k2_bytes_that_are_no_chunk_are_noticed() -> None:
    engine = MemoryEngine()
    engine.commit([Batch(puts=((Space.OPLOG, chunk_key(KEY, 1), b"\1\0\0\0\1\xff\x90"),))])
    with pytest.raises(StoreCorruptError, match="damaged at entry 1"):
        list(read_entries(engine, KEY))


@pytest.mark.parametrize("long", [(), (5,), (1, 2, 70), tuple(range(1, 150))])
def test_surveyed_entries_are_those_that_are_read(long: tuple[int, ...]) -> None:
    engine = MemoryEngine()
    writer = writer_over(engine)
    for number in range(150):
        text = f"line {number} " * (1000 if number in long else 1)
        writer.append(Log(number, "info", "", text) if number else CREATE)
        if number % 3:
            writer.commit()
    writer.commit()
    found = survey(engine, KEY)
    assert list(surveyed_entries(engine, KEY, found)) == list(read_entries(engine, KEY))


def test_k2_surveyed_entries_end_where_the_damage_is() -> None:
    good, bad = encode_chunk([line(1)]), encode_chunk([line(1)])[:-1]
    kept = deque((index, good[1:2], good if index != 4 else bad) for index in range(1, 7))
    entries = surveyed_entries(
        MemoryEngine(), KEY, Survey(6, CREATE, EMPTY_PLAN, (), kept, Loose())
    )
    assert [next(entries)[0] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(StoreCorruptError, match="damaged at entry 4"):
        next(entries)


@given(
    st.lists(st.text("ab\x01\x02~\u20ac", min_size=1, max_size=4), unique=True), st.integers(1, 3)
)
def test_each_agent_that_has_an_oplog_is_found_once(names: list[str], chunks: int) -> None:
    engine = MemoryEngine()
    keys = [storage_key(name) for name in names]
    for key in keys:
        puts = [(Space.OPLOG, chunk_key(key, number), b"x") for number in range(1, chunks + 1)]
        engine.commit([Batch(puts=tuple(puts))])
    assert list(agents_with_entries(engine)) == sorted(keys)

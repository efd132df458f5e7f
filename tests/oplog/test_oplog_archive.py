"""Small chunks that are put together: nothing is lost, nobody gets back in, and readers go on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import compress

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.codec.entries import decode_chunk, encode_archive, encode_chunk, is_archived
from golem_sdk.core.entries import Log
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import DecodingError, StoreCorruptError, StoreFencedError
from golem_sdk.oplog.archive import MOST_CHUNKS
from golem_sdk.oplog.reader import chunk_key, no_entries, read_entries, survey, surveyed_entries
from golem_sdk.oplog.writer import EagerWriter, OplogWriter
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.histories import CREATE

if TYPE_CHECKING:
    from golem_sdk.storage.base import Engine, Row

NAME = "Order(1)"
KEY = storage_key(NAME)


def line(number: int, length: int = 0) -> Log:
    return Log(number, "info", "", f"line {number}" + "x" * length)


def write(engine: Engine, first: int, last: int, kind: type[OplogWriter] = EagerWriter) -> None:
    """One life of an agent: it goes on from what is there, and waits for each entry."""
    writer = kind(NAME, Committer(engine, write_behind_s=None), survey(engine, KEY))
    for number in range(first, last + 1):
        writer.append(CREATE if number == 1 else line(number))
        writer.commit()


def chunks(engine: Engine) -> dict[int, bytes]:
    rows = engine.scan(Space.OPLOG, b"", None, limit=10_000)
    return {int.from_bytes(key[-8:], "big"): data for key, data in rows}


def expected(last: int) -> list[tuple[int, object]]:
    return [(n, CREATE if n == 1 else line(n)) for n in range(1, last + 1)]


def test_small_chunks_are_put_together_and_read_as_before() -> None:
    engine = MemoryEngine()
    write(engine, 1, 3 * MOST_CHUNKS + 5, OplogWriter)
    found = chunks(engine)
    assert [*found] == [1, 257, 513, *range(769, 774)]
    assert [is_archived(data) for data in found.values()] == [True] * 3 + [False] * 5
    assert list(read_entries(engine, KEY)) == expected(773)
    assert list(read_entries(engine, KEY, 300)) == expected(773)[299:]
    seen = survey(engine, KEY)
    assert seen.last == 773
    assert list(surveyed_entries(engine, KEY, seen)) == expected(773)


def test_what_earlier_lives_have_left_is_put_together_by_later_ones() -> None:
    engine = MemoryEngine()
    for first in range(1, 12, 2):
        write(engine, first, first + 1)
    assert [*chunks(engine)] == [1, 4, 7, 10, 11, 12]
    assert list(read_entries(engine, KEY)) == expected(12)


def test_long_chunks_stay_as_they_are() -> None:
    engine = MemoryEngine()
    writer = EagerWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    entries = [CREATE, *(line(n, 20_000 if n == 5 else 0) for n in range(2, 12))]
    for entry in entries:
        writer.append(entry)
        writer.commit()
    found = chunks(engine)
    assert not is_archived(found[5])
    assert [index for index, data in found.items() if is_archived(data)] == [1, 6]
    loose = writer._loose
    assert loose.size_bytes == sum(len(data) for at, data in found.items() if at >= loose.first)
    assert [entry for _, entry in read_entries(engine, KEY)] == entries


def test_enough_bytes_are_enough() -> None:
    engine = MemoryEngine()
    writer = OplogWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    for number in range(1, 12):
        writer.append(CREATE if number == 1 else line(number, 10_000))
        writer.commit()
    assert [is_archived(data) for data in chunks(engine).values()][:2] == [True, False]


def test_only_what_is_on_disk_is_put_together() -> None:
    engine = MemoryEngine()
    writer = EagerWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    for number in range(1, 10):
        writer.append(CREATE if number == 1 else line(number))
        writer.flush()
    assert chunks(engine) == {}
    writer.commit()
    assert len(chunks(engine)) == 9
    writer.append(line(10))
    writer.commit()
    assert list(read_entries(engine, KEY)) == expected(10)
    assert is_archived(chunks(engine)[1])


@pytest.mark.parametrize("length", [100, 2_000, 15_000])
def test_what_the_disk_takes_at_once_after_a_while_is_not_put_together_at_once(length: int) -> None:
    """Or it would be more than can be read back, and the agent be lost."""
    engine = MemoryEngine()
    writer = OplogWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    entries = [CREATE, *(line(n, length) for n in range(2, 400))]
    for entry in entries[:-20]:
        writer.append(entry)
        writer.flush()
    for entry in entries[-20:]:
        writer.append(entry)
        writer.commit()
    assert [entry for _, entry in read_entries(engine, KEY)] == entries
    archived = [decode_chunk(data) for data in chunks(engine).values() if is_archived(data)]
    assert archived
    assert all(len(encode_chunk(together)) < 80 * 1024 for together in archived)


def test_nothing_is_taken_away_but_what_was_put_together() -> None:
    """More may be read than that: those that come first are longer than the others."""
    engine = MemoryEngine()
    writer = OplogWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    entries = [CREATE, *(line(n, 15_000 if n < 20 else 0) for n in range(2, 400))]
    for entry in entries:
        writer.append(entry)
        writer.flush()
    writer.commit()
    writer.append(line(400))
    writer.commit()
    found = chunks(engine)
    assert is_archived(found[1])
    assert len(found) > 390
    assert [entry for _, entry in read_entries(engine, KEY)] == [*entries, line(400)]


def test_an_agent_is_not_fenced_by_another_one_whose_name_goes_on() -> None:
    engine = MemoryEngine()
    committer = Committer(engine, write_behind_s=None)
    for name in (NAME + "2", NAME, NAME + "\1"):
        writer = EagerWriter(name, committer, no_entries())
        writer.append(CREATE)
        writer.commit()
        assert list(read_entries(engine, storage_key(name))) == [(1, CREATE)]


class Counting(MemoryEngine):
    """Counts the bytes that are read."""

    read_bytes = 0

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        page = super().scan(space, lo, hi, limit=limit, reverse=reverse)
        self.read_bytes += sum(len(value) for _, value in page)
        return page


@pytest.mark.parametrize("length", [0, 1_000, 15_000])
def test_not_much_more_is_read_than_is_put_together(length: int) -> None:
    """Or each commit would read all that the disk has taken at once, or an older version has left."""
    engine = Counting()
    writer = OplogWriter(NAME, Committer(engine, write_behind_s=None), no_entries())
    for number in range(1, 1_200):
        writer.append(CREATE if number == 1 else line(number, length))
        writer.flush()
    writer.commit()
    for number in range(1_200, 1_210):
        engine.read_bytes = 0
        writer.append(line(number))
        writer.commit()
        assert engine.read_bytes < 100_000
    assert is_archived(chunks(engine)[1])


@pytest.mark.parametrize("stale", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("kind", [OplogWriter, EagerWriter])
def test_x1_who_was_replaced_does_not_get_in_where_chunks_were(
    stale: int, kind: type[OplogWriter]
) -> None:
    """The key that its next entry claims is gone with the chunk that was there.

    And so are those that it would put together.
    """
    engine = MemoryEngine()
    write(engine, 1, stale)
    before = survey(engine, KEY)
    zombie = kind(NAME, Committer(engine, write_behind_s=None), before)
    write(engine, stale + 1, 40)
    zombie.append(line(99))
    with pytest.raises(StoreFencedError):
        zombie.commit()
    assert list(read_entries(engine, KEY)) == expected(40)


class Meanwhile(MemoryEngine):
    """Just after the first read of so many rows, or more, the agent goes on."""

    goes_on_at = 0

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        page = super().scan(space, lo, hi, limit=limit, reverse=reverse)
        if 0 < self.goes_on_at <= limit:
            self.goes_on_at = 0
            write(self, 201, 300)
        return page


@pytest.mark.parametrize(
    ("start", "rows"), [(1, 2), (2, 2), (149, 2), (150, 2), (149, 1), (150, 1)]
)
def test_a_reader_goes_on_where_what_it_was_to_read_was_put_together(start: int, rows: int) -> None:
    engine = Meanwhile()
    write(engine, 1, 200, OplogWriter)
    engine.goes_on_at = rows
    read = list(read_entries(engine, KEY, start))
    assert len(chunks(engine)) < 150
    assert read[-1][0] >= 200
    assert read == expected(read[-1][0])[start - 1 :]


class Ending(MemoryEngine):
    """The agent goes on when a reader that has found nothing more looks for what it has read last."""

    is_over = False

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        page = super().scan(space, lo, hi, limit=limit, reverse=reverse)
        if reverse and not self.is_over:
            self.is_over = True
            write(self, 129, 300)
        return page


def test_a_reader_at_the_end_ends_there_though_what_it_has_read_is_put_together() -> None:
    engine = Ending()
    write(engine, 1, 128, OplogWriter)  # as many as are read at once
    assert list(read_entries(engine, KEY)) == expected(128)
    assert 128 not in chunks(engine)


def test_k2_what_a_reader_finds_in_place_of_what_it_was_to_read_may_be_damaged() -> None:
    engine = MemoryEngine()
    write(engine, 1, 128, OplogWriter)
    reader = read_entries(engine, KEY)
    next(reader)
    engine.commit([Batch(puts=((Space.OPLOG, chunk_key(KEY, 128), b"\x63"),))])
    with pytest.raises(StoreCorruptError, match="damaged at entry 128: oplog format 99"):
        list(reader)


def test_k2_nothing_is_put_together_over_a_gap() -> None:
    engine = MemoryEngine()
    write(engine, 1, 20, OplogWriter)
    writer = EagerWriter(NAME, Committer(engine, write_behind_s=None), survey(engine, KEY))
    engine.commit([Batch(dels=((Space.OPLOG, chunk_key(KEY, 3)),))])
    for number in range(21, 30):
        writer.append(line(number))
        writer.commit()
    with pytest.raises(StoreCorruptError, match="damaged at entry 3"):
        list(read_entries(engine, KEY))


@given(st.lists(st.integers(1, 20), min_size=2, max_size=40))
def test_an_archived_chunk_holds_what_its_chunks_held(sizes: list[int]) -> None:
    entries = [[line(number) for number in range(size)] for size in sizes]
    archived = encode_archive([encode_chunk(some) for some in entries])
    assert decode_chunk(archived) == [entry for some in entries for entry in some]


def test_what_is_no_chunk_is_not_archived() -> None:
    good = encode_chunk([line(1)])
    for bad in (b"", b"\1", encode_archive([good, good]), good[:3] + b"\x92" + good[4:]):
        with pytest.raises(DecodingError):
            encode_archive([good, bad])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:5] + b"\xff" + data[6:],
        lambda data: data[:1] + b"\1" + data[1:],
    ],
    ids=["cut", "longer", "rotten", "of other kinds"],
)
def test_k2_damage_in_an_archived_chunk_is_noticed(damage: object) -> None:
    assert callable(damage)
    archived = encode_archive([encode_chunk([line(number)]) for number in range(3)])
    with pytest.raises(DecodingError):
        decode_chunk(damage(archived))


def test_an_archived_chunk_cannot_fill_the_memory() -> None:
    chunk = encode_chunk([line(number, 600_000) for number in range(2)])
    with pytest.raises(DecodingError, match="too long"):
        decode_chunk(b"\2" + chunk[1:4] + compress(chunk[4:]))


def test_what_could_not_be_read_again_is_not_archived() -> None:
    chunk = encode_chunk([line(1, 500_000)])
    assert len(decode_chunk(encode_archive([chunk, chunk]))) == 2
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        encode_archive([chunk, chunk, chunk])


def test_a_survey_is_taken_over_by_one_writer() -> None:
    assert no_entries().loose is not no_entries().loose
    assert evolve(no_entries(), last=3).loose.chunks == 0

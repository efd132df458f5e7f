"""Damage is noticed (K2): by checksums, by the order of rows, by a look at the file before LMDB's."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.errors import StoreCorruptError, StoreVersionError
from golem_sdk.storage.base import Batch, Row, Space, be64
from golem_sdk.storage.cursor import find, read_page
from golem_sdk.storage.data_file import data_extent
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.records import OVERHEAD, open_record, seal
from golem_sdk.storage.tally import Tally
from storage import children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.counting import Proved

PAGE = 4096
keys = st.binary(min_size=1, max_size=20)


# --- records --------------------------------------------------------------------------------------


@given(st.sampled_from(Space), keys, st.binary())
def test_a_sealed_record_opens_to_its_value(space: Space, key: bytes, value: bytes) -> None:
    sealed = seal(space, key, value)
    assert open_record(space, key, sealed) == value
    assert len(sealed) == len(value) + OVERHEAD


@given(st.sampled_from(Space), keys, st.binary(max_size=50), st.data())
def test_every_flipped_bit_of_a_record_is_noticed(
    space: Space, key: bytes, value: bytes, data: st.DataObject
) -> None:
    sealed = bytearray(seal(space, key, value))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreCorruptError) as caught:
        open_record(space, key, bytes(sealed))
    assert (caught.value.space, caught.value.key) == (space.name, key)


@given(st.sampled_from(Space), st.sampled_from(Space), keys, keys, st.binary(max_size=50))
def test_a_record_in_another_place_is_noticed(
    space: Space, other: Space, key: bytes, wrong: bytes, value: bytes
) -> None:
    sealed = seal(space, key, value)
    if (space, key) == (other, wrong):
        assert open_record(other, wrong, sealed) == value
    else:
        with pytest.raises(StoreCorruptError):
            open_record(other, wrong, sealed)


def test_a_border_that_moved_between_key_and_value_is_noticed() -> None:
    sealed = seal(Space.OPLOG, b"key", b"value")
    with pytest.raises(StoreCorruptError):
        open_record(Space.OPLOG, b"keyv", sealed[:OVERHEAD] + b"alue")


@pytest.mark.parametrize("length", range(OVERHEAD))
def test_a_record_without_room_for_its_checksum_is_noticed(length: int) -> None:
    with pytest.raises(StoreCorruptError, match="too few"):
        open_record(Space.OPLOG, b"k", seal(Space.OPLOG, b"k", b"")[:length])


def test_a_record_of_a_newer_format_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("golem_sdk.storage.records._VERSION", 2)
        sealed = seal(Space.OPLOG, b"k", b"v")
    with pytest.raises(StoreVersionError, match="format 2"):
        open_record(Space.OPLOG, b"k", sealed)


# --- the order of rows ----------------------------------------------------------------------------


class ListCursor:
    """A cursor over rows as they lie. Its searches end ``astray`` rows from where they should."""

    def __init__(self, rows: list[Row], astray: int = 0) -> None:
        self.rows = rows
        self.astray = astray
        self.at = 0

    def _go(self, at: int) -> bool:
        self.at = at
        return 0 <= at < len(self.rows)

    def first(self) -> bool:
        return self._go(0)

    def last(self) -> bool:
        return self._go(len(self.rows) - 1)

    def next(self) -> bool:
        return self._go(self.at + 1)

    def prev(self) -> bool:
        return self._go(self.at - 1)

    def set_range(self, key: bytes, /) -> bool:
        later = (at for at, (here, _) in enumerate(self.rows) if here >= key)
        return self._go(next(later, len(self.rows)) + self.astray)

    def item(self) -> Row:
        return self.rows[self.at]

    def iternext(self) -> Iterator[Row]:
        return iter(self.rows[self.at :])

    def iterprev(self) -> Iterator[Row]:
        return iter(self.rows[self.at :: -1])


def sealed_rows(names: list[bytes]) -> list[Row]:
    return [(name, seal(Space.OPLOG, name, b"")) for name in names]


SOUND = [bytes([letter]) for letter in b"bdfhj"]


@given(st.lists(keys, unique=True).map(sorted), keys)
def test_in_a_sound_space_what_is_there_is_found(names: list[bytes], key: bytes) -> None:
    rows = sealed_rows(names)
    assert find(ListCursor(rows), Space.OPLOG, key) == dict(rows).get(key)


@pytest.mark.parametrize("lost", range(5))
@pytest.mark.parametrize("moved", [-1, 1])
def test_a_row_whose_key_rotted_is_not_taken_for_absent(lost: int, moved: int) -> None:
    rows = sealed_rows(SOUND)
    rotten = bytes([SOUND[lost][0] + moved])
    rows[lost] = (rotten, rows[lost][1])
    with pytest.raises(StoreCorruptError) as caught:
        find(ListCursor(rows), Space.OPLOG, SOUND[lost])
    assert caught.value.key == rotten


@pytest.mark.parametrize("key", [b"a", b"b", b"c", b"d", b"i", b"j"])
@pytest.mark.parametrize("astray", [-1, 1])
def test_a_search_that_ends_in_the_wrong_place_is_noticed(key: bytes, astray: int) -> None:
    cursor = ListCursor(sealed_rows(SOUND), astray)
    for read in (
        lambda: read_page(cursor, Space.OPLOG, key, None, 9, False),
        lambda: read_page(cursor, Space.OPLOG, b"", key, 9, True),
        lambda: find(cursor, Space.OPLOG, key),
    ):
        with pytest.raises(StoreCorruptError, match="out of order"):
            read()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_whose_key_rotted_does_not_fall_out_of_its_range(reverse: bool) -> None:
    rows = sealed_rows(SOUND)
    rows[2 if reverse else 3] = (b"e" if reverse else b"i", rows[2 if reverse else 3][1])
    with pytest.raises(StoreCorruptError, match="checksum of its key"):
        read_page(ListCursor(rows), Space.OPLOG, b"f", b"i", 9, reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_out_of_order_are_noticed(reverse: bool) -> None:
    for names in ([b"b", b"d", b"c", b"f"], [b"b", b"d", b"d", b"f"]):
        with pytest.raises(StoreCorruptError, match="out of order"):
            read_page(ListCursor(sealed_rows(names)), Space.OPLOG, b"", None, 9, reverse)


# --- the file -------------------------------------------------------------------------------------


def filled(path: Path, count: int = 300) -> bytes:
    """A store with ``count`` rows; its data file's content."""
    engine = LmdbEngine(path)
    for start in range(0, count, 50):
        numbers = range(start, min(start + 50, count))
        engine.commit([Batch(puts=((Space.OPLOG, be64(n), b"v" * 1_000),)) for n in numbers])
    engine.close()
    return (path / "data.mdb").read_bytes()


@pytest.mark.parametrize("left", [1, 100, 4095, 4096, 4100, 8191, 8192, 100_000, -4096, -1])
@pytest.mark.parametrize("options", ["read_only=True", "checked_size=0", ""])
def test_a_truncated_file_is_refused_instead_of_killing_the_process(
    tmp_path: Path, left: int, options: str
) -> None:
    data = filled(tmp_path / "store")[:left]
    (tmp_path / "store" / "data.mdb").write_bytes(data)
    lines = children.run(
        f"print(refusal(lambda: LmdbEngine(Path(sys.argv[1]), {options})))", tmp_path / "store"
    )
    assert lines == ["StoreCorruptError"]
    assert (tmp_path / "store" / "data.mdb").read_bytes() == data


def test_a_file_that_lacks_only_free_pages_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "store"
    engine = LmdbEngine(path)
    large, other = (Space.OPLOG, b"large"), (Space.OPLOG, b"other")
    engine.commit([Batch(puts=((*large, b"v" * 500_000), (*other, b"v" * 400_000)))])
    engine.commit([Batch(dels=(large,))])
    engine.commit([Batch(claim=(*large, b"v" * 700_000)), Batch(dels=(large,))])
    engine.close()
    extent = data_extent(path / "data.mdb")
    assert extent.short  # LMDB counts pages that it never had to write
    for read_only in (True, False):
        again = LmdbEngine(path, read_only=read_only)
        assert again.get(*other) == b"v" * 400_000
        assert again.get(*large) is None
        assert again.verify() == []
        again.close()
    assert data_extent(path / "data.mdb").size >= extent.claimed


def test_values_that_shrink_within_one_commit_leave_a_sound_file(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store")
    claimed, put = (Space.OPLOG, b"k"), (Space.OPLOG, b"l")
    engine.commit(
        [
            Batch(claim=(*claimed, b"v" * 100_000)),
            Batch(puts=((*claimed, b"v" * 3_000),)),
            Batch(puts=((*put, b"v" * 100_000), (*put, b"v" * 50_000), (*put, b"v" * 3_000))),
        ]
    )
    assert engine.verify() == []
    engine.close()
    again = LmdbEngine(tmp_path / "store")
    assert again.get(Space.OPLOG, b"k") == b"v" * 3_000
    again.close()


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, 5),  # mp_pgno of page 0
        (16, 0),  # mm_magic
        (20, 3),  # mm_version: LMDB 1.0
        (40, 5000),  # the page size
        (44, 0x0C),  # flags of the database of free pages: MDB_DUPSORT makes LMDB abort
        (152 - 16, 0),  # mm_last_pg
        (152 - 8, 2**40),  # mm_txnid: would bring back the older of the two states
    ],
)
def test_a_meta_page_that_makes_no_sense_is_refused(
    tmp_path: Path, offset: int, value: int
) -> None:
    data = bytearray(filled(tmp_path / "store"))
    struct.pack_into("=Q" if offset in (0, 136, 144) else "=I", data, offset, value)
    (tmp_path / "store" / "data.mdb").write_bytes(data)
    for read_only in (True, False):
        with pytest.raises(StoreCorruptError, match=r"data\.mdb is damaged"):
            LmdbEngine(tmp_path / "store", read_only=read_only)


def test_an_older_meta_page_does_not_pass_for_the_newest(tmp_path: Path) -> None:
    data = bytearray(filled(tmp_path / "store"))
    numbers = [struct.unpack_from("=Q", data, page * PAGE + 144)[0] for page in (0, 1)]
    newest = numbers.index(max(numbers))
    struct.pack_into("=Q", data, newest * PAGE + 144, max(numbers) - 2)
    (tmp_path / "store" / "data.mdb").write_bytes(data)
    data_extent(tmp_path / "store" / "data.mdb")  # passes: that is what a crash leaves, too
    struct.pack_into("=Q", data, newest * PAGE + 144, max(numbers) - 4)
    (tmp_path / "store" / "data.mdb").write_bytes(data)
    with pytest.raises(StoreCorruptError, match="successive"):
        LmdbEngine(tmp_path / "store")


def test_damage_to_a_value_stays_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "store"
    data = bytearray(filled(path))
    position = data.rindex(seal(Space.OPLOG, be64(7), b"v" * 1_000)) + 500
    data[position] ^= 1
    (path / "data.mdb").write_bytes(data)
    engine = LmdbEngine(path)
    with pytest.raises(StoreCorruptError) as caught:
        engine.get(Space.OPLOG, be64(7))
    assert (caught.value.space, caught.value.key) == ("OPLOG", be64(7))
    with pytest.raises(StoreCorruptError):
        engine.scan(Space.OPLOG, b"", None, limit=100)
    for neighbour in (6, 8):
        assert engine.get(Space.OPLOG, be64(neighbour)) == b"v" * 1_000
    assert engine.get(Space.OPLOG, be64(6) + b"x") is None
    assert engine.get(Space.OPLOG, be64(7) + b"x") is None
    for reverse in (False, True):
        before = engine.scan(Space.OPLOG, b"", be64(7), limit=9, reverse=reverse)
        after = engine.scan(Space.OPLOG, be64(8), None, limit=1_000, reverse=reverse)
        assert (len(before), len(after)) == (7, 292)
    assert engine.commit([Batch(claim=(Space.OPLOG, b"new", b""))]) == [True]
    assert [error.key for error in engine.verify()] == [be64(7)]
    engine.close()


def test_a_rotten_key_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    engine = LmdbEngine(path)
    engine.commit([Batch(puts=tuple((Space.OPLOG, key, b"v") for key in (b"a", b"c", b"e")))])
    engine.close()
    data = (path / "data.mdb").read_bytes()
    record = seal(Space.OPLOG, b"c", b"v")
    assert data.count(b"c" + record) == 1
    (path / "data.mdb").write_bytes(data.replace(b"c" + record, b"d" + record))
    again = LmdbEngine(path)  # the structure is sound: the keys are still in order
    for key in (b"c", b"d"):
        with pytest.raises(StoreCorruptError) as caught:
            again.get(Space.OPLOG, key)
        assert caught.value.key == b"d"
    with pytest.raises(StoreCorruptError):
        again.scan(Space.OPLOG, b"", None, limit=9)
    assert again.get(Space.OPLOG, b"a") == b"v"
    again.close()


def test_verify_counts_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([Batch(puts=tuple((Space.OPLOG, be64(n), b"") for n in range(2_500)))])
    assert engine.verify() == []
    monkeypatch.setattr(Tally, "add_all", lambda self, space, records: [*records][3:] and None)
    found = [str(error) for error in engine.verify()]
    assert any("OPLOG holds 0 records that do not add up to the 2500" in text for text in found)
    engine.close()


def test_a_damaged_structure_is_refused_for_writing_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "store"
    engine = LmdbEngine(path)
    engine.commit([Batch(puts=((Space.OPLOG, b"k", b"v"),))])
    engine._env.close()
    with lmdb.open(str(path), max_dbs=32) as env, env.begin(write=True) as txn:
        database = env.open_db(b"result", txn=txn)
        txn.put(b"large", b"v" * 20_000, db=database)
        txn.put(b"large", b"v" * 5_000, db=database)  # LMDB counts its pages wrong
    engine.close()
    with pytest.raises(StoreCorruptError, match="read-only tool"):
        LmdbEngine(path)
    with pytest.raises(StoreCorruptError, match="has lost a write"):
        LmdbEngine(path, checked_size=0)  # nor was that transaction one of ours
    reader = LmdbEngine(path, read_only=True)
    assert reader.get(Space.OPLOG, b"k") == b"v"
    assert reader.verify()
    reader.close()


@pytest.mark.once
def test_no_flipped_bit_gives_wrong_data_or_ends_the_process(
    fuzz_scale: int, fuzz_seed: int, proved: Proved
) -> None:
    script = Path(__file__).with_name("flips.py")
    memory = Path("/dev/shm")  # hundreds of copies of a file, none of which needs a disk
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        arguments = [directory, fuzz_seed, 300 * fuzz_scale, 100 * fuzz_scale]
        done = subprocess.run(
            [sys.executable, str(script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": f"{children.ROOT}{os.pathsep}{script.parents[1]}"},
        )
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert counts.keys() == {"noticed", "harmless"}, done.stdout
    proved("damaged stores", sum(counts.values()), **counts)


def test_random_workloads_leave_a_sound_structure(
    tmp_path: Path, fuzz_scale: int, fuzz_seed: int
) -> None:
    rng = random.Random(fuzz_seed)
    for store in range(10 * fuzz_scale):
        engine = LmdbEngine(tmp_path / str(store), map_size=1 << 16)
        largest = rng.choice([100, 3_000, 200_000])
        for _ in range(rng.randrange(1, 15)):
            batches = []
            for _ in range(rng.randrange(1, 60)):
                record = (rng.choice([Space.OPLOG, Space.INBOX]), be64(rng.randrange(80)))
                puts = ((*record, bytes(rng.randrange(largest))),)
                batches.append(Batch(puts=puts) if rng.random() < 0.7 else Batch(dels=(record,)))
            engine.commit(batches)
            assert engine.verify() == []
        engine.close()
        LmdbEngine(tmp_path / str(store)).close()

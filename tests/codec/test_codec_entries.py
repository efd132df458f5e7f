"""Entries to bytes and back (S2), old bytes, hostile bytes."""

from __future__ import annotations

from pathlib import Path
from zlib import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.numbers_of_entries import HINTS, REPLAYED
from golem_sdk.codec import entries as codec
from golem_sdk.codec.entries import (
    FORMAT_VERSION,
    SMALL_CHUNK,
    chunk_kinds,
    decode_chunk,
    decode_small_chunks,
    encode_archive,
    encode_chunk,
)
from golem_sdk.core.entries import (
    ENTRY_KINDS,
    KIND_OF,
    Create,
    Entry,
    ImportedFunctionInvoked,
    Jump,
    Log,
    OplogRegion,
    PayloadRef,
    TimerSet,
)
from golem_sdk.errors import DecodingError
from golem_sdk.testing.histories import entries

GOLDEN = Path(__file__).parent / "golden"
RECORDED: list[Entry] = [
    Create(1, "Order", "Order(1)", b"\x92\x91\x01\x80", "c0de", -7, "0.1.0", {"clock": 1}),
    ImportedFunctionInvoked(
        2, 1, "pay", 4, b"\x90", 99, PayloadRef(b"\1" * 32, 70_000), False, 3, 0
    ),
    Jump(3, OplogRegion(2, 3)),
    TimerSet(4, 9, 2**62),
]


@given(st.lists(entries(), max_size=9))
def test_s2_decoding_what_was_encoded_gives_it_back(run: list[Entry]) -> None:
    data = encode_chunk(run)
    assert decode_chunk(data) == run
    assert list(chunk_kinds(data)) == [KIND_OF[type(entry)].code for entry in run]
    assert encode_chunk(decode_chunk(data)) == data


@given(st.lists(st.lists(entries(), min_size=1, max_size=3).map(encode_chunk), max_size=9))
def test_s2_small_chunks_together_are_what_each_is_alone(chunks: list[bytes]) -> None:
    chunks = [data for data in chunks if len(data) <= SMALL_CHUNK]
    together = decode_small_chunks([(chunk_kinds(data), data) for data in chunks])
    assert together == [entry for data in chunks for entry in decode_chunk(data)]


@given(st.lists(entries(), min_size=2, max_size=4), st.data())
def test_k1_damage_in_one_of_them_is_not_made_good_by_another(
    run: list[Entry], data: st.DataObject
) -> None:
    chunks = [encode_chunk([entry]) for entry in run]
    kinds = [chunk_kinds(chunk) for chunk in chunks]
    which = data.draw(st.integers(0, len(chunks) - 2))
    cut = data.draw(st.integers(len(kinds[which]) + 2, len(chunks[which]) - 1))
    rest = chunks[which][cut:]  # lies before the bodies of the next one now
    chunks[which] = chunks[which][:cut]
    frame = len(kinds[which + 1]) + 2
    chunks[which + 1] = chunks[which + 1][:frame] + rest + chunks[which + 1][frame:]
    with pytest.raises(DecodingError):
        decode_small_chunks(list(zip(kinds, chunks, strict=True)))


@given(st.lists(st.lists(entries(), min_size=1, max_size=3), min_size=1, max_size=9))
def test_s2_archived_chunks_hold_what_each_held(runs: list[list[Entry]]) -> None:
    archived = encode_archive([encode_chunk(run) for run in runs])
    assert decode_chunk(archived) == [entry for run in runs for entry in run]
    kinds = [KIND_OF[type(entry)].code for run in runs for entry in run]
    assert list(chunk_kinds(archived)) == kinds


def test_what_agents_record_is_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than to decode it, and any timestamp may hold what could be a list's header."""
    monkeypatch.setattr(codec, "weigh", lambda data: pytest.fail("weighed"))
    run = [Log(0x1800_0000_00DD_0000 + n, "info", "", "x" * 80) for n in range(128)]
    assert decode_chunk(encode_archive([encode_chunk(run)] * 5)) == 5 * run


@pytest.mark.parametrize("version", [1, 2])
def test_s2_bytes_of_each_format_are_read_for_ever(version: int) -> None:
    assert decode_chunk((GOLDEN / f"chunk-format-{version}.bin").read_bytes()) == RECORDED


def test_no_number_changes_its_meaning() -> None:
    assert {code: kind.entry_class.__name__ for code, kind in ENTRY_KINDS.items()} == (
        REPLAYED | HINTS
    )


@given(st.binary(max_size=200))
def test_k1_any_bytes_are_entries_or_a_decoding_error(data: bytes) -> None:
    kinds, end, bodies = data.partition(b"\0")
    for hostile in (
        data,
        bytes([FORMAT_VERSION]) + data,
        b"\2" + data,
        b"\2" + kinds + end + compress(bodies),
    ):
        try:
            run = decode_chunk(hostile)
        except DecodingError:
            continue
        assert all(isinstance(entry, Entry) for entry in run)


@given(st.lists(entries(), min_size=1, max_size=3), st.data())
def test_k1_damaged_entries_are_entries_or_a_decoding_error(
    run: list[Entry], data: st.DataObject
) -> None:
    raw = bytearray(encode_chunk(run))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_chunk(bytes(raw))
    except DecodingError:
        return


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\3\0\x90", "format 3 is not known"),
        (bytes([FORMAT_VERSION]) + b"\1\2", "truncated"),
        (bytes([FORMAT_VERSION]) + b"\x63\0\x91\x91\1", "kind 99 is not known"),
        (bytes([FORMAT_VERSION]) + b"\x15\0\x91\x92\1\xa1x", "damaged Suspend"),
        (bytes([FORMAT_VERSION]) + b"\x15\0\x91\5", "damaged Suspend"),
        (bytes([FORMAT_VERSION]) + b"\x15\0\x92\x92\1\2\x92\1\2", "do not match"),
    ],
)
def test_k1_what_is_wrong_is_named(data: bytes, says: str) -> None:
    with pytest.raises(DecodingError, match=says):
        decode_chunk(data)

"""K2: forged records with right checksums: refused by name, within bounds, and nobody else is hurt."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any
from zlib import compress

import msgpack
import pytest

from codec import samples
from golem_sdk import Runtime, agent
from golem_sdk.codec import bounds
from golem_sdk.codec.codes import Code
from golem_sdk.codec.entries import FORMAT_VERSION, decode_chunk
from golem_sdk.codec.values import encode
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import DecodingError, StoreCorruptError, StoreVersionError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.format import check_format
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.records import seal
from golem_sdk.stores.heads import load_heads
from golem_sdk.stores.invocations import inbox_key, load_inbox, load_result, load_scheduled
from golem_sdk.testing.environment import VirtualEnvironment
from hostile.targets import AGENT, ORDER

MEGABYTE = 2**20
LIE = b"\xdd\x00\x0c\x35\x00\x90"  # a list of 800,000 lists, of which one is there
LIES = LIE * 150_000
CHUNK = bytes([FORMAT_VERSION]) + b"\x15\0"
BOMBS = {
    "nested-lies-with-kinds": CHUNK[:-1] + b"\x15" * 800_000 + b"\0" + LIES[:200_000],
    "nested-lies": CHUNK + LIES,
    "nested-lies-of-maps": CHUNK + b"\x91" + b"\xdf\x00\x0c\x35\x00\xa1a" * 130_000,
    "lies-in-a-reference": CHUNK + b"\x91\x92\x01\xc9\x00\x0d\x00\x00\x01" + LIES[:0xD0000],
    "lies-in-a-region": CHUNK + b"\x91\x92\x01\xc9\x00\x0d\x00\x00\x02" + LIES[:0xD0000],
    "deep": CHUNK + b"\x91" * MEGABYTE,
    "many-kinds": bytes([FORMAT_VERSION]) + b"\x15" * MEGABYTE + b"\0\x90",
}
ARCHIVED = b"\2\x15\0"
BOMBS |= {
    f"archived-{name}": ARCHIVED + compress(data.removeprefix(CHUNK))
    for name, data in BOMBS.items()
    if data.startswith(CHUNK)
}
BOMBS["archived-and-long"] = ARCHIVED + compress(b"\x91" * 100 * MEGABYTE)


@agent
class HostileNeighbour:
    def __init__(self, name: str) -> None:
        self.calls = 0

    def call(self) -> int:
        self.calls += 1
        return self.calls


@agent
def hostile_sleeper(seconds: float) -> str:
    time.sleep(seconds)
    return "woken"


def peak_of(data: bytes) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(DecodingError):
            decode_chunk(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_k1_a_chunk_that_promises_too_much_is_refused_within_bounded_memory(name: str) -> None:
    assert peak_of(BOMBS[name]) < 24 * MEGABYTE


def test_a_chunk_that_is_not_weighed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_MAX_PROMISED", 10**18)
    assert peak_of(BOMBS["nested-lies-with-kinds"]) > 24 * MEGABYTE


def store(space: Space, key: bytes, row: object) -> MemoryEngine:
    engine = MemoryEngine()
    data = row if isinstance(row, bytes) else encode(row)
    engine.commit([Batch(puts=((space, key, data),))])
    return engine


HEADS: dict[str, Any] = {
    "range-for-a-list": range(10**18),
    "tuple": ("Order", AGENT, "idle"),
    "user-object": samples.Point(1, 2),
    "no-list": {"a": 1},
    "too-few": ["Order", AGENT],
    "too-many": ["Order", AGENT, "idle", *[0] * 20],
    "another-agent": ["Order", "Other", "idle"],
    "no-name": ["Order", "", "idle"],
    "nul": ["Order", "a\0b", "idle"],
    "status": ["Order", AGENT, "dancing"],
    "status-type": ["Order", AGENT, ["idle"]],
    "time-negative": ["Order", AGENT, "idle", 1, -1],
    "time-huge": ["Order", AGENT, "idle", 1, 10**40],
    "time-float": ["Order", AGENT, "idle", 1, 1.5],
    "time-bool": ["Order", AGENT, "idle", 1, True],
    "error-bytes": ["Order", AGENT, "idle", 1, 1, 1, 0, 0, "", b"x"],
}


@pytest.mark.parametrize("name", HEADS)
def test_k2_a_forged_head_is_refused(name: str) -> None:
    with pytest.raises(StoreCorruptError) as caught:
        [*load_heads(store(Space.HEAD, storage_key(AGENT), HEADS[name]))]
    assert (caught.value.space, caught.value.key) == ("HEAD", storage_key(AGENT))


CALL = ["Order", AGENT, "key", "pay", b"\x90", b"\x90", ORDER]
CALLS: dict[str, Any] = {
    "another-order": [*CALL[:6], ORDER + 1],
    "order-huge": [*CALL[:6], 2**70],
    "order-negative": [*CALL[:6], -ORDER],
    "another-agent": ["Order", "Other", *CALL[2:]],
    "no-key": [*CALL[:2], "", *CALL[3:]],
    "key-nul": [*CALL[:2], "a\0", *CALL[3:]],
    "digest-short": [*CALL[:4], [b"x", 5], *CALL[5:]],
    "digest-long": [*CALL[:4], [b"x" * 900, 5], *CALL[5:]],
    "size-negative": [*CALL[:4], [b"x" * 32, -5], *CALL[5:]],
    "size-huge": [*CALL[:4], [b"x" * 32, 2**80], *CALL[5:]],
    "method-none": [*CALL[:3], None, *CALL[4:]],
    "too-few": CALL[:6],
    "user-object": [*CALL[:4], samples.Plain(1), *CALL[5:]],
}


@pytest.mark.parametrize("name", CALLS)
def test_k2_a_forged_invocation_is_refused(name: str) -> None:
    with pytest.raises(StoreCorruptError):
        load_inbox(store(Space.INBOX, inbox_key(AGENT, ORDER), CALLS[name]), AGENT)
    if name != "another-agent":  # a timer's key does not name its agent
        key = (5).to_bytes(8, "big") + ORDER.to_bytes(8, "big")
        with pytest.raises(StoreCorruptError):
            [*load_scheduled(store(Space.SCHEDULED, key, CALLS[name]))]


@pytest.mark.parametrize(
    "row",
    [
        ["running", b"", False],
        ["completed", b"", 1],
        ["completed", "", True],
        ["completed", b""],
        5,
    ],
    ids=range(5),
)
def test_k2_a_forged_result_is_refused(row: object) -> None:
    key = storage_key(AGENT) + b"\0" + storage_key("key")
    with pytest.raises(StoreCorruptError):
        load_result(store(Space.RESULT, key, row), AGENT, "key")


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-1", b"0", b"01", b"1 ", b"1_0", b"\xd9\xa1", b"9" * 5000]
)
def test_k2_a_format_that_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(StoreCorruptError, match="where its format should be"):
        check_format(seal(Space.META, b"format", text), "here")


def test_a_newer_format_is_named() -> None:
    with pytest.raises(StoreVersionError, match="format 99"):
        check_format(seal(Space.META, b"format", b"99"), "here")


FORGED_CHUNKS: dict[str, Any] = {
    "Suspend-bool": (b"\x15", [[1, True]]),
    "Create-dict": (b"\x01", [[1, "T", "T(1)", b"", "c", 1, "0", {"clock": "x"}]]),
    "Create-bytes-key": (b"\x01", [[1, "T", "T(1)", b"", "c", 1, "0", {b"clock": 1}]]),
    "region-negative": (b"\x05", [[1, msgpack.ExtType(2, msgpack.packb((-1, 2)))]]),
    "reference-short": (b"\x04", [[1, msgpack.ExtType(1, msgpack.packb((b"x", 2))), False]]),
    "timestamp": (b"\x15", [[1, msgpack.Timestamp(1)]]),
    "value-extension": (b"\x15", [[1, msgpack.ExtType(Code.TUPLE, b"\x90")]]),
}


@pytest.mark.parametrize("name", FORGED_CHUNKS)
def test_k1_a_forged_entry_is_refused(name: str) -> None:
    kinds, bodies = FORGED_CHUNKS[name]
    with pytest.raises(DecodingError):
        decode_chunk(bytes([FORMAT_VERSION]) + kinds + b"\0" + msgpack.packb(bodies))


def test_a_forged_place_in_a_queue_hurts_nobody_else() -> None:
    """Places only grow: one that is too large would leave none for all who come later."""
    key = storage_key("Evil(1)") + b"\0" + b"\xff" * 8
    row = ["Evil", "Evil(1)", "key", "m", b"\x90", b"\x90", 2**64 - 1]
    engine = store(Space.INBOX, key, row)
    engine.commit([Batch(puts=((Space.SCHEDULED, b"\0" * 8 + b"\xff" * 8, encode(row)),))])
    with Runtime.over(engine, VirtualEnvironment(), Settings(write_behind_s=None)) as runtime:
        neighbour = runtime.get(HostileNeighbour, "n")
        assert [neighbour.call(), neighbour.call()] == [1, 2]


def test_a_sleep_beyond_all_records_is_refused_as_python_does() -> None:
    settings = Settings(suspend_after_s=0.0, write_behind_s=None)
    with (
        Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime,
        pytest.raises(OverflowError, match="at most"),
    ):
        runtime.run(hostile_sleeper, 1e12)

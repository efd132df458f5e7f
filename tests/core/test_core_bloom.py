"""A Bloom filter never says no to what is in it, and seldom yes to what is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.bloom import BloomFilter


@given(st.lists(st.binary(max_size=20)), st.integers(1, 64))
def test_what_was_put_in_is_in_it(elements: list[bytes], size_bytes: int) -> None:
    found = BloomFilter(size_bytes)
    for element in elements:
        found.add(element)
    assert all(element in found for element in elements)


def test_strangers_are_seldom_taken_for_one() -> None:
    found = BloomFilter(2_000)
    assert b"agent(0)" not in found
    for number in range(1_000):  # 16 bits each
        found.add(b"agent(%d)" % number)
    strangers = sum(b"stranger(%d)" % number in found for number in range(20_000))
    assert strangers < 20_000 // 100

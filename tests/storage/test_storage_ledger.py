"""What an engine remembers of its own records, so as not to read them back: it is never wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.errors import StoreFencedError, StoreFullError
from golem_sdk.storage import applying
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [b"a", b"b", b"c"]
PLACES = st.tuples(st.sampled_from([Space.HEAD, Space.INBOX, Space.RESULT]), st.sampled_from(KEYS))
VALUES = st.sampled_from([b"", b"v", b"w" * 900, b"x" * 3_000, b"y" * 30_000])
BATCHES = st.builds(
    lambda claim, puts, dels: Batch(
        claim, tuple((*place, value) for place, value in puts), tuple(dels)
    ),
    st.none() | st.builds(lambda place, value: (*place, value), PLACES, VALUES),
    st.lists(st.tuples(PLACES, VALUES), max_size=3),
    st.lists(PLACES, max_size=2),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LmdbEngine:
    return LmdbEngine(tmp_path_factory.mktemp("ledger") / "store")


@pytest.mark.parametrize("remembered", [4_096, 1, 0])
@given(commits=st.lists(st.lists(BATCHES, max_size=3), max_size=4))
def test_the_tally_is_right_whatever_was_remembered(
    engine: LmdbEngine, remembered: int, commits: list[list[Batch]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "_REMEMBERED", remembered)
        for batches in commits:
            engine.commit(batches)
            if any(not b.claim and (b.puts or b.dels) for b in batches):
                assert len(engine._ledger.checksums) <= remembered
    assert engine.verify() == []


def test_what_a_commit_left_undone_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([Batch(puts=((Space.HEAD, b"k", b"first"),))])
    with monkeypatch.context() as patch:
        patch.setattr(applying.Ledger, "leave", refuse)
        with pytest.raises(StoreFullError):
            engine.commit(
                [Batch(puts=((Space.HEAD, b"k", b"second"), (Space.INBOX, b"q", b"never")))]
            )
    engine.commit([Batch(puts=((Space.HEAD, b"l", b"other"),), dels=((Space.INBOX, b"q"),))])
    assert engine.get(Space.HEAD, b"k") == b"first"
    assert engine.verify() == []
    engine.close()


def test_x1_after_another_one_has_written_nothing_is(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([Batch(puts=((Space.HEAD, b"k", b"mine"),))])
    ledger = engine._ledger
    engine._ledger = applying.Ledger()  # as another process has its own
    engine.commit([Batch(puts=((Space.HEAD, b"k", b"theirs"), (Space.HEAD, b"l", b"theirs")))])
    engine._ledger = ledger
    for _ in range(2):
        with pytest.raises(StoreFencedError, match="another process has written"):
            engine.commit([Batch(puts=((Space.HEAD, b"k", b"mine again"),))])
    assert engine.get(Space.HEAD, b"k") == b"theirs"
    assert engine.verify() == []
    engine.close()


def refuse(*_: Any) -> None:
    raise StoreFullError("no room, says the test")

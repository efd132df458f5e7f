"""Damage to a store of agents (K2): none is silent, none kills, who is not hit runs on, the rest is saved.

``GOLEM_FUZZ=20 pytest tests/storage/test_storage_agents_damage.py`` damages more than 5,000 stores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from golem_sdk import Runtime
from golem_sdk.codec.entries import decode_chunk, is_archived
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.doctor.examine import examine
from golem_sdk.doctor.health import opened
from golem_sdk.doctor.repair import repair
from golem_sdk.errors import StoreCorruptError, StoreError, StoreLockedError
from golem_sdk.oplog.reader import chunk_key, read_entries
from golem_sdk.oplog.writer import EagerWriter
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.owner import OwnerLock
from golem_sdk.storage.records import seal
from golem_sdk.stores.heads import load_head
from promises.checkers import check_k2
from storage.agent_store import (
    NAMES,
    PAGE,
    AgentStore,
    DamagedKeeper,
    make,
    note_pages,
    read_rows,
)
from storage.powerloss import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.counting import Proved

STORES, RUNTIMES = 250, 20


def damaged_stores(checks: str, seed: int, stores: int, runtimes: int) -> str:
    script = Path(__file__).with_name("damage.py")
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        arguments = [directory, checks, *map(str, (seed, stores, runtimes))]
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.once
def test_no_damage_is_silent_or_kills(fuzz_scale: int, fuzz_seed: int, proved: Proved) -> None:
    for seed in range(fuzz_seed, fuzz_seed + fuzz_scale):  # each has another store
        output = damaged_stores("all", seed, STORES, RUNTIMES)
        counts: dict[str, int] = json.loads(output.splitlines()[-1])
        assert counts.keys() == {"noticed", "harmless"}, output
        proved("damaged stores", sum(counts.values()), **counts)


@pytest.mark.once
def test_the_checker_finds_damage_that_no_checksum_tells_of() -> None:
    assert "WRONG" in damaged_stores("no checksums", 1, 60, 0)


@pytest.mark.parametrize("tally", [True, False])
def test_it_is_the_tally_that_tells_a_page_of_an_earlier_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: bool
) -> None:
    path, pages = tmp_path / "store", dict[int, list[bytes]]()
    engine = LmdbEngine(path)
    for number in range(12):
        engine.commit([Batch(puts=((Space.HEAD, b"agent", b"%d" % number),))])
        note_pages(pages, (path / "data.mdb").read_bytes())
    engine.close()
    data = (path / "data.mdb").read_bytes()
    if not tally:
        monkeypatch.setattr("golem_sdk.storage.lmdb.check_tally", lambda *_, **__: None)
    silent = 0
    for page, content in [(page, old) for page, every in pages.items() for old in every[:-1]]:
        if page > 1:
            aged = data[: page * PAGE] + content + data[page * PAGE + PAGE :]
            (path / "data.mdb").write_bytes(aged)
            with suppress(StoreCorruptError):
                engine = LmdbEngine(path)
                silent += engine.get(Space.HEAD, b"agent") != b"11"
                engine.close()
    assert (silent == 0) == tally


# --- one agent is hit -----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> AgentStore:
    return make(tmp_path / "store")


def agent_key(name: str) -> bytes:
    return storage_key(f'DamagedKeeper("{name}")')


def chunks(store: AgentStore, name: str) -> list[bytes]:
    """The keys of an agent's oplog chunks."""
    prefix = agent_key(name) + b"\0"
    return sorted(k for space, k in store.rows if space is Space.OPLOG and k.startswith(prefix))


def rot(store: AgentStore, space: Space, key: bytes) -> None:
    """Flip a bit in the value of a record."""
    data = bytearray(store.data)
    sealed = key + seal(space, key, store.rows[space, key])
    assert data.count(sealed) >= 1
    position = data.find(sealed)
    while position >= 0:  # older copies may lie about
        data[position + len(sealed) - 1] ^= 1
        position = data.find(sealed)
    (store.path / "data.mdb").write_bytes(data)


def answers(path: Path, names: list[str]) -> Iterator[list[int] | StoreCorruptError]:
    with Runtime(path) as runtime:
        for name in names:
            try:
                yield runtime.trigger(runtime.get(DamagedKeeper, name).kept).result(timeout=60)
            except StoreCorruptError as error:
                yield error


def check_answers(path: Path, store: AgentStore, damaged: str) -> None:
    seen = dict(zip(ASKED, answers(path, ASKED), strict=True))
    assert check_k2({name: store.parcels[name] for name in ASKED}, seen, damaged) == []


ASKED = [NAMES[0], *NAMES[2:]]  # the other one rests


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_damaged_agent_is_set_aside_and_the_others_run_on(
    tmp_path: Path, store: AgentStore, place: str
) -> None:
    keys = chunks(store, NAMES[3])
    key = {"first": keys[0], "middle": keys[len(keys) // 2], "last": keys[-1]}[place]
    rot(store, Space.OPLOG, key)
    before = {file.name: file.read_bytes() for file in store.path.iterdir() if file.is_file()}
    done = repair(store.path, tmp_path / "new")
    assert before == {f.name: f.read_bytes() for f in store.path.iterdir() if f.is_file()}
    check_answers(store.path, store, NAMES[3])
    assert [agent.agent_id for agent in done.parked] == [f'DamagedKeeper("{NAMES[3]}")']
    assert done.agents == len(NAMES) - 1
    check_answers(tmp_path / "new", store, NAMES[3])
    (parked,) = done.parked
    assert parked.last == int.from_bytes(key[-8:], "big") - 1


def test_who_accepts_a_cut_history_reverts_to_it(tmp_path: Path, store: AgentStore) -> None:
    keys = chunks(store, NAMES[3])
    rot(store, Space.OPLOG, keys[-1])
    (parked,) = repair(store.path, tmp_path / "new").parked
    engine = LmdbEngine(tmp_path / "new")
    head = load_head(engine, parked.agent_id)
    engine.close()
    assert head is not None
    assert head.record.status is AgentStatus.FAILED
    assert head.record.last > parked.last
    with Runtime(tmp_path / "new") as runtime:
        runtime.revert(parked.agent_id, invocations=1)
        kept = runtime.get(DamagedKeeper, NAMES[3]).kept()
    assert kept == store.parcels[NAMES[3]][: len(kept)]
    assert len(kept) >= len(store.parcels[NAMES[3]]) - 2


@pytest.mark.parametrize("space", [Space.HEAD, Space.RESULT, Space.INBOX])
def test_what_lies_beside_an_oplog_is_made_anew_from_it(
    tmp_path: Path, store: AgentStore, space: Space
) -> None:
    for key in [key for of, key in store.rows if of is space and b"later" not in key]:
        data = (store.path / "data.mdb").read_bytes()
        rot(evolve(store, data=data), space, key)
    done = repair(store.path, tmp_path / "new")
    assert not done.findings.is_sound
    assert not done.parked
    engine = LmdbEngine(tmp_path / "new")
    rows = read_rows(engine)
    engine.close()
    old = {key for of, key in store.rows if of is space}
    new = {key for of, key in rows if of is space}
    if space is Space.INBOX:  # its place in the queue is another one
        old, new = ({key[:-8] for key in keys} for keys in (old, new))
    assert new == old
    check_answers(tmp_path / "new", store, "")


def test_a_sound_store_is_copied_whole(tmp_path: Path, store: AgentStore) -> None:
    done = repair(store.path, tmp_path / "new")
    assert done.findings.is_sound
    assert not done.left_behind
    engine = LmdbEngine(tmp_path / "new")
    rows = read_rows(engine)
    engine.close()
    assert {k: v for k, v in rows.items() if k[0] is not Space.HEAD} == {
        k: v for k, v in store.rows.items() if k[0] is not Space.HEAD
    }
    check_answers(tmp_path / "new", store, "")


def test_a_gap_in_an_oplog_is_found(store: AgentStore) -> None:
    engine = LmdbEngine(store.path)
    key = chunks(store, NAMES[4])[2]
    engine.commit([Batch(dels=((Space.OPLOG, key),))])
    engine.close()
    with opened(store.path, thoroughly=True) as salvage:
        findings = examine(salvage)
    (cut,) = [agent for agent in findings.agents.values() if agent.cut]
    assert cut.key == agent_key(NAMES[4])
    assert "is missing" in cut.cut
    assert chunk_key(cut.key, cut.last + 1) == key


def test_what_comes_before_the_damage_in_an_archived_chunk_is_kept(tmp_path: Path) -> None:
    store = make(tmp_path / "store", EagerWriter)
    key = agent_key(NAMES[2])
    archived = {at: data for (_, at), data in store.rows.items() if at in chunks(store, NAMES[2])}
    entries = [entry for data in archived.values() for entry in decode_chunk(data)]
    engine = LmdbEngine(store.path)
    pieces = [at for space, at in store.rows if space is Space.PAYLOAD]
    engine.commit([Batch(dels=tuple((Space.PAYLOAD, at) for at in pieces))])
    engine.close()
    (parked,) = repair(store.path, tmp_path / "new").parked
    engine = LmdbEngine(tmp_path / "new")
    kept = [entry for _, entry in read_entries(engine, key)]
    engine.close()
    first_chunk = decode_chunk(archived[chunk_key(key, 1)])
    assert is_archived(archived[chunk_key(key, 1)])
    assert 0 < parked.last < len(first_chunk)
    assert kept == entries[: parked.last]
    assert f"entry {parked.last + 1}," in parked.cut


def test_a_lost_end_is_not_taken_for_the_end(tmp_path: Path, store: AgentStore) -> None:
    engine = LmdbEngine(store.path)
    engine.commit([Batch(dels=((Space.OPLOG, chunks(store, NAMES[4])[-1]),))])
    engine.close()
    check_answers(store.path, store, NAMES[4])
    with opened(store.path, thoroughly=True) as salvage:
        findings = examine(salvage)
    assert [a.key for a in findings.agents.values() if a.cut] == [agent_key(NAMES[4])]


def test_repair_refuses_what_would_harm(tmp_path: Path, store: AgentStore) -> None:
    with pytest.raises(StoreError, match="something at"):
        repair(store.path, tmp_path)
    with pytest.raises(StoreError, match="is inside the store"):
        repair(store.path, store.path / "new")
    with OwnerLock(store.path), pytest.raises(StoreLockedError, match="already open"):
        repair(store.path, tmp_path / "new")
    (store.path / "data.mdb").write_bytes(bytes(100_000))
    with pytest.raises(StoreCorruptError, match="nothing can be found"):
        repair(store.path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.unfinished").exists()

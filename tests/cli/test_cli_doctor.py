"""``golem doctor``: health, damage by agent, and saving what is whole."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from cli.shelf import fill, golem
from golem_sdk import Runtime, agent, atomically, durable
from golem_sdk.core.entries import BeginAtomicRegion
from golem_sdk.core.ids import storage_key
from golem_sdk.oplog.reader import chunk_key
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine

if TYPE_CHECKING:
    from pathlib import Path

SHELF = 'Shelf("a")'


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fill(tmp_path / "store")
    return tmp_path / "store"


def cut(store: Path) -> None:
    """Take the beginning of the shelf's oplog away."""
    engine = LmdbEngine(store)
    engine.commit([Batch(dels=((Space.OPLOG, chunk_key(storage_key(SHELF), 1)),))])
    engine.close()


def test_a_sound_store_is_said_to_be_sound(store: Path) -> None:
    shown = golem("doctor", "--store", str(store))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "2 idle" in shown.stdout
    assert "nobody has it open" in shown.stdout
    assert "httpx" in shown.stdout
    assert golem("doctor", "--verify", "--store", str(store)).stdout.startswith("2 agents, ")


def test_a_store_in_use_can_be_looked_at(store: Path) -> None:
    with Runtime(store):
        shown = golem("doctor", "--store", str(store), "--format", "json")
        verified = golem("doctor", "--verify", "--store", str(store))
        repaired = golem("doctor", "--repair", str(store.with_name("new")), "--store", str(store))
    values = json.loads(shown.stdout)
    assert values["owner"]["pid"] > 0
    assert values["agents"] == {"idle": 2}
    assert values["warnings"] == []
    assert verified.returncode == 0
    assert repaired.returncode == 1
    assert "is owned by another runtime" in repaired.stderr
    assert not store.with_name("new").exists()


def test_damage_is_told_by_agent_and_the_rest_is_saved(store: Path) -> None:
    cut(store)
    new = store.with_name("new")
    verified = golem("doctor", "--verify", "--store", str(store))
    assert verified.returncode == 1
    assert f"{SHELF}: entry 1 is missing" in verified.stdout
    assert "1 agent is damaged" in verified.stdout
    assert "\x1b" not in verified.stdout  # the other agent's name tries to act on the terminal
    repaired = golem("doctor", "--repair", str(new), "--store", str(store))
    assert repaired.returncode == 1
    assert f"{SHELF} is set aside: entry 1 is missing" in repaired.stdout
    assert "holds 1 agent that goes on and 1 that is set aside" in repaired.stdout
    assert "agent revert" not in repaired.stdout, "of this one nothing is left to go on from"
    shown = json.loads(golem("doctor", "--store", str(new), "--format", "json").stdout)
    assert [parked["agent_id"] for parked in shown["parked"]] == [SHELF]
    values = json.loads(
        golem("doctor", "--verify", "--store", str(store), "--format", "json").stdout
    )
    by_id = {agent["agent_id"]: agent for agent in values["agents"]}
    assert not values["sound"]
    assert not by_id[SHELF]["runs"]
    assert all(agent["runs"] for name, agent in by_id.items() if name != SHELF)


def test_an_agent_that_was_cut_goes_on_by_the_command_that_is_printed(store: Path) -> None:
    engine = LmdbEngine(store)
    oplog = engine.scan(Space.OPLOG, chunk_key(storage_key(SHELF), 1), None, limit=100)
    last = [key for key, _ in oplog if key.startswith(storage_key(SHELF))][-1]
    engine.commit([Batch(dels=((Space.OPLOG, last),))])
    engine.close()
    new = store.with_name("new")
    repaired = golem("doctor", "--repair", str(new), "--store", str(store)).stdout
    (command,) = [line for line in repaired.splitlines() if line.startswith("  golem ")]
    assert golem(*shlex.split(command)[1:]).returncode == 0
    assert golem("doctor", "--verify", "--store", str(new)).returncode == 0


@durable
def stock(what: str) -> str:
    return what


@agent
class CutShelf:
    def __init__(self, name: str) -> None:
        self.things: list[str] = []

    def fill(self) -> int:
        with atomically():
            self.things += [stock(what) for what in ("jam", "tea", "salt")]
        return len(self.things)


def test_an_agent_that_was_cut_in_a_region_goes_on_before_it(tmp_path: Path) -> None:
    path, new = tmp_path / "store", tmp_path / "new"
    with Runtime(path) as runtime:
        shelf = runtime.get(CutShelf, "a")
        assert shelf.fill() == 3
        (begin,) = [at for at, e in runtime.oplog(shelf) if isinstance(e, BeginAtomicRegion)]
    engine, key = LmdbEngine(path), storage_key('CutShelf("a")')
    oplog = engine.scan(Space.OPLOG, chunk_key(key, begin + 2), None, limit=100)
    engine.commit([Batch(dels=tuple((Space.OPLOG, chunk) for chunk, _ in oplog[1:]))])
    engine.close()
    repaired = golem("doctor", "--repair", str(new), "--store", str(path)).stdout
    (command,) = [line for line in repaired.splitlines() if line.startswith("  golem ")]
    assert f"--to-index {begin - 1} " in command
    assert golem(*shlex.split(command)[1:]).returncode == 0
    with Runtime(new) as runtime:
        assert runtime.get(CutShelf, "a").fill() == 6, "the one that was begun goes on first"


def test_a_repaired_store_is_as_sound_as_the_old_one(store: Path) -> None:
    new = store.with_name("new")
    repaired = golem("doctor", "--repair", str(new), "--store", str(store), "--format", "json")
    assert repaired.returncode == 0
    values = json.loads(repaired.stdout)
    assert (values["sound"], values["left_behind"]) == (True, [])
    listed = [golem("agent", "list", "--store", str(path)).stdout for path in (store, new)]
    assert listed[0].split() == listed[1].split()
    again = golem("doctor", "--repair", str(new), "--store", str(store))
    assert again.returncode == 1
    assert "something at" in again.stderr


def test_a_file_in_which_nothing_is_found_is_an_error_and_no_crash(store: Path) -> None:
    (store / "data.mdb").write_bytes(b"\xff" * 50_000)
    for options in ([], ["--verify"], ["--repair", str(store.with_name("new"))]):
        shown = golem("doctor", *options, "--store", str(store))
        assert shown.returncode == 1
        assert "nothing can be found" in shown.stderr
        assert "Traceback" not in shown.stderr


def test_an_empty_file_is_damage(store: Path) -> None:
    (store / "data.mdb").write_bytes(b"")
    for command in ("doctor", "doctor --verify", "agent list"):
        shown = golem(*command.split(), "--store", str(store))
        assert shown.returncode == 1
        assert "damaged" in shown.stderr


def test_no_store_is_an_error(tmp_path: Path) -> None:
    shown = golem("doctor", "--store", str(tmp_path / "none"))
    assert shown.returncode == 1
    assert "there is no store" in shown.stderr

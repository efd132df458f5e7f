"""S2: what earlier releases stored is opened, listed, replayed and finished by today's code."""

from __future__ import annotations

import json
import os
import tarfile
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codec.strategies import same
from golden import make, programs, sample
from golem_sdk import Runtime
from golem_sdk.cli.command_line import run_command_line
from golem_sdk.codec import records
from golem_sdk.codec.entries import decode_chunk
from golem_sdk.codec.values import decode, encode
from golem_sdk.core.entries import ENTRY_KINDS, Entry, PayloadRef
from golem_sdk.core.status import fold_status
from golem_sdk.errors import GolemError, UnknownOutcomeError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.testing.environment import VirtualEnvironment
from golem_sdk.viewer import open_viewer

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASES = sorted(path.parent for path in Path(__file__).parent.glob("*/store.tar.xz"))
NEWEST = RELEASES[-1]


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def store(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden store of a release, unpacked."""
    path = tmp_path / "store"
    path.mkdir(0o700)
    with tarfile.open(release / "store.tar.xz") as archive:
        (path / "data.mdb").write_bytes(archive.extractfile("data.mdb").read())  # type: ignore[union-attr]  # a file
    monkeypatch.setenv("GOLDEN_DATABASE", str(tmp_path / "no such directory" / "golden.db"))
    monkeypatch.delenv(programs.DIE, raising=False)
    programs.EFFECTS.clear()
    return path


@contextmanager
def opened(path: Path) -> Iterator[Runtime]:
    """A runtime on the store, at a time after everything in it; a month passes in no time."""
    environment = VirtualEnvironment()
    environment._now_ns = round(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    settings = Settings(suspend_after_s=0.0, write_behind_s=None)
    with Runtime.over(LmdbEngine(path), environment, settings) as runtime:
        yield runtime
    environment.join(60.0)


def content(release: Path, name: str) -> Any:
    return json.loads((release / name).read_text())


# --- stores ---------------------------------------------------------------------------------------


def test_s1_an_old_store_is_listed(release: Path, store: Path) -> None:
    viewer = open_viewer(store)
    try:
        agents = {agent.agent_id: agent for agent in viewer.agents()}
        assert {name: found.status.value for name, found in agents.items()} == content(
            release, "agents.json"
        )
        for name, agent in agents.items():
            folded = fold_status(viewer.oplog(name))
            assert folded.status is agent.status
            assert folded.completed == agent.completed
    finally:
        viewer.close()


def test_s2_an_old_store_holds_every_kind_of_entry_and_all_is_read(store: Path) -> None:
    viewer, kinds = open_viewer(store), set()
    try:
        for agent in viewer.agents():
            for _, entry in viewer.oplog(agent.agent_id):
                kinds.add(type(entry).__name__)
                for payload in payloads(entry):
                    viewer.value(payload)
    finally:
        viewer.close()
    known = {kind.entry_class.__name__ for kind in ENTRY_KINDS.values()}
    assert kinds == known


def payloads(entry: Entry) -> list[Any]:
    named = [f.name for f in attrs.fields(type(entry)) if str(f.type) == "Payload"]
    found = [getattr(entry, name) for name in named]
    return [payload for payload in found if isinstance(payload, PayloadRef) or payload]


def test_the_command_line_shows_an_old_store(
    release: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["agent", "list", "--store", str(store), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(content(release, "agents.json"))
    for agent_id in content(release, "agents.json"):
        for words in ([], ["--format", "json"]):
            assert (
                run_command_line(["agent", "oplog", agent_id, "--store", str(store), *words]) == 0
            )
            assert capsys.readouterr().out


def test_p2_old_results_are_given_again_and_old_state_is_replayed(store: Path) -> None:
    with opened(store) as runtime:
        for name, call in programs.CALLS.items():
            handle = make.handle_of(runtime, name, call)
            if name == "fail":
                with pytest.raises(LookupError, match="golden failure") as caught:
                    handle.result(timeout=60)
                assert caught.value.args == ("golden failure", {"code": 7})
                continue
            wanted = sample.VALUES.get(name.removeprefix("value "), programs.RESULTS.get(name))
            alike(handle.result(timeout=60), wanted)
        state = runtime.get(programs.GoldenSync, "a")
        assert state.all() == ["open a done", "book done"]
        assert runtime.get(programs.GoldenSync, "reverted").all() == [
            "open reverted done",
            "kept done",
        ]
        for name, value in sample.VALUES.items():
            if f"value {name}" in programs.CALLS:
                alike(runtime.get(programs.GoldenValues).give(name), value)
    finishing = {"second half", "after the nap", "queued", "Ada wakes", "open later", "on time"}
    assert set(programs.EFFECTS) <= finishing


def alike(left: Any, right: Any) -> None:
    if isinstance(right, BaseException):
        assert type(left) is type(right)
        assert str(left) == str(right)
        return
    assert same(left, right)


def test_p3_what_was_under_way_is_finished(store: Path) -> None:
    with opened(store) as runtime:
        for name, call in programs.UNFINISHED.items():
            result = make.handle_of(runtime, name, call).result(timeout=60)
            assert result == programs.RESULTS[name], name
        later = runtime.get(programs.GoldenSync, "later")
        handle = runtime.trigger(later.add, "never asked for", key="scheduled")
        assert handle.result(timeout=60) == programs.RESULTS["scheduled"]
    assert sorted(programs.EFFECTS) == sorted(
        ["second half", "after the nap", "queued", "Ada wakes", "open later", "on time"]
    )


def test_p3_a_parked_agent_stays_parked_until_somebody_says_what_happened(store: Path) -> None:
    with opened(store) as runtime:
        with pytest.raises(GolemError) as caught:
            make.handle_of(runtime, "pay", programs.PARKED).result(timeout=60)
        assert isinstance(caught.value, UnknownOutcomeError) or caught.value.__cause__ is not None
        runtime.resume("golden_payout(5)", happened=True, result="wired by hand")
        handle = make.handle_of(runtime, "pay", programs.PARKED)
        assert handle.result(timeout=60) == "wired by hand"
    assert "wire 5" not in programs.EFFECTS


def test_a_store_that_cannot_be_read_any_more_is_noticed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_BUILT_IN_FACTORIES", frozenset())
    monkeypatch.setattr("golem_sdk.codec.entries._REF", 9)
    with pytest.raises((GolemError, AssertionError)):
        test_s2_an_old_store_holds_every_kind_of_entry_and_all_is_read(store)


def test_a_store_that_lost_an_entry_is_noticed(store: Path) -> None:
    engine = LmdbEngine(store)
    rows = engine.scan(Space.OPLOG, b"golden_guards", b"golden_guardt", limit=99)
    engine.commit([Batch(dels=((Space.OPLOG, rows[-1][0]),))])
    engine.close()
    with pytest.raises((AssertionError, GolemError)):
        test_s1_an_old_store_is_listed(NEWEST, store)


# --- encodings ------------------------------------------------------------------------------------


def test_s2_old_bytes_are_the_values_and_entries_that_they_were(release: Path) -> None:
    found = content(release, "encodings.json")["encodings"]
    for name, text in found.items():
        kind, _, rest = name.partition(" ")
        if kind == "value":
            alike(decode(bytes.fromhex(text)), sample.VALUES[rest])
        elif kind == "entry":
            (entry,) = decode_chunk(bytes.fromhex(text))
            assert entry in sample.ENTRIES, name


def test_an_encoding_changes_only_with_the_number_of_its_format() -> None:
    """If it fails: raise `FORMAT` or `FORMAT_VERSION`, go on reading the old one, make new golden files."""
    recorded = content(NEWEST, "encodings.json")
    if recorded["formats"] != make.formats():
        pytest.fail(f"formats changed: run `python -m golden.make` for {make.formats()}")
    today = make.encodings()
    changed = {name for name, text in recorded["encodings"].items() if today.get(name) != text}
    assert changed == set(), "encodings changed, and the formats have the same numbers"
    assert today.keys() == recorded["encodings"].keys(), "make new golden files: the sample grew"


def test_the_golden_files_are_as_they_were_made(release: Path) -> None:
    recorded = content(release, "encodings.json")
    text = json.dumps(recorded["encodings"], sort_keys=True)
    assert sha256(text.encode()).hexdigest() == recorded["digest"]
    assert os.path.getsize(release / "store.tar.xz") < 100_000


def test_a_changed_encoding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "encode", lambda value: encode(value) + b"\0")
    with pytest.raises(AssertionError, match="encodings changed"):
        test_an_encoding_changes_only_with_the_number_of_its_format()


def test_the_sample_is_complete() -> None:
    """Every extension code and every kind of entry occurs in the golden bytes."""
    from golem_sdk.codec.codes import Code

    kinds = {type(entry) for entry in sample.ENTRIES}
    assert kinds == {kind.entry_class for kind in ENTRY_KINDS.values()}
    assert codes_in(list(sample.VALUES.values())) == {*Code}


def codes_in(values: list[Any]) -> set[int]:
    import msgpack

    found: set[int] = set()

    def note(code: int, data: bytes) -> Any:
        found.add(code)
        if code not in raw:
            msgpack.unpackb(
                data, ext_hook=note, strict_map_key=False, unicode_errors="surrogatepass"
            )
        return None

    from golem_sdk.codec import tables

    raw = {code for code, is_raw, _ in tables.RAISE.values() if is_raw}
    for value in values:
        msgpack.unpackb(
            encode(value), ext_hook=note, strict_map_key=False, unicode_errors="surrogatepass"
        )
    return found

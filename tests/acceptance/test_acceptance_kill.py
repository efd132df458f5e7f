"""Real processes, really killed, with a witness outside that remembers (P2, P3, P4)."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from acceptance import nursery, victim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.counting import Proved

HERE = Path(__file__).parent
ROUNDS = 8
KILLS = 25
"""In each round; together 200."""

INVOCATIONS = 24
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def forked() -> Iterator[Callable[..., nursery.Life]]:
    with nursery.Nursery("acceptance.victim") as lives:
        yield lives.begin


@define
class Witness:
    """The other process, and what it has written down."""

    url: str
    ledger: Path
    tells: int
    seen: int = 0

    def look(self) -> None:
        """It has something to tell."""
        self.seen += len(os.read(self.tells, 1000))

    def rows(self) -> list[list[str]]:
        return [json.loads(row) for row in self.ledger.read_text().splitlines()]


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Callable[[], Witness]]:
    """Starts witnesses, each with a ledger of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> Witness:
        ledger = tmp_path / f"ledger{len(started)}"
        command = [sys.executable, str(HERE / "witness.py"), str(ledger), "telling"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        started.append(process)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        return Witness(f"http://127.0.0.1:{port}", ledger, process.stdout.fileno())

    yield start
    for process in started:
        process.kill()
        process.communicate()


@define
class Story:
    """What becomes of one store, and of the calls that are made of its agents.

    Attributes:
        told: the result of each call, once a caller was told.
        cut: how often each call may have been under way at a kill.
        kills: how many lives were killed at work.
    """

    begin: Callable[[], nursery.Life]
    witness: Witness
    told: dict[int, object] = field(factory=dict)
    cut: Counter[int] = field(factory=Counter)
    kills: int = 0

    def live(self, draw: random.Random | None) -> bool:
        """One life: to its end, or killed after some more writes or a moment later. True: it ended."""
        life = self.begin()
        heard = b"" if draw is None else self._until(life, draw)
        if draw is not None:
            life.kill()
        rest, status = life.end()
        lines = (heard.decode() + rest).split("\n")[
            :-1
        ]  # a line that was cut off was told to nobody
        for number, result in map(json.loads, lines[1:]):
            assert self.told.setdefault(number, result) == result, "P4: what was told changed"
        if status == 0:
            return True
        assert draw is not None, "it failed by itself"
        assert status == -signal.SIGKILL
        assert lines[0] == "open"
        self.kills += len(self.told) < INVOCATIONS  # otherwise it was not at work any more
        self.cut.update(n for n in range(len(self.told) + victim.AHEAD) if n not in self.told)
        return False

    def _until(self, life: nursery.Life, draw: random.Random) -> bytes:
        """What it says until the moment has come to kill it."""
        heard, last = b"", self.witness.seen + draw.randint(0, 3)
        lingers_s = draw.choice([0.0, 0.0, draw.uniform(0, 0.01)])
        while b"\n" not in heard or self.witness.seen < last:
            ready, _, _ = select.select([life.said, self.witness.tells], [], [], PATIENCE_S)
            assert ready, "it hangs"
            if self.witness.tells in ready:
                self.witness.look()
            if life.said in ready:
                piece = os.read(life.said, 1000)
                heard += piece
                if not piece:
                    return heard
        select.select([life.said], [], [], lingers_s)
        return heard

    def check(self) -> tuple[int, int]:
        """Judge it after its end: how many writes the witness has seen, and how many of them again."""
        expected = victim.expected(INVOCATIONS)
        assert [self.told.get(number) for number in range(INVOCATIONS)] == expected, "P2"
        rows = self.witness.rows()
        keys: dict[tuple[str, str], set[str]] = {}
        for key, path, body in rows:
            keys.setdefault((path, body), set()).add(key)
        assert all(len(used) == 1 for used in keys.values()), "P3: one write, one idempotency key"
        assert all(key for used in keys.values() for key in used)
        assert len({key for key, _, _ in rows}) == len(keys), "P3: no key for two writes"
        for (key, number), times in Counter((key, json.loads(b)[1]) for key, _, b in rows).items():
            assert times <= 1 + self.cut[number], f"P3: {key} {times} times"
        purchases = INVOCATIONS * 2
        assert len(keys) == purchases + INVOCATIONS // 2 * 3, "P3: none is lost"
        return len(rows), len(rows) - len(keys)


def kill_again_and_again(
    store: Path,
    begin: Callable[..., nursery.Life],
    witness: Witness,
    draw: random.Random,
    most: int,
) -> Story:
    """So many kills of the agents of one store, or as many as it takes them to be done with their work."""
    story = Story(partial(begin, store, witness.url, INVOCATIONS), witness)
    while story.kills < most and not story.live(draw):
        pass
    assert story.live(None)
    return story


@pytest.fixture
def done(
    tmp_path: Path, witness: Callable[[], Witness], forked: Callable[..., nursery.Life]
) -> Story:
    return kill_again_and_again(tmp_path / "store", forked, witness(), random.Random(1), 3)


def test_a_write_too_many_is_noticed(done: Story) -> None:
    rows = [json.dumps(row) for row in done.witness.rows()]
    first = json.loads(json.loads(rows[0])[2])[1]
    done.witness.ledger.write_text("\n".join([*rows, *[rows[0]] * (done.cut[first] + 1)]))
    with pytest.raises(AssertionError, match=r"P3: .* times"):
        done.check()


def test_a_lost_write_is_noticed(done: Story) -> None:
    rows = done.witness.rows()
    left = [json.dumps(row) for row in rows if row[0] != rows[-1][0]]
    done.witness.ledger.write_text("\n".join(left))
    with pytest.raises(AssertionError, match="P3: none is lost"):
        done.check()


def test_another_key_for_a_write_is_noticed(done: Story) -> None:
    rows = done.witness.rows()
    rows.append(["another", *rows[-1][1:]])
    done.witness.ledger.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(AssertionError, match="P3: one write"):
        done.check()


def test_a_result_that_changed_is_noticed(done: Story) -> None:
    done.told[3] = "something else"
    with pytest.raises(AssertionError, match="P4"):
        done.live(None)
    with pytest.raises(AssertionError, match="P2"):
        done.check()


def test_a_life_that_fails_is_noticed(done: Story, forked: Callable[..., nursery.Life]) -> None:
    done.begin = partial(forked, "too", "few")
    with pytest.raises(AssertionError, match="failed by itself"):
        done.live(None)


@pytest.mark.once
def test_killed_in_interpreters_of_their_own(
    tmp_path: Path, witness: Callable[[], Witness], fuzz_seed: int, proved: Proved
) -> None:
    draw = random.Random(f"{fuzz_seed} fresh")
    begin = partial(nursery.fresh, "acceptance.victim")
    story = kill_again_and_again(tmp_path / "store", begin, witness(), draw, KILLS)
    writes, again = story.check()
    proved("real kills", story.kills, writes=writes, again=again)


@pytest.mark.parametrize("number", range(1, ROUNDS))
def test_killed_again_and_again(
    number: int,
    tmp_path: Path,
    witness: Callable[[], Witness],
    forked: Callable[..., nursery.Life],
    fuzz_scale: int,
    fuzz_seed: int,
    proved: Proved,
) -> None:
    draw, left, stores = random.Random(f"{fuzz_seed} {number}"), KILLS * fuzz_scale, 0
    while left > 0:
        store = tmp_path / f"store{stores}"
        story = kill_again_and_again(store, forked, witness(), draw, min(left, KILLS))
        writes, again = story.check()
        proved("real kills", story.kills, writes=writes, again=again)
        left, stores = left - story.kills, stores + 1

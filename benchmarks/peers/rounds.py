"""Rounds in which ours and a peer do the same, one after the other, each pair between raw commits."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.limits import RawStore
from benchmarks.peers.comparisons import ROWS, Comparison, Pairs
from benchmarks.peers.contestants import ours
from benchmarks.peers.processes import CannotRunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.__main__ import Plan
    from benchmarks.peers.contestants import Contestant
    from benchmarks.peers.peers import Peer
    from benchmarks.peers.worker import Values

__all__ = ["compare"]

WORKS = ["W1", "W2/1", "W2/64", "W3"]


def compare(plan: Plan, peer: Peer, cache: Path) -> Comparison:
    """All rounds with one peer. What it cannot do is told in the comparison, and is no error."""
    samples = _Samples()
    versions: dict[str, str] = {}
    not_run: list[str] = []
    with ExitStack() as stack:
        # A server's last file may appear while the directory is being removed.
        scratch = TemporaryDirectory(dir=plan.directory, ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(scratch)).resolve()
        directory.chmod(0o755)  # PostgreSQL's own user comes through it
        raw = RawStore(directory / "raw")
        stack.callback(raw.close)
        us = stack.enter_context(ours(directory / "ours"))
        try:
            them = stack.enter_context(peer.start(cache, directory / "peer"))
            versions = {**us.versions, **them.versions}
            _Rounds(plan, us, them, raw, samples).run()
        except CannotRunError as error:
            not_run.append(str(error))
    pairs = [
        Pairs(name, samples.ours[name], samples.peer[name], peer.floors.get(name))
        for name in ROWS
        if samples.peer[name]
    ]
    return Comparison(peer.label, versions, pairs, samples.raw_us, not_run)


class _Samples:
    """What the rounds have given so far."""

    def __init__(self) -> None:
        self.ours: dict[str, list[float]] = defaultdict(list)
        self.peer: dict[str, list[float]] = defaultdict(list)
        self.raw_us: list[float] = []

    def add(self, ours: Values, peer: Values) -> None:
        for name in ours:
            self.ours[name].append(ours[name])
            self.peer[name].append(peer[name])


class _Rounds:
    """Both contestants at work. Each work gets a number of its own."""

    def __init__(
        self, plan: Plan, us: Contestant, them: Contestant, raw: RawStore, samples: _Samples
    ) -> None:
        self._plan = plan
        self._us = us
        self._them = them
        self._raw = raw
        self._samples = samples
        self._run = 0

    def run(self) -> None:
        for name in WORKS:  # what is loaded and compiled on first use is paid for here
            self._both(name, max(self._plan.size // 20, 1))
        for _ in range(self._plan.rounds):
            self._limit()
            for name in WORKS:
                self._samples.add(*self._both(name, self._plan.size))
                self._limit()
        for _ in range(self._plan.kills):
            self._samples.add(*self._recoveries())
            self._limit()

    def _both(self, name: str, size: int) -> tuple[Values, Values]:
        self._run += 1
        run = self._run
        return self._ours(lambda: self._us.work(name, run, size)), self._them.work(name, run, size)

    def _recoveries(self) -> tuple[Values, Values]:
        self._run += 2
        return self._ours(lambda: self._recovery(self._us)), self._recovery(self._them)

    def _recovery(self, contestant: Contestant) -> Values:
        """The replay of one step stands for all that does not grow with their number."""
        steps = self._plan.recovered_steps
        whole_s, long_s = contestant.recover(self._run, steps)
        _, short_s = contestant.recover(self._run + 1, 1)
        return {"W4 whole": whole_s, "W4 replay": max(long_s - short_s, 1e-9) / (steps - 1) * 1e6}

    def _ours(self, measure: Callable[[], Values]) -> Values:
        """That a peer fails is told; that we do is an error."""
        try:
            return measure()
        except CannotRunError as error:
            raise RuntimeError(f"golem_sdk itself could not be measured: {error}") from error

    def _limit(self) -> None:
        self._samples.raw_us.append(self._raw.commit_us(self._plan.raw_commits))

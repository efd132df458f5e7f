"""Under load everybody is answered."""

from __future__ import annotations

from itertools import count
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from golem_sdk import Runtime, agent
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment
from storage.gates import claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.storage.base import Batch


@agent
class Loaded:
    def __init__(self, name: str) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count


def over(engine: MemoryEngine) -> Runtime:
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    return Runtime.over(engine, VirtualEnvironment(), settings)


class Sought(MemoryEngine):
    """During each commit somebody has something to commit that he does not wait for."""

    busy = False
    runtime: Runtime

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count()
        self.by_caller = 0

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        if current_thread() is main_thread():
            self.by_caller += 1
        if self.busy and self.by_caller < 5_000:  # else a caller who commits for all never returned
            committer = self.runtime._kernel.committer
            ticket = committer.submit(claim(b"%d" % next(self.numbers)))
            committer.tell(ticket, lambda error: None)
        return super().commit(batches)


def test_a_caller_is_answered_while_others_are_busy() -> None:
    engine = Sought()
    with over(engine) as runtime:
        engine.runtime = runtime
        loaded = runtime.get(Loaded, "asked")
        assert loaded.add() == 1
        engine.busy, before = True, engine.by_caller
        runtime.trigger(loaded.add)
        assert engine.by_caller - before < 1_000
        engine.busy = False
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one

"""Under load everybody is answered."""

from __future__ import annotations

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

    left = 0
    commits = 0
    runtime: Runtime

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        self.commits += 1
        if self.left:
            self.left -= 1
            committer = self.runtime._kernel.committer
            committer.tell(committer.submit(claim(b"%d" % self.left)), lambda error: None)
        return super().commit(batches)


def test_a_caller_is_answered_while_others_are_busy() -> None:
    engine = Sought()
    with over(engine) as runtime:
        engine.runtime = runtime
        loaded = runtime.get(Loaded, "asked")
        assert loaded.add() == 1
        engine.left, before = 5_000, engine.commits
        runtime.trigger(loaded.add)
        assert engine.commits - before < 1_000
        assert engine.left > 0
        engine.left = 0
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one

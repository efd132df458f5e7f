"""State machines over agents with planted bugs, and one over an agent without."""

from __future__ import annotations

import enum
import time
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from golem_sdk import agent, durable, get
from golem_sdk.testing import AgentStateMachine, Step, steps

__all__ = ["ForgetfulMachine", "RepeatingMachine", "SoundMachine"]


class Stamp(enum.Enum):
    PLAIN = "plain"
    EXPRESS = "express"


SENT: list[tuple[Stamp, int]] = []


@durable
def send(stamp: Stamp, number: int) -> int:
    SENT.append((stamp, number))
    return number


@agent(name="PostOfficeOfTests")
class PostOffice:
    def __init__(self, town: str) -> None:
        self.sent: list[int] = []

    def mail(self, stamp: Stamp, number: int) -> int:
        self.sent.append(send(stamp, number))
        return len(self.sent)


class RepeatingMachine(AgentStateMachine):
    """Its model says that nothing is ever sent twice. A crash beside a write sends it twice."""

    def __init__(self) -> None:
        super().__init__()
        SENT.clear()
        self.mailed = 0

    def steps(self) -> st.SearchStrategy[Step]:
        towns = st.tuples(st.sampled_from(["Ulm", "Bath"]))
        return steps(PostOffice, towns, "mail", st.sampled_from(Stamp), st.integers(0, 99))

    def answered(self, step: Step, result: Any, error: Exception | None) -> None:
        super().answered(step, result, error)
        self.mailed += 1

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        assert len(SENT) == self.mailed


ASKED: list[int] = []


@agent(name="OracleOfTests")
class Oracle:
    def __init__(self, town: str) -> None:
        self.asked = 0

    def ask(self, number: int) -> int:
        ASKED.append(number)  # not journaled: replay does it again
        self.asked = len(ASKED)
        return self.asked


class ForgetfulMachine(AgentStateMachine):
    """Its agent's results depend on a list of the process, which no replay brings back."""

    def __init__(self) -> None:
        super().__init__()
        ASKED.clear()

    @rule(number=st.integers(0, 9))
    def ask(self, number: int) -> None:
        self.runtime.get(Oracle, "Delphi").ask(number)


@agent(name="LedgerOfTests")
class Ledger:
    def __init__(self, name: str) -> None:
        self.total = 0

    def add(self, by: int) -> int:
        send(Stamp.PLAIN, by)
        time.sleep(30)
        self.total += by
        return self.total

    def refuse(self, why: str) -> None:
        raise LookupError(why)

    async def pass_on(self, by: int) -> int:
        return int(await get(Ledger, "other").add_later(by))

    async def add_later(self, by: int) -> int:
        self.total += by
        return self.total


class SoundMachine(AgentStateMachine):
    """Compares agents that call each other with a model."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = {"main": 0, "other": 0}
        self.refusals = 0

    def steps(self) -> st.SearchStrategy[Step]:
        amounts = st.integers(0, 9)
        return st.one_of(
            steps(Ledger, ("main",), "add", amounts),
            steps(Ledger, ("main",), "pass_on", amounts),
            steps(Ledger, ("main",), "refuse", st.sampled_from(["", "no"])),
        )

    def answered(self, step: Step, result: Any, error: Exception | None) -> None:
        super().answered(step, result, error)
        if step.method == "refuse":
            assert type(error) is LookupError
            self.refusals += 1
            return
        assert error is None
        name = "main" if step.method == "add" else "other"
        self.totals[name] += step.arguments[0]
        assert result == self.totals[name]

    @precondition(lambda self: self.refusals)
    @rule(by=st.integers(1, 3), days=st.integers(0, 2))
    def add_in_the_background(self, by: int, days: int) -> None:
        handle = self.runtime.trigger(self.runtime.get(Ledger, "main").add, by)
        self.runtime.clock.advance(days * 86400)
        self.totals["main"] += by
        assert handle.result(timeout=60) == self.totals["main"]

    @invariant()
    def totals_are_those_of_the_model(self) -> None:
        ledger = self.runtime.get(Ledger, "main")
        if self.totals["main"]:
            assert ledger.add(0) == self.totals["main"]

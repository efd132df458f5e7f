"""What an examination finds: of each agent how much of its oplog is whole, and what else is wrong."""

from __future__ import annotations

from collections import deque
from functools import partial

from attrs import define, field

from golem_sdk.core.entries import Create, OplogIndex
from golem_sdk.core.plan import EMPTY_PLAN, Plan
from golem_sdk.core.status import NEW_AGENT, StatusRecord
from golem_sdk.storage.base import Space
from golem_sdk.storage.salvage import Gap

__all__ = ["AgentFindings", "Findings"]

_ENDS = 64
"""Of so many it is known that they lie inside nothing: the newest may have been dropped by a jump."""


@define
class AgentFindings:
    """What is known of one agent.

    Attributes:
        key: its key in the store.
        agent_id, agent_type: its name and its type's name, as far as they are known.
        last: its entries from 1 to this one are whole.
        written: as many entries it had at least.
        create: the first of them.
        record: the status that the whole ones give.
        rests_at: the last of its entries when it came to rest, by its head; 0: it was at work.
        plan: the plan that they give.
        ends: the newest of them that lie inside nothing.
        under_way: index of the beginning of the invocation that was running at their end, 0: none was.
        cut: why not all of its entries are there, or why that cannot be shown; empty: all are.
        problems: what else is wrong with what belongs to it; it can run nevertheless.
    """

    key: bytes
    agent_id: str = ""
    agent_type: str = ""
    last: OplogIndex = 0
    written: OplogIndex = 0
    create: Create | None = None
    record: StatusRecord = NEW_AGENT
    rests_at: OplogIndex = 0
    plan: Plan = EMPTY_PLAN
    ends: deque[OplogIndex] = field(factory=partial(deque[OplogIndex], maxlen=_ENDS))
    under_way: OplogIndex = 0
    cut: str = ""
    problems: list[str] = field(factory=list)

    @property
    def name(self) -> str:
        """How people call it."""
        return self.agent_id or self.key.decode("utf-8", "backslashreplace")

    @property
    def way_back(self) -> OplogIndex:
        """The newest entry to which it can be reverted, 0 if none is known."""
        found = (i for i in self.ends if i < self.last and self.plan.regions.is_visible(i))
        return max(found, default=0)

    @property
    def complaints(self) -> list[str]:
        """Everything that is wrong with it."""
        return [self.cut, *self.problems] if self.cut else self.problems

    def keys(self) -> tuple[bytes, bytes]:
        """Between which keys everything of it lies, in the spaces with composed keys."""
        return self.key + b"\0", self.key + b"\1"


@define
class Findings:
    """What an examination found.

    Attributes:
        transaction: the newest transaction of the store.
        problems: what is wrong with the store and cannot be laid at one agent's door.
        structure: what is wrong with the file's pages; no record need be lost by it.
        agents: by key.
        payloads: hashes of the payloads that are whole.
        counts: how many sound records each space holds.
        gaps: where records of a space are missing, or may be.
        uncertain: the spaces of which it is not known what else is missing or came back from an earlier
            time.
    """

    transaction: int = 0
    problems: list[str] = field(factory=list)
    structure: str = ""
    agents: dict[bytes, AgentFindings] = field(factory=dict)
    payloads: set[bytes] = field(factory=set)
    counts: dict[Space, int] = field(factory=dict)
    gaps: dict[Space, list[Gap]] = field(factory=dict)
    uncertain: set[Space] = field(factory=set)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.problems or self.structure
        return not wrong and not any(agent.complaints for agent in self.agents.values())

    def agent(self, key: bytes) -> AgentFindings:
        """What is known of the agent with this key."""
        return self.agents.setdefault(key, AgentFindings(key))

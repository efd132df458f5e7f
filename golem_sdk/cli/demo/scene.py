"""What the demo's picture shows, as values: who has come how far, and what has become of the worker.

Events go in, nothing comes out but what `golem_sdk.cli.demo.screen` draws. No clock, no I/O.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from golem_sdk.cli.demo import shop

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AgentView", "Scene", "WorkerState"]


class WorkerState(Enum):
    """What the worker process is doing, as far as its watcher knows."""

    STARTING = "starting Python"
    REPLAYING = "replaying"
    LIVE = "running"
    KILLED = "killed"
    DONE = "finished"


@define
class AgentView:
    """One agent's row.

    Attributes:
        name: its argument: the order's or the topic's name.
        agent_id: its id as text.
        share: what part of a whole each of its steps is.
        steps: the steps that the service has seen.
        kills: how far it was when the worker was killed.
        note: the last that was heard of it.
        entries: how many oplog entries it has on disk.
        done: its result has arrived.
    """

    name: str
    agent_id: str
    share: dict[str, float]
    steps: set[str] = Factory(set)
    kills: list[float] = Factory(list)
    note: str = ""
    entries: int = 0
    done: bool = False

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return 1.0 if self.done else min(0.999, sum(map(self.share.__getitem__, self.steps)))

    def step(self, name: str) -> None:
        """The service has seen this step, maybe again."""
        if name in self.share:
            self.steps.add(name)


@define
class Scene:
    """The whole picture.

    Attributes:
        agents: by name.
        planned_kills: how often the worker is going to be killed.
        kills: how often it was.
        state: what the worker is doing.
        pid: the worker's process number.
        replaying: how many recorded entries the worker's agents have to replay.
        entries: how many oplog entries are on disk.
        effects: how many effects have happened.
        expected_effects: how many there are going to be.
    """

    agents: dict[str, AgentView]
    planned_kills: int
    expected_effects: int
    kills: int = 0
    state: WorkerState = WorkerState.STARTING
    pid: int = 0
    replaying: int = 0
    effects: set[tuple[str, str]] = field(factory=set)

    @staticmethod
    def of(orders: Sequence[str], topics: Sequence[str], kills: int) -> Scene:
        """The picture before anything has happened."""
        views = [_order_view(name) for name in orders] + [_topic_view(topic) for topic in topics]
        effects = [len(shop.effects_of_order(name)) for name in orders]
        effects += [len(shop.effects_of_topic(topic)) for topic in topics]
        return Scene({view.name: view for view in views}, kills, sum(effects))

    @property
    def progress(self) -> float:
        """How far everything is, from 0 to 1."""
        return sum(view.progress for view in self.agents.values()) / len(self.agents)

    @property
    def entries(self) -> int:
        """How many oplog entries are on disk."""
        return sum(view.entries for view in self.agents.values())

    @property
    def unfinished(self) -> list[AgentView]:
        """The agents whose results have not arrived."""
        return [view for view in self.agents.values() if not view.done]

    def saw_request(self, event: dict[str, Any]) -> None:
        """The service tells of an effect, a page or a word."""
        match event:
            case {"event": "effect", "endpoint": endpoint, "subject": subject}:
                self.effects.add((endpoint, subject))
                self._step(subject.partition("/")[0], f"{endpoint} {subject}")
            case {"event": "read", "path": path}:
                self._step(path.split("/")[2], path)
            case {"event": "word", "topic": topic, "count": count}:
                self._step(topic, f"word {count}")
                if topic in self.agents:
                    self.agents[topic].note = "".join(shop.summary_words(topic)[:count])

    def said(self, line: str) -> None:
        """A line of an agent's own, which begins with its name."""
        name, _, text = line.partition(": ")
        if name in self.agents:
            self.agents[name].note = text

    def finished(self, name: str) -> None:
        """An agent's result has arrived."""
        self.agents[name].done = True

    def killed(self) -> None:
        """The worker was killed."""
        self.state = WorkerState.KILLED
        self.kills += 1
        for view in self.unfinished:
            view.kills.append(view.progress)

    def _step(self, agent: str, step: str) -> None:
        if agent in self.agents:
            self.agents[agent].step(step)


def _order_view(name: str) -> AgentView:
    effects = shop.effects_of_order(name)
    share = {f"{endpoint} {subject}": 1 / len(effects) for endpoint, subject in effects}
    return AgentView(name, f'fulfil_order("{name}")', share)


def _topic_view(topic: str) -> AgentView:
    pages, words = shop.pages_of(topic), shop.summary_words(topic)
    share = {path: 0.5 / len(pages) for path in pages}
    share |= {f"word {count}": 0.5 / len(words) for count in range(1, len(words) + 1)}
    return AgentView(topic, f'research_topic("{topic}")', share)

"""A report on a topic, with LangGraph.

Written after "Workflows and agents" in LangGraph's documentation (MIT License): an orchestrator with workers
that run at once (``Send``), an evaluator that sends the draft back (conditional edges), and checkpoints.
The model is asked by the openai package; workers look things up over HTTP, and the report is published there.
"""

from __future__ import annotations

import functools
import json
import operator
from typing import Annotated, Any, TypedDict

import httpx2
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, Send
from openai import AsyncOpenAI

from golem_sdk import agent
from golem_sdk.testing.driver import Step
from programs.outside import Answer, Services, completion, says

__all__ = ["outside", "report", "steps"]

SHARED = httpx2.AsyncClient(limits=httpx2.Limits(max_keepalive_connections=0), timeout=60)
"""One client for all agents. It keeps no connections: lives of tests have loops of their own."""


class State(TypedDict, total=False):
    """What the nodes know."""

    topic: str
    url: str
    sections: list[str]
    findings: Annotated[list[str], operator.add]
    drafts: Annotated[list[str], operator.add]
    verdict: str
    published: str


class Task(TypedDict):
    """What a worker is given."""

    url: str
    section: str


@functools.cache
def model(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", base_url=f"{url}/v1", http_client=SHARED, max_retries=0)


async def ask(url: str, role: str, content: str) -> str:
    answer = await model(url).chat.completions.create(
        model="fake",
        messages=[{"role": "system", "content": role}, {"role": "user", "content": content}],
    )
    return str(answer.choices[0].message.content)


async def plan(state: State) -> State:
    return {"sections": (await ask(state["url"], "plan", state["topic"])).split(", ")}


def assign(state: State) -> list[Send]:
    return [Send("look_up", {"url": state["url"], "section": s}) for s in state["sections"]]


async def look_up(task: Task) -> State:
    response = await SHARED.get(f"{task['url']}/facts/{task['section']}")
    return {"findings": [f"{task['section']}: {response.raise_for_status().json()}"]}


async def write(state: State) -> State:
    known = "; ".join([*state["findings"], *state.get("drafts", [])[-1:]])
    return {"drafts": [await ask(state["url"], "write", known)]}


async def judge(state: State) -> State:
    return {"verdict": await ask(state["url"], "judge", state["drafts"][-1])}


def decide(state: State) -> str:
    return "publish" if state["verdict"] == "good" or len(state["drafts"]) > 3 else "write"


async def publish(state: State) -> State:
    response = await SHARED.post(f"{state['url']}/reports", json={"text": state["drafts"][-1]})
    return {"published": response.raise_for_status().json()["address"]}


@functools.cache
def workflow() -> StateGraph[State, Any, Any, Any]:
    graph = StateGraph(State)
    graph.add_node("plan", plan)
    worker: Any = look_up  # of a task, not of the whole state
    graph.add_node("look_up", worker, retry_policy=RetryPolicy(max_attempts=3))
    graph.add_node("write", write)
    graph.add_node("judge", judge)
    graph.add_node("publish", publish)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", assign, ["look_up"])
    graph.add_edge("look_up", "write")
    graph.add_edge("write", "judge")
    graph.add_conditional_edges("judge", decide, ["publish", "write"])
    graph.add_edge("publish", END)
    return graph


@agent
async def report(topic: str, url: str) -> dict[str, Any]:
    graph = workflow().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "report"}}
    await graph.ainvoke({"topic": topic, "url": url}, config)
    history = [each async for each in graph.aget_state_history(config)]
    steps = [[list(each.next), each.config["configurable"]["checkpoint_id"]] for each in history]
    return {**history[0].values, "steps": steps}


# --- what it talks to, and about ----------------------------------------------------------------------


def steps(url: str) -> list[Step]:
    """One report."""
    return [Step(report, ("tea", url))]


def outside() -> Services:
    """The model, an encyclopedia and a publisher."""
    return Services(_answer)


def _answer(method: str, target: str, body: bytes) -> Answer:
    match target.split("/"):
        case ["", "facts", section]:
            return Answer(f"all about {section}")
        case ["", "reports"] if method == "POST":
            return Answer({"address": "/reports/1"}, 201)
        case ["", "v1", "chat", "completions"]:
            system, user = (message["content"] for message in json.loads(body)["messages"])
            return completion(says(_thought(system, user)))
    return Answer({}, 404)


def _thought(role: str, text: str) -> str:
    match role:
        case "plan":
            return "leaves, water, cups"
        case "write":
            return "a second draft" if "a first draft" in text else "a first draft"
    return "good" if text == "a second draft" else "too short"

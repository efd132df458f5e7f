"""The support desk of a bank, with pydantic-ai.

Written after the bank's support agent in pydantic-ai's documentation (MIT License): instructions and tools
that depend on the customer, and an answer that is a model of pydantic. Here the bank is asked over HTTP,
the model calls two tools at once, one tool asks it to try again, and a card is really blocked.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelMessagesTypeAdapter, ModelRetry, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from golem_sdk import agent
from golem_sdk.testing.driver import Step
from programs.outside import Answer, Services, calls, completion

__all__ = ["Support", "outside", "steps"]

SHARED = httpx2.AsyncClient(limits=httpx2.Limits(max_keepalive_connections=0), timeout=60)
"""One client for all agents. It keeps no connections: lives of tests have loops of their own."""


@dataclass
class Customer:
    """Whose card it is, and where the bank is."""

    number: int
    bank: str


class Advice(BaseModel):
    """What the customer is told."""

    advice: str
    blocked: bool
    risk: int = Field(ge=0, le=10)


desk = Agent(
    deps_type=Customer,
    output_type=Advice,
    instructions="You work at the support desk of a bank. Judge how risky each question is.",
)


@desk.instructions
async def add_name(context: RunContext[Customer]) -> str:
    return f"The customer is {(await _looked_up(context.deps, ''))['name']}."


@desk.tool
async def balance(context: RunContext[Customer], pending: bool) -> str:
    """The balance, with or without what is pending."""
    found = await _looked_up(context.deps, "/balance")
    return f"{found['balance'] + found['pending'] * pending} EUR"


@desk.tool(retries=2)
async def payments(context: RunContext[Customer], month: str) -> list[str]:
    """The payments of a month, given as YYYY-MM."""
    if len(month) != 7:
        raise ModelRetry("the month is written YYYY-MM")
    found: list[str] = await _looked_up(context.deps, f"/payments/{month}")
    return found


@desk.tool
async def block_card(context: RunContext[Customer], reason: str) -> str:
    """Block the customer's card."""
    response = await SHARED.post(_url(context.deps, "/block"), json={"reason": reason})
    response.raise_for_status()
    return str(response.json()["state"])


def _url(customer: Customer, what: str) -> str:
    return f"{customer.bank}/customers/{customer.number}{what}"


async def _looked_up(customer: Customer, what: str) -> Any:
    return (await SHARED.get(_url(customer, what))).raise_for_status().json()


@functools.cache
def model(url: str) -> OpenAIChatModel:
    return OpenAIChatModel(
        "fake", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k", http_client=SHARED)
    )


@agent
class Support:
    """A conversation with one customer."""

    def __init__(self, customer: int, url: str) -> None:
        self.customer = Customer(customer, url)
        self.history: list[Any] = []

    async def ask(self, question: str) -> dict[str, Any]:
        result = await desk.run(
            question,
            deps=self.customer,
            model=model(self.customer.bank),
            message_history=self.history,
        )
        self.history = result.all_messages()
        return result.output.model_dump()

    def transcript(self) -> list[Any]:
        told: list[Any] = ModelMessagesTypeAdapter.dump_python(self.history, mode="json")
        return told


# --- what it talks to, and about ----------------------------------------------------------------------


def steps(url: str) -> list[Step]:
    """Two questions, and what is remembered of them."""
    return [
        Step(Support, (7, url), "ask", ("Somebody bought a boat with my card!",)),
        Step(Support, (7, url), "ask", ("And what is my balance now?",)),
        Step(Support, (7, url), "transcript"),
    ]


def outside() -> Services:
    """The bank, and the model."""
    return Services(_answer)


def _answer(method: str, target: str, body: bytes) -> Answer:
    match target.removeprefix("/customers/7").split("/"):
        case [""]:
            return Answer({"name": "Ada"})
        case ["", "balance"]:
            return Answer({"balance": 120, "pending": -20})
        case ["", "payments", month]:
            return Answer([f"{month}-03 boat 9000 EUR", f"{month}-04 tea 3 EUR"])
        case ["", "block"] if method == "POST":
            return Answer({"state": "blocked"})
        case ["", "v1", "chat", "completions"]:
            return completion(_thought(json.loads(body)["messages"]))
    return Answer({}, 404)


def _thought(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The next message: it looks things up, tries again, blocks the card, and answers."""
    last = max(n for n, message in enumerate(messages) if message["role"] == "user")
    used = Counter(
        call["function"]["name"]
        for message in messages[last:]
        for call in message.get("tool_calls") or ()
    )
    assert "The customer is Ada." in json.dumps(messages)
    if "balance now" in str(messages[last]["content"]):
        if not used["balance"]:
            return calls(("balance", {"pending": True}))
        advice = {"advice": "You have 100 EUR.", "blocked": True, "risk": 0}
        return calls(("final_result", advice))
    if not used["payments"]:
        return calls(("balance", {"pending": False}), ("payments", {"month": "May"}))
    if used["payments"] == 1:
        return calls(("payments", {"month": "2026-05"}))
    if not used["block_card"]:
        return calls(("block_card", {"reason": "a boat"}))
    return calls(("final_result", {"advice": "It is blocked.", "blocked": True, "risk": 9}))

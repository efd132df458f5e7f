"""The demo's two agents: ordinary Python, synchronous and asynchronous.

Nothing in here knows of crashes. Called without a runtime the functions are plain Python, and that is
how the demo learns what a run without crashes gives.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from datetime import UTC, datetime
from hashlib import sha256
from uuid import uuid4

import httpx
from attrs import frozen

from golem_sdk import agent

__all__ = [
    "PACE_VARIABLE",
    "URL_VARIABLE",
    "Findings",
    "Fulfilment",
    "fulfil_order",
    "research_topic",
]

URL_VARIABLE = "GOLEM_DEMO_URL"
PACE_VARIABLE = "GOLEM_DEMO_PACE"

_URL = os.environ.get(URL_VARIABLE, "http://127.0.0.1:1")
_PACE = float(os.environ.get(PACE_VARIABLE, "1"))
_TIMEOUT_S = 30.0
_TLS = ssl.create_default_context()  # made once: it takes longer than to replay an agent


@frozen
class Fulfilment:
    """What became of an order. ``label`` and ``begun`` differ from run to run, the rest does not."""

    order: str
    cents: int
    receipt: str
    tracking: str
    label: str
    begun: datetime


@frozen
class Findings:
    """What research into a topic gave. ``digest`` covers the text of all pages, in order."""

    topic: str
    pages: int
    words: int
    digest: str
    summary: str


@agent
def fulfil_order(order: str) -> Fulfilment:
    """Reserve every item, charge the customer, ship the parcel."""
    label, begun, cents = str(uuid4()), datetime.now(UTC), 0
    with httpx.Client(base_url=_URL, timeout=_TIMEOUT_S, verify=_TLS) as shop:
        for line in shop.get(f"/orders/{order}").json():
            time.sleep(random.uniform(0.05, 0.45) * _PACE)
            reserved = shop.post("/inventory/reserve", json={"order": order, **line}).json()
            cents += reserved["cents"]
            print(f"{order}: reserved {line['quantity']} x {line['item']}")
        time.sleep(random.uniform(0.05, 0.45) * _PACE)
        bill = {"order": order, "cents": cents, "label": label}
        receipt = shop.post("/payments/charge", json=bill).json()["receipt"]
        print(f"{order}: charged ${cents / 100:.2f}, {receipt}")
        time.sleep(random.uniform(0.05, 0.45) * _PACE)
        parcel = {"order": order, "receipt": receipt, "label": label}
        tracking = shop.post("/shipping/ship", json=parcel).json()["tracking"]
        print(f"{order}: shipped as {tracking}")
    return Fulfilment(order, cents, receipt, tracking, label, begun)


@agent
async def research_topic(topic: str) -> Findings:
    """Read all pages about a topic at once, then have a model summarize them, word by word."""
    async with httpx.AsyncClient(base_url=_URL, timeout=_TIMEOUT_S, verify=_TLS) as web:
        paths = (await web.get(f"/pages/{topic}")).json()
        texts = await asyncio.gather(*(_read(web, path) for path in paths))
        digest = sha256("\n".join(texts).encode()).hexdigest()
        print(f"{topic}: read {len(texts)} pages")
        summary = await _summarize(web, topic, digest)
    words = sum(len(text.split()) for text in texts)
    return Findings(topic, len(texts), words, digest, summary)


async def _read(web: httpx.AsyncClient, path: str) -> str:
    await asyncio.sleep(random.uniform(0.1, 1.5) * _PACE)
    return (await web.get(path)).text


async def _summarize(web: httpx.AsyncClient, topic: str, digest: str) -> str:
    """The whole answer, under a key that makes asking again the same question.

    A stream that was cut by a crash cannot be read on: the agent sees a broken connection.
    """
    question = {"topic": topic, "of": digest}
    key = {"Idempotency-Key": f"summary-{digest[:32]}"}
    while True:
        try:
            async with web.stream("POST", "/llm/summarize", json=question, headers=key) as answer:
                return "".join([word async for word in answer.aiter_text()])
        except httpx.ReadError:
            print(f"{topic}: lost the connection, asking again")

"""What the demo's service knows and what the agents are expected to do: pure data and arithmetic.

The service answers from it, the progress bars count against it, and the final check compares the ledger
with it.
"""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

from attrs import frozen

__all__ = [
    "CHARGE",
    "ITEMS",
    "RESERVE",
    "SHIP",
    "SUMMARIZE",
    "TOPICS",
    "Order",
    "OrderLine",
    "answer_to",
    "effects_of_order",
    "effects_of_topic",
    "order_named",
    "order_names",
    "page_text",
    "pages_of",
    "summary_words",
]

RESERVE = "/inventory/reserve"
CHARGE = "/payments/charge"
SHIP = "/shipping/ship"
SUMMARIZE = "/llm/summarize"

ITEMS = {  # cents
    "anchor": 8900,
    "compass": 4250,
    "lantern": 2700,
    "rope": 1300,
    "sextant": 19900,
    "spyglass": 6400,
}
TOPICS = ("tides", "lighthouses")

_PAGES = {"tides": 6, "lighthouses": 8}
_SUMMARIES = {
    "tides": (
        "The moon pulls the sea towards it and the earth turns below two slow bulges of water. "
        "Sun and moon together make spring tides; at right angles they make neap tides. "
        "Shape and depth of a coast decide whether a metre or fifteen arrive."
    ),
    "lighthouses": (
        "Fires on headlands came first, then towers, then glass. "
        "Fresnel cut a thick lens into rings and sent the light of one lamp to the horizon. "
        "Every tower has its own rhythm, so that a captain knows which one he sees."
    ),
}
_WORDS = tuple(" ".join(_SUMMARIES.values()).lower().replace(".", "").replace(",", "").split())


@frozen
class OrderLine:
    """So many of one item."""

    item: str
    quantity: int


@frozen
class Order:
    """What a customer wants. ``lines`` name different items."""

    name: str
    lines: tuple[OrderLine, ...]

    @property
    def cents(self) -> int:
        """The price of everything."""
        return sum(ITEMS[line.item] * line.quantity for line in self.lines)


def order_names(count: int) -> list[str]:
    """The names of the first ``count`` orders."""
    return [f"order-{number}" for number in range(1, count + 1)]


def order_named(name: str) -> Order:
    """The order of that name: the same in every process."""
    dice = random.Random(name)  # seeding with text does not depend on the hash seed
    items = dice.sample(sorted(ITEMS), dice.randint(1, 4))
    return Order(name, tuple(OrderLine(item, dice.randint(1, 3)) for item in items))


def effects_of_order(name: str) -> list[tuple[str, str]]:
    """Every effect that fulfilling the order must have, once each: endpoint and subject."""
    reservations = [(RESERVE, f"{name}/{line.item}") for line in order_named(name).lines]
    return [*reservations, (CHARGE, name), (SHIP, name)]


def effects_of_topic(topic: str) -> list[tuple[str, str]]:
    """Every effect that research into the topic must have, once each: endpoint and subject."""
    return [(SUMMARIZE, topic)]


def pages_of(topic: str) -> list[str]:
    """The paths of the pages about a topic."""
    return [f"/pages/{topic}/{number}" for number in range(1, _PAGES[topic] + 1)]


def page_text(path: str) -> str:
    """The text of one page: the same in every process."""
    dice = random.Random(path)
    return " ".join(dice.choices(_WORDS, k=dice.randint(80, 160)))


def summary_words(topic: str) -> list[str]:
    """The pieces in which the model's answer about a topic arrives."""
    return [f"{word} " for word in _SUMMARIES[topic].split()]


def answer_to(endpoint: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What an effect is about (its subject), and the service's answer to its first request."""
    match endpoint:
        case "/inventory/reserve":
            subject = f"{body['order']}/{body['item']}"
            return subject, {"reserved": body["quantity"], "cents": _price(body)}
        case "/payments/charge":
            return body["order"], {"receipt": _number("R", body["order"], body["cents"])}
        case "/shipping/ship":
            return body["order"], {"tracking": _number("T", body["order"], body["receipt"])}
    return body["topic"], {"words": summary_words(body["topic"])}


def _price(body: dict[str, Any]) -> int:
    price: int = ITEMS[body["item"]] * body["quantity"]
    return price


def _number(letter: str, *parts: object) -> str:
    return f"{letter}-{sha256(repr(parts).encode()).hexdigest()[:8]}"

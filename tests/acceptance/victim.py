"""The process that is killed. Run: ``python -m acceptance.victim STORE URL INVOCATIONS``.

It says that its store is open, then makes its calls, each under its own idempotency key and a few ahead of
the one that it waits for, and prints every result that it was told.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import httpx

from golem_sdk import Runtime, agent, get

if TYPE_CHECKING:
    from golem_sdk.runtime.handles import InvocationHandle

__all__ = ["AHEAD", "Buyer", "Crowd", "expected"]

AHEAD = 4
"""So many calls are under way at a time."""

PATIENCE_S = 60.0
"""The witness answers when its disk has written."""

URL = ""
CONTEXT = (
    ssl.create_default_context()
)  # a client that makes its own takes longer than all it does here


@agent
class Buyer:
    """Synchronous: each purchase is two writes, a wait and something random."""

    def __init__(self, name: str) -> None:
        self.name, self.spent = name, 0

    def buy(self, item: int) -> int:
        token = random.getrandbits(40)
        with httpx.Client(verify=CONTEXT, timeout=PATIENCE_S) as client:
            client.post(f"{URL}/reserve", json=[self.name, item])
            time.sleep(0.002)
            answer = client.post(f"{URL}/charge", json=[self.name, item, item * 10, token])
        self.spent += json.loads(answer.json()["body"])[2]
        return self.spent


@agent
class Crowd:
    """Asynchronous: fans out, and asks the synchronous agent."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0

    async def ask(self, number: int) -> list[int]:
        async with httpx.AsyncClient(verify=CONTEXT, timeout=PATIENCE_S) as client:
            posts = (client.post(f"{URL}/ask", json=[self.name, number, n]) for n in range(3))
            answers = await asyncio.gather(*posts)
        self.asked += sum(json.loads(answer.json()["body"])[2] for answer in answers)
        buyer = get(Buyer, f"{self.name}'s")
        return [self.asked, await asyncio.to_thread(buyer.buy, number)]


def expected(invocations: int) -> list[object]:
    """The results of a run that is never killed."""
    results: list[object] = []
    spent = asked = other = 0
    for number in range(invocations):
        if number % 2 == 0:
            spent += number * 10
            results.append(spent)
        else:
            asked, other = asked + 3, other + number * 10
            results.append([asked, other])
    return results


def main(arguments: list[str]) -> None:
    global URL
    store, URL, invocations = arguments
    with Runtime(store) as runtime:
        print("open", flush=True)
        buyer, crowd = runtime.get(Buyer, "ada"), runtime.get(Crowd, "bob")
        calls: deque[tuple[int, InvocationHandle[Any]]] = deque()
        for number in range(int(invocations)):
            method = crowd.ask if number % 2 else buyer.buy
            calls.append((number, runtime.trigger(method, number, key=f"call-{number}")))
            if len(calls) == AHEAD:
                tell(*calls.popleft())
        for call in calls:
            tell(*call)


def tell(number: int, handle: InvocationHandle[Any]) -> None:
    print(json.dumps([number, handle.result()]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The process that is killed. Run: ``victim.py STORE URL INVOCATIONS``.

It makes its calls, each under its own idempotency key, and prints every result that it was told.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import httpx

from golem_sdk import Runtime, agent, get

__all__ = ["Buyer", "Crowd", "expected"]

URL = ""


@agent
class Buyer:
    """Synchronous: each purchase is two writes, a wait and something random."""

    def __init__(self, name: str) -> None:
        self.name, self.spent = name, 0

    def buy(self, item: int) -> int:
        token = random.getrandbits(40)
        with httpx.Client() as client:
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
        async with httpx.AsyncClient() as client:
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


def main() -> None:
    global URL
    store, URL, invocations = sys.argv[1:]
    with Runtime(store) as runtime:
        buyer, crowd = runtime.get(Buyer, "ada"), runtime.get(Crowd, "bob")
        for number in range(int(invocations)):
            method = crowd.ask if number % 2 else buyer.buy
            handle = runtime.trigger(method, number, key=f"call-{number}")
            print(json.dumps([number, handle.result()]), flush=True)


if __name__ == "__main__":
    main()

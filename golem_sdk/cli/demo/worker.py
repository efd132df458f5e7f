"""The process that the demo kills: it runs the agents on a durable runtime.

``python -m golem_sdk.cli.demo.worker STORE AGENT...`` starts or resumes the agents and tells on standard
output what it knows, one JSON object per line; lines of the agents themselves come out in between. With
``-`` in place of the store the agents run as plain Python, without a runtime: the run to compare with.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from attrs import asdict

from golem_sdk import Runtime
from golem_sdk.cli.demo import shop
from golem_sdk.cli.demo.agents import Findings, Fulfilment, fulfil_order, research_topic
from golem_sdk.cli.demo.family import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_STORE"]

NO_STORE = "-"


def _main() -> None:
    die_with_parent()
    store, *names = sys.argv[1:]
    _tell(event="imported")
    if store == NO_STORE:
        for name in names:
            _tell_result(name, _plainly(name))
        return
    asyncio.run(_durably(store, names))


async def _durably(store: str, names: list[str]) -> None:
    async with Runtime(store) as runtime:
        await asyncio.gather(*(_follow(runtime, name) for name in names))


async def _follow(runtime: Runtime, name: str) -> None:
    if name in shop.TOPICS:
        _tell_result(name, await runtime.trigger(research_topic, name))
    else:
        _tell_result(name, await runtime.trigger(fulfil_order, name))


def _plainly(name: str) -> Fulfilment | Findings:
    if name in shop.TOPICS:
        return asyncio.run(research_topic(name))
    return fulfil_order(name)


def _tell_result(name: str, result: Fulfilment | Findings) -> None:
    plain: Callable[..., Any] = asdict
    _tell(event="result", name=name, result=json.loads(json.dumps(plain(result), default=str)))


def _tell(**what: Any) -> None:
    # One write for text and line end: agents print on other threads.
    print(json.dumps({"service": "worker", **what}) + "\n", end="", flush=True)


if __name__ == "__main__":
    _main()

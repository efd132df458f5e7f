"""The client of the Restate service: it invokes the handlers through the server's ingress."""

from __future__ import annotations

import json
import sys
from functools import partial
from http.client import HTTPConnection
from importlib.metadata import version
from threading import local
from typing import TYPE_CHECKING

from benchmarks.peers.worker import IN_FLIGHT, callers, serve, timed

if TYPE_CHECKING:
    from benchmarks.peers.worker import Values

PORT = int(sys.argv[1])
connections = local()


def invoke(handler: str, argument: int) -> object:
    """Each thread keeps one connection."""
    if not hasattr(connections, "mine"):
        connections.mine = HTTPConnection("127.0.0.1", PORT)
    connection: HTTPConnection = connections.mine
    headers = {"content-type": "application/json"}
    connection.request("POST", f"/peer/{handler}", json.dumps(argument), headers)
    with connection.getresponse() as answer:
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the ingress answered {answer.status}: {body!r}")
    result: object = json.loads(body)
    return result


def steps_of(work: str, handler: str, _run: int, size: int) -> Values:
    return timed(work, size, lambda: invoke(handler, size))


def flows(work: str, in_flight: int, _run: int, size: int) -> Values:
    return callers(work, in_flight, range(size), partial(invoke, "flow"))


def main() -> None:
    works = {
        "W1": partial(steps_of, "W1", "many"),
        "W2/1": partial(flows, "W2/1", 1),
        "W2/64": partial(flows, "W2/64", IN_FLIGHT),
        "W3": partial(steps_of, "W3", "together"),
    }
    serve({package: version(package) for package in ("restate-sdk", "hypercorn")}, works)


if __name__ == "__main__":
    main()

"""Restate: its server, a service behind it, and a client, each in a process of its own."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from attrs import define

from benchmarks.peers.processes import PATIENCE_S, CannotRunError, Process, free_port, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.worker import Values

__all__ = ["Restate", "restate"]

_START_S = 60.0

# What Restate's documentation tells to give Hypercorn, on the loopback interface.
# It says 8 workers there. The server and the client need processors, too: on 2 CPUs, W2/64 reached 430 per
# second with 1 worker and 360 with 2.
_WORKERS = max(1, min(8, (os.cpu_count() or 1) // 2))
_HYPERCORN = """\
bind = "127.0.0.1:{port}"
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
workers = {workers}
"""


@define
class Restate:
    """A running server, and what serves and calls its services.

    Attributes:
        python: the interpreter of the environment with its SDK.
        directory: on the disk that is measured.
        ingress: the URL at which handlers are invoked.
        service, client: processes.
    """

    python: str
    directory: Path
    ingress: str
    service: Process
    client: Process
    versions: dict[str, str]

    def work(self, name: str, run: int, size: int) -> Values:
        """Through the client."""
        self.client.tell(work=name, run=run, size=size)
        return self.client.hear(name)

    def recover(self, run: int, steps: int) -> tuple[float, float]:
        """The service is killed and started again; the server lives on."""
        _ask(f"{self.ingress}/peer/killed/send", steps, f"killed{run}")
        self.service.hear("killed")
        self.service.kill()
        begin = perf_counter()
        self.service = _service(self.python, self.directory, "finish")
        result = _ask(f"{self.ingress}/peer/killed", steps, f"killed{run}")
        whole_s = perf_counter() - begin
        replay_s = self.service.hear("replay_s")["replay_s"]
        if result != steps:
            raise self.service.failed(f"remembered {result} steps of {steps}")
        self.service.kill()
        self.service = _service(self.python, self.directory, "die")
        return whole_s, replay_s


@contextmanager
def restate(python: str, server: str, directory: Path) -> Iterator[Restate]:
    """Start the server with its default settings but for the addresses, and register the service."""
    directory.mkdir(parents=True)
    ingress, admin, fabric, port = (free_port() for _ in range(4))
    (directory / "hypercorn.toml").write_text(_HYPERCORN.format(port=port, workers=_WORKERS))
    places = {
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_LISTEN_MODE": "tcp",  # a path of a Unix socket here may be too long
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    client = [python, "-m", "benchmarks.peers.restate_work", str(ingress)]
    with (
        Process([server], directory, places) as running,
        Process(client, directory) as calling,
    ):
        _wait_for(running, f"http://127.0.0.1:{admin}/health")
        contestant = Restate(
            python,
            directory,
            f"http://127.0.0.1:{ingress}",
            _service(python, directory, "die"),
            calling,
            {"restate-server": _version(server), **calling.hear()},
        )
        try:
            _register(contestant.service, f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{port}")
            yield contestant
        finally:
            contestant.service.kill()


def _service(python: str, directory: Path, kind: str) -> Process:
    app = "benchmarks.peers.restate_service:app"
    command = [python, "-m", "hypercorn", "--config", "hypercorn.toml", app]
    return Process(command, directory, {"PEER_LIFE": kind})


def _register(service: Process, admin: str, uri: str) -> None:
    """As soon as the service answers, the server knows what it offers."""
    end = perf_counter() + _START_S
    while True:
        try:
            _ask(f"{admin}/deployments", {"uri": uri})
        except CannotRunError:
            if not service.runs or perf_counter() > end:
                raise service.failed("could not be registered") from None
            time.sleep(0.1)
        else:
            return


def _wait_for(process: Process, url: str) -> None:
    end = perf_counter() + _START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if not process.runs or perf_counter() > end:
                raise process.failed(f"does not answer at {url}") from None
            time.sleep(0.1)
        else:
            return


def _ask(url: str, body: object, idempotency_key: str | None = None) -> object:
    headers = {"content-type": "application/json"}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            result: object = json.load(answer)
            return result
    except OSError as error:
        raise CannotRunError(f"{url} answered: {error}") from None


def _version(server: str) -> str:
    return output([server, "--version"]).split()[1]

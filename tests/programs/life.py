"""The process that is killed: one of the programs, from where it was to its end.

Arguments: the program's name, the store, what the program is told of, the URL of its fake services.
"""

from __future__ import annotations

import json
import os
from importlib import import_module

from golem_sdk import Runtime

os.environ["OPENBLAS_NUM_THREADS"] = (
    "1"  # a process with threads cannot be forked, and one loads numpy
)
PROGRAMS = {name: import_module(f"programs.{name}") for name in ("archive", "research", "support")}

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    name, store, place, url = arguments
    PROGRAMS["archive"].local(url)
    with Runtime(store) as runtime:
        for number, step in enumerate(PROGRAMS[name].steps(place)):
            if step.method is None:
                handle = runtime.trigger(step.agent, *step.identity)
            else:
                method = getattr(runtime.get(step.agent, *step.identity), step.method)
                handle = runtime.trigger(method, *step.arguments, key=f"step-{number}")
            print(json.dumps(handle.result(60)), flush=True)

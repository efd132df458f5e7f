"""A library with durability of its own: a label printer that agents use as if nothing could crash.

python examples/label_printer.py    # kill it and run it again, as often as you like

`LabelPrinter` is what a library author writes with `golem_sdk.durability`. Most need only `@durable`;
this one does more: it opens its printer when it has something to print, which in replay it never has, and it
notes with each label the job's number and how long the printer took.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from golem_sdk import FunctionType, PersistenceLevel, Runtime, agent, generate_idempotency_key
from golem_sdk.durability import (
    begin_durable_function,
    current_durable_execution_state,
    end_durable_function,
    is_live,
    observe_function_call,
    persist_durable_function_invocation,
    read_persisted_durable_function_invocation,
)

SPOOL = Path(os.environ.get("GOLEM_STORE", ".golem") + "-labels")
WRITE = FunctionType.WRITE_REMOTE


class LabelPrinter:
    """Prints labels, each once: a job that has the key of an earlier one is that one."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._is_open = False

    def print_label(self, text: str) -> int:
        """Print a label; gives the number of its job.

        Raises:
            ValueError: the text does not fit on a label.
        """
        key = str(generate_idempotency_key())
        if current_durable_execution_state().persistence_level is PersistenceLevel.PERSIST_NOTHING:
            return self._print(key, text)  # nobody asks for durability here, e.g. outside agents
        begin = begin_durable_function(WRITE)
        if is_live():
            try:
                job: int | ValueError = self._print(key, text)
            except ValueError as error:
                job = error
            persist_durable_function_invocation("labels.print", [key, text], job, WRITE)
        else:
            job = read_persisted_durable_function_invocation().response
        end_durable_function(WRITE, begin)
        if isinstance(job, ValueError):
            raise job
        return job

    def _print(self, key: str, text: str) -> int:
        if len(text) > 30:
            raise ValueError(f"{len(text)} characters do not fit on a label")
        if not self._is_open:
            observe_function_call("labels", "open")
            self._spool.mkdir(exist_ok=True)
            self._is_open = True
        printed = sorted(self._spool.glob("*.label"))
        known = [job for job in printed if job.read_text().startswith(key)]
        if not known:
            time.sleep(0.05)
            known = [self._spool / f"{len(printed) + 1:03}.label"]
            unfinished = known[0].with_suffix(".part")
            unfinished.write_text(f"{key}\n{text}\n")  # noqa: GLM003  # inside a durable function
            unfinished.rename(known[0])
        return int(known[0].stem)


@agent
def pack(names: list[str]) -> list[str]:
    """Pack a parcel for each name; gives those whose label is to be written by hand."""
    printer = LabelPrinter(SPOOL)
    by_hand = []
    for name in names:
        try:
            print(f"{name}: job {printer.print_label(f'To {name}')}", flush=True)
        except ValueError as error:
            print(f"{name}: {error}", flush=True)
            by_hand.append(name)
    return by_hand


def main() -> None:
    names = [
        "Ada",
        "Bob",
        "Cem",
        "Dora",
        "Eve",
        "Maximiliana Theodora von der Heide",
        "Finn",
        "Gus",
    ]
    with Runtime() as runtime:
        print("by hand:", *runtime.run(pack, names))


if __name__ == "__main__":
    main()

"""Reserve and charge together, and a payout that must never be sent twice.

python examples/reserve_and_charge.py    # kill it and run it again, as often as you like

The "bank" and the "warehouse" are files next to the store: they stand for HTTP services that know the
idempotency keys they have seen.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from golem_sdk import (
    FunctionType,
    Runtime,
    agent,
    atomically,
    durable,
    generate_idempotency_key,
    idempotence_mode,
)
from golem_sdk.errors import UnknownOutcomeError

OUTSIDE = Path(os.environ.get("GOLEM_STORE", ".golem") + "-outside")


@durable
def post(service: str, key: str, what: dict[str, str | int]) -> str:
    """A service that does a thing once per key, slowly."""
    time.sleep(0.05)
    OUTSIDE.mkdir(exist_ok=True)
    done = OUTSIDE / f"{service}-{key}.json"
    if not done.exists():
        unfinished = done.with_suffix(".part")
        unfinished.write_text(json.dumps(what))
        unfinished.rename(done)
    time.sleep(0.05)
    return f"{service}: {what}"


@durable(function_type=FunctionType.READ_REMOTE)
def price_of(item: str) -> int:
    """What an item costs at the moment, in cents."""
    return {"book": 1500, "pen": 200, "lamp": 4900}[item]


@agent
def order(number: int, item: str) -> str:
    """Either both the reservation and the charge are made for one price, or both are made again."""
    with atomically():
        cents = price_of(item)
        reserved = post(
            "warehouse", str(generate_idempotency_key()), {"order": number, "item": item}
        )
        charged = post("bank", str(generate_idempotency_key()), {"order": number, "cents": cents})
    return f"order {number}: {reserved}, {charged}"


@agent
def payout(number: int, cents: int) -> str:
    """The other side knows no keys here, so a payout is never sent again."""
    with idempotence_mode(False):
        return post("payout", f"{number}-{time.time_ns()}", {"payout": number, "cents": cents})


def main() -> None:
    with Runtime() as runtime:
        for number, item in enumerate(["book", "pen", "lamp"], start=1):
            print(runtime.run(order, number, item), flush=True)
            try:
                print(runtime.run(payout, number, 100 * number), flush=True)
            except UnknownOutcomeError as error:  # it was killed just then: somebody has to look
                print(f"payout {number}: look it up ({error.call})", flush=True)
    print("done")


if __name__ == "__main__":
    main()

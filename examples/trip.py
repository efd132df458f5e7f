"""A trip is a saga: flight, hotel and car are booked, or what was booked is cancelled again.

python examples/trip.py    # kill it and run it again: nothing is booked or cancelled twice
"""

from __future__ import annotations

import time
from functools import partial

from golem_sdk import Runtime, agent, durable, saga


class SoldOutError(Exception):
    """Nothing is left."""


@durable
def book(what: str, traveller: str) -> str:
    """Book with a travel agency, which takes its time."""
    time.sleep(0.05)
    if what == "car" and traveller == "Bob":
        raise SoldOutError(f"no {what} left for {traveller}")
    return f"{what} for {traveller}"


@durable
def cancel(booking: str) -> None:
    """Cancel a booking."""
    time.sleep(0.05)


@agent
def trip(traveller: str) -> list[str]:
    """Everything, or nothing and the reason why."""
    story: list[str] = []

    def undo(booking: str) -> None:
        cancel(booking)
        story.append(f"cancelled: {booking}")

    try:
        with saga() as s:
            for what in ("flight", "hotel", "car"):
                booking = s.step(partial(book, what, traveller), undo)
                story.append(f"booked: {booking}")
    except SoldOutError as error:
        story.append(f"no trip: {error}")
    return story


def main() -> None:
    with Runtime() as runtime:
        for traveller in ("Ada", "Bob"):
            for line in runtime.run(trip, traveller):
                print(line, flush=True)


if __name__ == "__main__":
    main()

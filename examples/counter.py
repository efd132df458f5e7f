"""A class agent: it keeps its state, and a call with a key counts once, however often it is made.

python examples/counter.py    # kill it and run it again: the total is 210 in any case
"""

from __future__ import annotations

import time

from golem_sdk import Runtime, agent


@agent
class Counter:
    """The constructor's arguments are the agent's identity; every public method is durable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0

    def add(self, number: int) -> int:
        """Add a number, not very fast."""
        time.sleep(0.1)
        self.value += number
        print(f"{self.name} + {number} = {self.value}", flush=True)
        return self.value


def main() -> None:
    with Runtime() as runtime:
        counter = runtime.get(Counter, "a")
        # All 20 calls are on disk before the first result is asked for. The keys make them the same calls
        # when this program is started again.
        handles = [
            runtime.trigger(counter.add, number, key=f"add-{number}") for number in range(1, 21)
        ]
        print("total:", max(handle.result() for handle in handles))


if __name__ == "__main__":
    main()

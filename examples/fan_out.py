"""An async agent: many slow readings at the same time, at most four at once, then one answer.

python examples/fan_out.py    # kill it and run it again: no reading that was recorded is made again
"""

from __future__ import annotations

import asyncio
import sys

from golem_sdk import FunctionType, Runtime, agent, durable

CITIES = ("Accra", "Bergen", "Cusco", "Dakar", "Esbjerg", "Fes", "Galway", "Hobart")


@durable(function_type=FunctionType.READ_REMOTE)
async def temperature(city: str) -> int:
    """Stands for a slow service: what happens in here is one journaled call."""
    await asyncio.sleep(0.2 + len(city) / 40)
    print(f"(asking for {city})", file=sys.stderr, flush=True)
    return sum(city.encode()) % 40


@agent
async def warmest(cities: tuple[str, ...]) -> str:
    """The name of the warmest city."""
    at_once = asyncio.Semaphore(4)
    found: dict[str, int] = {}

    async def ask(city: str) -> None:
        async with at_once:
            found[city] = await temperature(city)
            print(f"{city}: {found[city]} degrees, {len(cities) - len(found)} to go", flush=True)

    async with asyncio.TaskGroup() as group:
        for city in cities:
            group.create_task(ask(city))
    return max(found, key=found.__getitem__)


def main() -> None:
    with Runtime() as runtime:
        print("warmest:", runtime.run(warmest, CITIES))


if __name__ == "__main__":
    main()

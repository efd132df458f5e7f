"""Clocks, dates, dice and output."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from intercept.suite.case import Case
from intercept.suite.outsides import Screen

__all__ = ["CASES"]


def kinds(values: list[Any]) -> list[str]:
    """Of readings: their types."""
    return [type(value).__name__ for value in values]


def clocks(_: object) -> list[Any]:
    moment = time.localtime()
    return [
        time.time(),
        time.time_ns(),
        time.monotonic(),
        time.perf_counter_ns(),
        time.clock_gettime(time.CLOCK_REALTIME),
        list(moment),
        time.strftime("%Y"),
    ]


async def clocks_async(_: object) -> list[Any]:
    first = time.time()
    await asyncio.sleep(0)
    return [first, time.monotonic()]


def naps(_: object) -> list[Any]:
    before = time.time()
    time.sleep(0.001)
    return [time.time() >= before]


def no_such_clock(_: object) -> float:
    return time.clock_gettime(4711)


def sleeps_backwards(_: object) -> None:
    time.sleep("long")  # type: ignore[arg-type]  # the point


def dates(_: object) -> list[Any]:
    return [datetime.now(UTC), datetime.now(), datetime.today()]  # noqa: DTZ002, DTZ005  # intercepted, too


def no_such_zone(_: object) -> datetime:
    return datetime.now("here")  # type: ignore[arg-type]  # the point


def dice(_: object) -> list[Any]:
    letters = list("abc")
    random.shuffle(letters)
    return [random.random(), random.randint(1, 9), random.Random().random(), "".join(letters)]


def draws_from_nothing(_: object) -> object:
    return random.choice([])


def entropy(_: object) -> list[Any]:
    return [os.urandom(4), secrets.token_hex(4), uuid.uuid4(), uuid.uuid1()]


async def entropy_async(_: object) -> list[Any]:
    values = await asyncio.gather(*(asyncio.to_thread(uuid.uuid4) for _ in range(2)))
    return [*values, os.urandom(2)]


def negative_entropy(_: object) -> bytes:
    return os.urandom(-1)


def prints(_: object) -> list[Any]:
    print("one", 2, sep="-")
    print("three", end="!\n", flush=True)
    return []


def prints_with_a_number_between(_: object) -> None:
    print("one", 2, sep=3)  # type: ignore[call-overload]  # the point


def logs(_: object) -> list[Any]:
    logger = logging.Logger("suite")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.warning("%s of %s", 1, 2)
    logger.debug("three")
    return [logger.isEnabledFor(logging.INFO)]


def logs_at_no_level(_: object) -> None:
    logging.Logger("suite").log("loud", "x")  # type: ignore[arg-type]  # the point


CASES = [
    Case("clock", "clock", clocks, no_such_clock, view=kinds),
    Case("clock-async", "clock", clocks_async, no_such_clock, view=kinds),
    Case("sleep", "clock", naps, sleeps_backwards),
    Case("dates", "dates", dates, no_such_zone, view=kinds),
    Case("random", "entropy", dice, draws_from_nothing, view=kinds),
    Case("entropy", "entropy", entropy, negative_entropy, view=kinds),
    Case("entropy-async", "entropy", entropy_async, negative_entropy, view=kinds),
    Case("print", "output", prints, prints_with_a_number_between, Screen, local=True),
    Case("logging", "output", logs, logs_at_no_level, Screen, local=True),
]

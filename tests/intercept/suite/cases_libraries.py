"""Generators of numpy, entropy that goes through other names, and clocks in time zones."""

from __future__ import annotations

import random
import time
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from intercept.suite.case import Case
from intercept.suite.cases_standard import kinds

__all__ = ["CASES"]


def numbers(_: object) -> list[Any]:
    items = list(range(9))
    np.random.shuffle(items)
    return [
        float(np.random.rand()),
        [int(n) for n in np.random.randint(0, 9, 3)],
        float(np.random.sample()),
        "".join(map(str, items)),
        float(np.random.default_rng().random()),
        float(np.random.RandomState().rand()),
    ]


def seeded_numbers(_: object) -> list[Any]:
    np.random.seed(7)
    first = [float(n) for n in np.random.normal(size=3)]
    np.random.seed(7)
    return [first, float(np.random.standard_normal()), float(np.random.default_rng(7).random())]


async def numbers_async(_: object) -> list[Any]:
    return [float(np.random.random()), float(np.random.uniform(1, 2))]


def no_such_probability(_: object) -> object:
    return np.random.binomial(1, 2.0)


def system_random(_: object) -> list[Any]:
    dice = random.SystemRandom()
    return [dice.random(), dice.randint(1, 6), dice.choice("abc")]


def draws_from_nothing(_: object) -> object:
    return random.SystemRandom().choice([])


def zones(_: object) -> list[Any]:
    tokyo = ZoneInfo("Asia/Tokyo")
    here = datetime.now(UTC).astimezone()
    return [
        datetime.now(tokyo).isoformat(),
        str(datetime.now(tokyo).tzinfo),
        here.isoformat(),
        datetime.now().astimezone(tokyo).isoformat(),
        date.today().isoformat(),  # noqa: DTZ011  # intercepted, too
        time.asctime(),
        time.ctime(),
        time.strftime("%c", time.gmtime()),
    ]


def no_such_zone(_: object) -> object:
    return datetime.now(ZoneInfo("Nowhere/Else"))


CASES = [
    Case("numpy", "numpy", numbers, no_such_probability, view=kinds),
    Case("numpy-seeded", "numpy", seeded_numbers, no_such_probability),
    Case("numpy-async", "numpy", numbers_async, no_such_probability, view=kinds),
    Case("system-random", "entropy", system_random, draws_from_nothing, view=kinds),
    Case("zones", "dates", zones, no_such_zone, view=kinds),
]

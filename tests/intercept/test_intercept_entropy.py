"""Randomness: drawn from the agent's generator, or recorded draw by draw."""

from __future__ import annotations

import os
import random
import secrets
import tempfile
import uuid
from random import choice as early_choice
from random import random as early_random
from uuid import uuid4 as early_uuid4

import numpy as np
import pytest

from intercept.replaying import run


def test_module_functions_use_one_recorded_seed() -> None:
    def body() -> list[object]:
        deck = list(range(20))
        random.shuffle(deck)
        return [
            deck,
            random.random(),
            early_random(),
            early_choice("abcdef"),
            random.randint(1, 10**9),
            random.gauss(0, 1),
            random.sample(range(100), 5),
            random.choices([1, 2, 3], k=4),
            random.getrandbits(64),
            random.randbytes(4),
            random.uniform(1, 2),
        ]

    runs = run(body)
    assert runs.calls == ["golem:random/seed"]
    assert runs.replayed == runs.live


def test_seeding_in_an_agent_does_not_disturb_the_process() -> None:
    random.seed(5)
    state = random.getstate()

    def body() -> list[float]:
        random.seed(7)
        return [random.random(), random.random()]

    runs = run(body)
    expected = random.Random(7)
    assert runs.live == runs.replayed == [expected.random(), expected.random()]
    assert random.getstate() == state


def test_seeding_with_nothing_is_recorded() -> None:
    def body() -> list[float]:
        random.seed()
        own = random.Random()
        again = random.Random(3)
        again.seed(None)
        return [random.random(), own.random(), again.random()]

    runs = run(body)
    assert runs.calls == ["golem:random/seed"] + ["random.Random.seed"] * 3
    assert runs.replayed == runs.live


def test_generators_with_a_seed_are_left_alone() -> None:
    runs = run(lambda: random.Random(42).random())
    assert runs.calls == []
    assert runs.live == random.Random(42).random()


def test_system_bytes_are_recorded() -> None:
    def body() -> list[object]:
        return [
            os.urandom(16),
            os.getrandom(4),
            secrets.token_hex(8),
            secrets.choice("abcdef"),
            random.SystemRandom().random(),
        ]

    runs = run(body)
    assert set(runs.calls) == {"os.urandom", "os.getrandom"}
    assert runs.replayed == runs.live
    assert len(runs.live[0]) == 16


def test_identifiers_are_recorded() -> None:
    runs = run(lambda: [uuid.uuid4(), early_uuid4(), uuid.uuid1()])
    assert runs.calls == ["os.urandom", "os.urandom", "uuid.uuid1"]
    assert runs.replayed == runs.live
    assert [each.version for each in runs.replayed] == [4, 4, 1]


def test_wrong_arguments_raise_as_ever() -> None:
    def body() -> None:
        with pytest.raises(ValueError, match="negative"):
            os.urandom(-1)
        with pytest.raises(IndexError):
            random.choice([])

    body()
    runs = run(body)
    assert runs.calls == ["os.urandom", "golem:random/seed"]


def test_numpy_generators_without_a_seed_are_recorded() -> None:
    runs = run(lambda: np.random.default_rng().integers(0, 2**40, 5).tolist())
    assert set(runs.calls) == {"os.urandom"}
    assert runs.replayed == runs.live


def test_the_generator_of_temporary_names_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_name_sequence", None)

    def body() -> list[bytes]:
        tempfile.mktemp()  # the first use in this process makes the generator
        return [os.urandom(4)]

    runs = run(body)
    assert runs.calls == ["os.urandom"]
    assert runs.replayed == runs.live

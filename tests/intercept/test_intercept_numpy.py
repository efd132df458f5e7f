"""The agent's own generator of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from golem_sdk import PersistenceLevel, persistence_level
from intercept.replaying import run


def test_one_seed_for_many_numbers() -> None:
    runs = run(lambda: [np.random.rand(1000).tolist(), np.random.choice(5), np.random.bytes(2)])
    assert runs.calls == ["numpy.random.seed"]
    assert runs.replayed == runs.live


def test_it_is_the_agents_own() -> None:
    np.random.seed(3)
    expected = np.random.RandomState(3).rand(4).tolist()
    first = np.random.rand()
    run(lambda: np.random.seed(99))
    assert [first, *np.random.rand(3).tolist()] == expected


def test_seeds_and_states_are_those_of_numpy() -> None:
    def body() -> list[Any]:
        np.random.seed(5)
        state = np.random.get_state()
        first = np.random.ranf()
        np.random.set_state(state)
        return [first, np.random.random_sample()]

    runs = run(body)
    assert runs.live == runs.replayed == [np.random.RandomState(5).random_sample()] * 2


def test_two_agents_draw_different_numbers() -> None:
    def first() -> float:
        return float(np.random.rand())

    def second() -> float:
        return float(np.random.rand())

    assert run(first).live != run(second).live


def test_entropy_without_a_seed_is_recorded() -> None:
    runs = run(lambda: [np.random.default_rng().random(), np.random.SeedSequence().entropy])
    assert set(runs.calls) == {"os.urandom"}
    assert runs.replayed == runs.live


def test_a_generator_of_an_unrecorded_zone_is_not_kept() -> None:
    def body() -> float:
        with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
            np.random.rand()
        return float(np.random.rand())

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.calls == ["numpy.random.seed"]

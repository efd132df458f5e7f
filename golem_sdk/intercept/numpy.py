"""The process-wide generator of numpy: ``numpy.random.rand``, ``seed``, ``shuffle`` and the like.

Inside an agent they draw from a ``RandomState`` of the agent's own, as the functions of `random` do: it is
made from one recorded seed for each invocation, so a simulation writes one entry and not one for each
number, and ``numpy.random.seed(1)`` gives the numbers that it always gives and disturbs no other agent.
What is made without a seed (``default_rng()``, ``RandomState()``, ``SeedSequence()``) takes its entropy
from ``os.urandom``, which is recorded.

Does not cover: the generator's object itself (``numpy.random.mtrand._rand``, which scikit-learn and SciPy
use for ``random_state=None``: give them a seed), and names imported from ``numpy.random.mtrand``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["random_patches"]

_NAME = "numpy"
_SEED_WORDS = 8
_ALIASES = {"ranf": "random_sample", "sample": "random_sample", "seed": "seed"}
"""Plain functions that use the shared generator, and its methods that they stand for."""


def random_patches(module: ModuleType) -> list[Patch]:
    """The patches of `numpy.random`: the functions that share the process's generator."""
    make_state = module.RandomState
    shared = [
        name
        for name, value in vars(module).items()
        if isinstance(getattr(value, "__self__", None), make_state) and not name.startswith("_")
    ]

    def patch(name: str, method: str) -> Patch:
        return Patch(module, name, _of_agent(make_state, method), spread=True)

    return [
        *(patch(name, name) for name in shared),
        *(patch(name, method) for name, method in _ALIASES.items()),
    ]


def _of_agent(make_state: Callable[..., Any], method: str) -> Callable[[Any], MethodType]:
    current_since, seeded = durability.current_since, durability.agent_seeded

    def made(seed: bytes) -> Any:
        words = [int.from_bytes(seed[4 * i : 4 * i + 4], "big") for i in range(_SEED_WORDS)]
        return make_state(words)

    def make(original: Callable[..., Any]) -> MethodType:
        def function(_home: object, /, *args: Any, **kwargs: Any) -> Any:
            session = current_since(_NAME)
            if session is None:
                return original(*args, **kwargs)
            return getattr(seeded(session, "numpy.random.seed", made), method)(*args, **kwargs)

        return replacement_of(original, function, "numpy.random")

    return make

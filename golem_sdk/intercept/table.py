"""The table of all interceptors: what is replaced, for which library, what becomes of it, what it lacks.

It is the truth: patching follows it, every agent records its versions, ``golem doctor`` lists it, and the
README's table is made from it. To add an interceptor, write its adapter (``intercept/<library>.py``) and its
row (in a module of ``intercept/rows``); nothing else knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.intercept.rows.databases import DATABASES
from golem_sdk.intercept.rows.files import FILES
from golem_sdk.intercept.rows.http import HTTP
from golem_sdk.intercept.rows.libraries import LIBRARIES
from golem_sdk.intercept.rows.network import NETWORK
from golem_sdk.intercept.rows.processes import PROCESSES
from golem_sdk.intercept.rows.standard import STANDARD
from golem_sdk.intercept.rows.surroundings import SURROUNDINGS

if TYPE_CHECKING:
    from golem_sdk.intercept.interceptor import Interceptor

__all__ = ["ACTIVATIONS", "TABLE", "versions"]

TABLE: tuple[Interceptor, ...] = (
    *STANDARD,
    *HTTP,
    *NETWORK,
    *PROCESSES,
    *SURROUNDINGS,
    *FILES,
    *LIBRARIES,
    *DATABASES,
)

ACTIVATIONS: dict[str, list[tuple[Interceptor, str]]] = {}
"""By the module that activates them: interceptors, and where each has its adapter."""

for _row in TABLE:
    for _module, _place in _row.adapters.items():
        ACTIVATIONS.setdefault(_module, []).append((_row, _place))


def versions() -> dict[str, int]:
    """The version of what each interceptor records, by its name."""
    return {row.name: row.version for row in TABLE}

"""Which type is lowered and raised by what: the codec's whole vocabulary in one place.

Lowering looks a type up exactly in `standard.LOWER`, then asks a cattrs converter whose hook
factories are the families of user classes. Raising is a table by code.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golem_sdk.codec import exceptions, models, records, standard
from golem_sdk.codec.classes import mro_of
from golem_sdk.codec.codes import Code, Lower, Lowered, Raise, Refused
from golem_sdk.codec.exceptions import exception_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

__all__ = ["FAMILIES", "RAISE", "exception_body", "hook_for"]

FAMILIES: list[tuple[Callable[[type[Any]], bool], Callable[[type[Any]], Lower]]] = [
    *exceptions.FAMILIES,
    *records.FAMILIES[:2],
    *models.FAMILIES,
    *records.FAMILIES[2:],
]
"""Families of classes with the factory of their hook; the first that fits counts."""

RAISE: dict[int, tuple[Code, bool, Raise]] = {
    **{code: (code, True, build) for code, build in standard.RAISE_RAW.items()},
    **{code: (code, False, build) for code, build in standard.RAISE_BODIES.items()},
    **{code: (code, False, build) for code, build in records.RAISE.items()},
    **{code: (code, False, build) for code, build in models.RAISE.items()},
    **{code: (code, False, build) for code, build in exceptions.RAISE.items()},
}
"""By extension code: the code, whether its body is bytes, and what builds the value from it."""

_SECRETS = ("Secret", "SecretBytes", "SecretStr")  # of pydantic
_ADVICE: list[tuple[tuple[str, ...], str]] = [
    (_SECRETS, "A secret is not stored: store its name, and read it again where it is needed."),
    (("function", "method", "builtin_function_or_method"), "Store a name and look it up."),
    (("type", "ABCMeta", "EnumType", "module"), "Store its name and look it up."),
    (("str", "int", "float", "bytes", "list", "dict", "set", "tuple"), "Convert it to a plain {}."),
    (("generator", "coroutine", "async_generator"), "Store the values that it gives."),
]
_ADVICE_OTHERWISE = (
    "Store the data that it is made from; a record can be an attrs class, dataclass or pydantic "
    "model at module level."
)


@lru_cache(maxsize=4096)
def hook_for(cls: Any) -> Lower:
    """What lowers instances of exactly this class; a hook that refuses if nothing does."""
    exact = standard.LOWER.get(cls)
    if exact is not None:
        return exact
    hook: Lower = _converter().get_unstructure_hook(cls, cache_result=False)
    return hook


@cache
def _converter() -> Converter:
    from cattrs import Converter  # 50 ms to import, so only when the first user class comes by

    converter = Converter(unstructure_fallback_factory=lambda cls: _refuse)
    # later registrations win: first what overrides cattrs' own hooks, the strongest family last
    converter.register_unstructure_hook_factory(lambda cls: True, lambda cls: _refuse)
    for fits, factory in reversed(FAMILIES):
        converter.register_unstructure_hook_factory(fits, factory)
    for base in (str, bytes, Path):  # cattrs keeps these by inheritance, before any factory
        converter.register_unstructure_hook(base, _lower_by_family)
    return converter


def _lower_by_family(value: Any) -> Lowered:
    cls = type(value)
    for fits, factory in FAMILIES:
        if fits(cls):
            return factory(cls)(value)
    return _refuse(value)


def _refuse(value: Any) -> Lowered:
    names = [base.__name__ for base in mro_of(type(value))]
    for kinds, advice in _ADVICE:
        for name in names:
            if name in kinds:
                raise Refused(value, "its type has no exact encoding", advice.format(name))
    raise Refused(value, "its type has no encoding", _ADVICE_OTHERWISE)

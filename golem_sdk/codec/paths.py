"""Where in a value the part is that cannot be stored. Runs only after encoding has failed."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from golem_sdk.codec import tables
from golem_sdk.codec.codes import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["blame"]

_MAX_LABEL = 60
_SCALARS = (int, float, bool, type(None))
_HEAVY_LEVELS = 1


def blame(
    value: object, failure: Exception, attempt: Callable[[object], object]
) -> tuple[Refused, str]:
    """Find the innermost part that fails by itself; give its refusal and its path.

    Args:
        value: what could not be encoded.
        failure: what encoding it raised.
        attempt: encodes a part, or raises.
    """
    path = "value"
    trail = {id(value): (path, value)}
    while not (len(trail) > _HEAVY_LEVELS and _is_heavy(failure)):
        light = _SCALARS if _is_heavy(failure) else ()
        for label, part in _parts(value):
            if type(part) in light:
                continue
            try:
                attempt(part)
            except Exception as error:  # whatever it is, the innermost one is reported
                failure = error
            else:
                continue
            path += label
            if id(part) in trail:
                reason = f"it refers back to {trail[id(part)][0]}"
                return Refused(part, reason, "Store references by key instead."), path
            trail[id(part)] = path, part
            value = part
            break
        else:
            break
    return _refusal(value, failure), path


def _is_heavy(failure: Exception) -> bool:
    """Whether there is too much of it: this takes long to find out, and is likely to hold of its parts."""
    return isinstance(failure, Refused) and "too many parts" in failure.reason


def _refusal(value: object, failure: Exception) -> Refused:
    if isinstance(failure, Refused):
        return failure
    if isinstance(failure, RecursionError) or "recursion" in str(failure):
        return Refused(value, "it is nested too deeply", "Flatten it.")
    return Refused(value, f"{type(failure).__name__}: {failure}", "Store its parts separately.")


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value with their label in a path."""
    kind = type(value)
    if kind in (list, tuple, deque):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif kind in (dict, OrderedDict, Counter, defaultdict):
        yield from ((f".key({_label(key)})", key) for key in value)
        yield from ((f"[{_label(key)}]", item) for key, item in value.items())
    elif kind in (set, frozenset):
        yield from ((f".element({_label(item)})", item) for item in value)
    elif kind in (datetime, time):
        yield ".tzinfo", value.tzinfo
    else:
        yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Fields and other attributes of an instance: the dicts in its lowered form."""
    try:
        cls: Any = type(value)
        _, body = tables.hook_for(cls)(value)
    except Refused:
        return
    if type(body) is list:
        for part in body:
            if type(part) is dict:
                yield from ((f".{name}", item) for name, item in part.items())


def _label(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # a broken __repr__ must not hide the path
        text = type(key).__name__
    if len(text) > _MAX_LABEL:
        return text[:_MAX_LABEL] + "…"
    return text.replace("'", '"') if type(key) is str and '"' not in text else text

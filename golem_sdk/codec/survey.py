"""The shape of a value: how deep it is, how many parts it has, what in it nobody knows.

Walks are by level or remember what they have met, so that neither depth nor width nor sharing can
exhaust the stack or take for ever.
"""

from __future__ import annotations

from gc import get_referents
from typing import Any

from golem_sdk.codec.bounds import MAX_WEIGHT
from golem_sdk.codec.codes import Code, Refused

__all__ = ["MAX_DEPTH", "TOO_DEEP", "TOO_DEEP_REMEDY", "Seen", "Survey", "is_shallow", "parts_of"]

MAX_DEPTH = 64
"""Levels of nesting. A list or dict is one level, any other container or object two or three."""

TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels, or contains itself"
TOO_DEEP_REMEDY = "Flatten it, or store the parts separately and refer to them by key."

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_FEW = 32
_MANY = 10_000

Seen = dict[int, tuple[Any, Code, Any]]
"""By id: the object, which is kept alive, its code and its body."""


def parts_of(value: Any) -> int:
    """How many parts the lists and dicts in a value have, each counted as often as it is met.

    Of a few it may say fewer.

    Raises:
        Refused: it is nested too deeply.
    """
    if len(value) > MAX_WEIGHT:
        return len(value)
    if is_shallow(value):
        return 0
    level, total = [value], 0
    for _ in range(MAX_DEPTH):
        below = get_referents(*level)
        level = [part for part in below if type(part) is list or type(part) is dict]
        if not level:
            return total
        total += len(below)
        if total > _MANY:
            break
    return _parts(value, {}, 1)


def is_shallow(value: Any) -> bool:
    """Whether a list or dict has but a few parts, and lists and dicts in it a few that are neither."""
    if len(value) > _FEW:
        return False
    for part in value if type(value) is list else value.values():
        kind = type(part)
        if kind is list or kind is dict:
            if len(part) > _FEW:
                return False
            for inner in part if kind is list else part.values():
                if type(inner) is list or type(inner) is dict:
                    return False
    return True


def _parts(value: Any, known: dict[int, int], depth: int) -> int:
    """Look at each part once, whatever is met many times: sharing can make a small value very large."""
    if depth > MAX_DEPTH:
        raise Refused(value, TOO_DEEP, TOO_DEEP_REMEDY)
    parts = value if type(value) is list else value.values()
    total = len(parts)
    for part in parts:
        if type(part) is list or type(part) is dict:
            inside = known.get(id(part))
            if inside is None:
                inside = known[id(part)] = _parts(part, known, depth + 1)
            total += inside
    return total


class Survey:
    """Depth and unknown leaves of a value whose extensions are known (`seen`).

    Walks level by level, so that neither depth nor width can exhaust the Python stack.
    """

    def __init__(self, root: Any, seen: Seen) -> None:
        self.foreign = False
        self._seen = seen
        level = _compound((root,))
        self.depth = 0
        self._inside = 0  # depth within parts that were measured before
        while level:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Refused(root, TOO_DEEP, TOO_DEEP_REMEDY)
            level = [part for node in level for part in self._parts(node)]
        self.depth = max(self.depth, self._inside)
        if self.depth > MAX_DEPTH:
            raise Refused(root, TOO_DEEP, TOO_DEEP_REMEDY)

    def _parts(self, node: Any) -> list[Any]:
        if type(node) is list:
            return _compound(node)
        if type(node) is dict:
            return [*_compound(node), *_compound(node.values())]
        entry = self._seen.get(id(node))
        if entry is None:
            self.foreign = True
            return []
        _, _, body = entry
        if type(body) is Survey:
            self._inside = max(self._inside, self.depth + body.depth)
            self.foreign = self.foreign or body.foreign
            return []
        return _compound((body,))


def _compound(parts: Any) -> list[Any]:
    return [part for part in parts if type(part) not in _SCALARS]

"""Where the order of a set decides what is done, or what comes out."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from golem_sdk.lint.names import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.lint.module import Part

__all__ = ["set_order"]

Found = tuple[ast.AST, str]

_SETS = frozenset({"builtins.set", "builtins.frozenset"})
_SET_METHODS = frozenset({"copy", "difference", "intersection", "symmetric_difference", "union"})
_ORDERING = words("builtins.enumerate builtins.iter builtins.list builtins.tuple")
_INDIFFERENT = words(
    "builtins.all builtins.any builtins.frozenset builtins.len builtins.max builtins.min builtins.set"
    " builtins.sorted builtins.sum"
)
_HARMLESS = _INDIFFERENT | words(
    "builtins.abs builtins.bool builtins.float builtins.int builtins.isinstance builtins.repr"
    " builtins.str"
)
_HARMLESS_METHODS = frozenset({"add", "discard", "get", "lower", "startswith", "strip", "upper"})


def set_order(part: Part) -> Iterator[Found]:
    """Loops over sets that call something, and sequences that are made of sets."""
    sets = _names(part)

    def is_set(node: ast.AST) -> bool:
        return _is_set(part, node, sets)

    for node in part.nodes:
        match node:
            case ast.For(iter=found, body=body) | ast.AsyncFor(iter=found, body=body):
                if is_set(found) and any(_matters(part, each) for each in body):
                    yield found, "a loop over a set that calls something"
            case ast.ListComp(generators=[first, *_]) | ast.GeneratorExp(generators=[first, *_]):
                if is_set(first.iter) and not _is_indifferent(part, node):
                    yield first.iter, "a sequence made of a set"
            case ast.SetComp(generators=[first, *_]) | ast.DictComp(generators=[first, *_]):
                if is_set(first.iter) and any(_matters(part, each) for each in _made(node)):
                    yield first.iter, "a loop over a set that calls something"
            case ast.Call(func=func, args=[first, *_]) if is_set(first):
                joins = isinstance(func, ast.Attribute) and func.attr == "join"
                if (joins or part.dotted(func) in _ORDERING) and not _is_indifferent(part, node):
                    yield first, "a sequence made of a set"
            case ast.Call(func=ast.Attribute(attr="pop", value=found), args=[]) if is_set(found):
                yield node, "whichever element of a set comes first"
            case ast.Starred(value=found, ctx=ast.Load()) if is_set(found):
                if not isinstance(part.parent(node), ast.Set):
                    yield found, "a sequence made of a set"


def _names(part: Part) -> set[str]:
    """Names of sets, as far as the function or the module says so."""
    found = {name for name, value in part.module.values.items() if _is_set(part, value, set())}
    found -= part.bound
    found |= part.annotated(_SETS)
    for node in part.nodes:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                if part.says(annotation, _SETS):
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if _is_set(part, value, found):
                    found.add(name)
                else:
                    found.discard(name)
    return found


def _is_set(part: Part, node: ast.AST, known: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in known
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return _is_set(part, left, known)
        case ast.Call(func=func):
            return part.dotted(func) in _SETS or (
                isinstance(func, ast.Attribute)
                and func.attr in _SET_METHODS
                and _is_set(part, func.value, known)
            )
    return False


def _made(node: ast.SetComp | ast.DictComp) -> list[ast.expr]:
    return [node.elt] if isinstance(node, ast.SetComp) else [node.key, node.value]


def _matters(part: Part, node: ast.AST) -> bool:
    """Whether the order in which this is done can be seen."""
    for each in ast.walk(node):
        match each:
            case ast.Await() | ast.Yield() | ast.YieldFrom() | ast.Break() | ast.Return():
                return True
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in _HARMLESS_METHODS:
                pass
            case ast.Call(func=func) if part.dotted(func) not in _HARMLESS:
                return True
    return False


def _is_indifferent(part: Part, node: ast.AST) -> bool:
    """Whether what it is given to does not care for the order."""
    parent = part.parent(node)
    return isinstance(parent, ast.Call) and part.dotted(parent.func) in _INDIFFERENT

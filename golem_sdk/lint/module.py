"""A module as its syntax tree, and what of it is agent code."""

from __future__ import annotations

import ast
import builtins
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Function", "Module", "Part"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_BUILTINS = frozenset(dir(builtins))
_AGENT = frozenset({"agent"})
_DURABLE = frozenset({"durable", "durable_cached", "transaction"})


class Module:
    """What a module defines and imports, by name.

    Args:
        tree: its syntax tree.

    Attributes:
        functions, classes: those at its top level.
        values: what its top level assigns to names, as far as it is written there.
        imports: the dotted names of what is imported, wherever, by the names that it has here.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.values: dict[str, ast.expr] = {}
        for node in tree.body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.functions[node.name] = node
                case ast.ClassDef():
                    self.classes[node.name] = node
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.values[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.values[name] = value
        self.imports = dict(_imported(tree))
        self._tree = tree

    def parts(self) -> list[Part]:
        """Everything that is agent code, each function once."""
        parts: dict[Function, Part] = {}
        waiting = list(self._agents())
        while waiting:
            part = waiting.pop()
            if part.function not in parts:
                parts[part.function] = part
                waiting += self._mentioned(part)
        return sorted(parts.values(), key=lambda part: part.function.lineno)

    def dotted(self, node: ast.AST) -> str:
        """``"os.path.exists"`` for what is written so, or imported as something else; else ``""``."""
        match node:
            case ast.Name(id=name) if name in self.imports:
                return self.imports[name]
            case ast.Name(id=name):
                own = name in self.functions or name in self.classes or name in self.values
                return f"builtins.{name}" if name in _BUILTINS and not own else ""
            case ast.Attribute(value=value, attr=name):
                owner = self.dotted(value)
                return f"{owner}.{name}" if owner else ""
        return ""

    def is_durable(self, function: Function) -> bool:
        """Whether calls of a function are durable calls."""
        return self._is_decorated(function, _DURABLE)

    def _agents(self) -> Iterator[Part]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef | Function) and self._is_decorated(node, _AGENT):
                yield from (
                    self._methods(node)
                    if isinstance(node, ast.ClassDef)
                    else [Part(self, node, None)]
                )

    def _methods(self, owner: ast.ClassDef) -> Iterator[Part]:
        """Also those of its bases in this module."""
        owners = [owner]
        for each in owners:
            for node in each.body:
                if isinstance(node, Function) and not self.is_durable(node):
                    yield Part(self, node, each)
            bases = [self.classes.get(base.id) for base in each.bases if isinstance(base, ast.Name)]
            owners += [base for base in bases if base is not None and base not in owners]

    def _mentioned(self, part: Part) -> Iterator[Part]:
        for node in part.nodes:
            if not isinstance(node, ast.Name) or node.id in part.bound:
                continue
            function, owner = self.functions.get(node.id), self.classes.get(node.id)
            if function is not None and not self.is_durable(function):
                yield Part(self, function, None)
            if owner is not None and not self._is_decorated(owner, _AGENT):
                yield from self._methods(owner)

    def _is_decorated(self, node: ast.ClassDef | Function, names: frozenset[str]) -> bool:
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            package, _, name = self.dotted(target).rpartition(".")
            if name in names and package.partition(".")[0] == "golem_sdk":
                return True
        return False


@frozen(eq=False, slots=False)
class Part:
    """A function that is agent code, with the functions inside it.

    Attributes:
        module: where it stands.
        function: it.
        owner: the class whose method it is.
    """

    module: Module
    function: Function
    owner: ast.ClassDef | None
    _parents: dict[ast.AST, ast.AST] = field(factory=dict, init=False)

    @property
    def name(self) -> str:
        """Its qualified name."""
        return f"{self.owner.name}.{self.function.name}" if self.owner else self.function.name

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Its syntax tree, from the top down, without decorators, defaults and annotations."""
        return list(self._walk(self.function.body, self.function))

    @cached_property
    def bound(self) -> frozenset[str]:
        """The names that it binds itself: they are not the module's."""
        names, shared = {each.arg for each in self._arguments(self.function)}, set[str]()
        for node in self.nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    names.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names |= {name, *(each.arg for each in self._arguments(node))}
                case ast.Lambda():
                    names |= {each.arg for each in self._arguments(node)}
                case ast.ExceptHandler(name=str(name)):
                    names.add(name)
                case ast.Global(names=declared):
                    shared |= {*declared}
        return frozenset(names - shared)

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node in which this one stands."""
        return self._parents.get(node)

    def dotted(self, node: ast.AST) -> str:
        """As of the module, but names that this function binds itself are no module's."""
        at = node
        while isinstance(at, ast.Attribute):
            at = at.value
        if isinstance(at, ast.Name) and at.id in self.bound:
            return ""
        return self.module.dotted(node)

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """All calls, each with the dotted name of what is called, if that is known."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield node, self.dotted(node.func)

    def annotated(self, names: frozenset[str]) -> set[str]:
        """Its parameters whose annotation has one of these dotted names."""
        return {
            each.arg for each in self._arguments(self.function) if self.says(each.annotation, names)
        }

    def says(self, annotation: ast.expr | None, names: frozenset[str]) -> bool:
        """Whether an annotation is one of these dotted names, of whatever it may be."""
        if isinstance(annotation, ast.Subscript):
            annotation = annotation.value
        return annotation is not None and self.module.dotted(annotation) in names

    def _walk(self, found: list[ast.stmt] | list[ast.AST], parent: ast.AST) -> Iterator[ast.AST]:
        for node in found:
            if isinstance(node, Function) and self.module.is_durable(node):
                continue
            self._parents[node] = parent
            yield node
            inner: list[ast.AST] = list(ast.iter_child_nodes(node))
            if isinstance(node, Function):
                inner = [*node.body]
            elif isinstance(node, ast.Lambda):
                inner = [node.body]
            elif isinstance(node, ast.AnnAssign):
                inner = [each for each in (node.target, node.value) if each is not None]
            yield from self._walk(inner, node)

    @staticmethod
    def _arguments(function: Function | ast.Lambda) -> list[ast.arg]:
        given = function.args
        several = [each for each in (given.vararg, given.kwarg) if each is not None]
        return [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for each in names:
                    first = each.name.partition(".")[0]
                    yield (each.asname, each.name) if each.asname else (first, first)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for each in names:
                    yield each.asname or each.name, f"{module}.{each.name}"

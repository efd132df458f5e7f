"""Small changes of source code, each of which a good test should notice.

Left out is what says nothing about behaviour: annotations, docstrings, texts with blanks, what a ``raise``
raises, assertions, ``__all__``, ``__slots__``, decorators, and imports that only types need.
"""

from __future__ import annotations

import ast
from collections import Counter
from copy import copy
from inspect import CO_OPTIMIZED
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

__all__ = ["Mutant", "changed_functions", "mutants_of"]

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_SAME_WHEN_NEGATED = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_HEADED = (ast.stmt, ast.ExceptHandler, ast.match_case)
_UNTOUCHED = (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.arg)
_UNTOUCHED_FIELDS = {"annotation", "returns", "decorator_list", "pattern", "exc", "cause"}
_GENERIC = {"Callable", "dict", "list", "tuple", "type"}  # they begin the name of a type
_LONGEST, _AROUND = 240, 40  # characters
_UNTOUCHED_NAMES = {"__all__", "__slots__", "TypeVar", "TypeVarTuple", "TYPE_CHECKING", "cast"}


@frozen
class _Slot:
    """Where a node hangs in its tree."""

    parent: Any
    field: str
    index: int | None = None

    def get(self) -> Any:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@frozen
class Mutant:
    """One change of one file.

    Attributes:
        file: relative to the package.
        function: in which it is; empty at the module's level.
        lines: from the statement's first to the changed part's last.
        before, after: the statement's text, of one with a body its head only.
        at_import: whether it is outside every function's body.
        tree: of the file, unchanged.
    """

    file: str
    function: str
    lines: range
    before: str
    after: str
    at_import: bool
    tree: ast.Module = field(repr=False, eq=False)
    _slot: _Slot = field(repr=False, eq=False)
    _node: Any = field(repr=False, eq=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.lines[0]} {self.function or '(module)'}"
        return f"{place}\n    - {self.before}\n    + {self.after}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is called where lines come and go."""
        return self.file, self.function, self.before, self.after

    def code(self, path: str) -> CodeType:
        """The mutated file, compiled. Changes the tree for the time being."""
        original = self._slot.get()
        self._slot.put(self._node)
        try:
            return compile(ast.fix_missing_locations(self.tree), path, "exec", dont_inherit=True)
        finally:
            self._slot.put(original)


@frozen
class _Place:
    """What is known of the nodes around one."""

    function: str = ""
    inside: bool = False
    head: _Slot | None = None
    stores: Counter[str] = field(factory=Counter)


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Every mutant of a file's source."""
    tree = ast.parse(source)
    return [
        Mutant(file, place.function, lines, before, after, not place.inside, tree, slot, node)
        for place, slot, node in _changes(tree, _Place())
        for lines, before, after in [_told(place, slot, node)]
    ]


def changed_functions(before: CodeType, after: CodeType) -> dict[tuple[str, int], CodeType] | None:
    """The functions whose code differs, by name and first line.

    ``None``: they cannot be told apart, or one would not fit in the other's place.
    """
    old, new = dict(_functions(before)), dict(_functions(after))
    twice = Counter(key for key, _ in _functions(before))
    changed = {key: code for key, code in new.items() if key in old and old[key] != code}
    fit = all(
        twice[key] == 1 and len(code.co_freevars) == len(old[key].co_freevars)
        for key, code in changed.items()
    )
    return changed if changed and fit else None


def _functions(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            if constant.co_flags & CO_OPTIMIZED:  # a class's body has not that flag
                yield (constant.co_qualname, constant.co_firstlineno), constant
            yield from _functions(constant)


def _told(place: _Place, slot: _Slot, node: Any) -> tuple[range, str, str]:
    assert place.head is not None, "every expression is in a statement"
    original, head = slot.get(), place.head.get()
    lines, before = _lines(head, original), _head(head)
    slot.put(node)
    after = _head(place.head.get())
    slot.put(original)
    return lines, *_shortened(before, after)


def _shortened(before: str, after: str) -> tuple[str, str]:
    """Of a long statement only what differs, and what is around it."""
    if len(before) <= _LONGEST:
        return before, after
    start = max(0, _alike(before, after) - _AROUND)
    end = max(0, _alike(before[:start:-1], after[:start:-1]) - _AROUND)
    return f"…{before[start : len(before) - end]}…", f"…{after[start : len(after) - end]}…"


def _alike(left: str, right: str) -> int:
    """How many characters they have in common at their beginnings."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))


def _lines(head: Any, changed: Any) -> range:
    first = head.pattern.lineno if isinstance(head, ast.match_case) else head.lineno
    whole = isinstance(changed, ast.expr) or not hasattr(changed, "body")
    return range(first, getattr(changed, "end_lineno", first) + 1 if whole else first + 1)


def _head(node: ast.AST) -> str:
    if not hasattr(node, "body") and not isinstance(node, ast.Match):
        return ast.unparse(node)
    lines = ast.unparse(node).splitlines()
    return next(line for line in lines if not line.startswith("@")).strip()


def _changes(node: ast.AST, place: _Place) -> Iterator[tuple[_Place, _Slot, Any]]:
    for slot in _slots(node):
        child = slot.get()
        if not _is_touched(child):
            continue
        below = _below(child, slot, place)
        # A function's defaults are made where it is defined.
        here = place if isinstance(child, _FUNCTION) else below
        if isinstance(node, _FUNCTION) and slot.field == "args":
            below = here = _Place(place.function, False, place.head, place.stores)
        for changed in _variants(slot, here):
            yield here, slot, changed
        yield from _changes(child, below)
    if isinstance(node, ast.match_case) and node.guard is None:
        yield place, _Slot(node, "guard"), ast.Constant(False)


def _slots(node: ast.AST) -> Iterator[_Slot]:
    for name, value in ast.iter_fields(node):
        if name in _UNTOUCHED_FIELDS:
            continue
        if isinstance(value, list):
            yield from (_Slot(node, name, i) for i, v in enumerate(value) if isinstance(v, ast.AST))
        elif isinstance(value, ast.AST):
            yield _Slot(node, name)


def _is_touched(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name("TYPE_CHECKING")):
            return False
        case ast.Assign(value=ast.Subscript(value=ast.Name(name))) if name in _GENERIC:
            return False
        case ast.Assign(targets=[ast.Name(name)]) | ast.Call(func=ast.Name(name)):
            return name not in _UNTOUCHED_NAMES
    return not isinstance(node, _UNTOUCHED)


def _below(node: ast.AST, slot: _Slot, place: _Place) -> _Place:
    head = slot if isinstance(node, _HEADED) else place.head
    if isinstance(node, (*_FUNCTION, ast.ClassDef)):
        inside = place.inside or isinstance(node, _FUNCTION)
        name = f"{place.function}.{node.name}".lstrip(".")
        names = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_stored(n))
        return _Place(name, inside, head, Counter(names))
    return _Place(place.function, place.inside, head, place.stores)


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _variants(slot: _Slot, place: _Place) -> Iterator[Any]:
    node = slot.get()
    match node:
        case ast.stmt():
            yield from _statements(node, place)
        case ast.ExceptHandler():
            yield _with(node, type=ast.Tuple([], ast.Load()))
        case ast.Compare():
            for i, op in enumerate(node.ops):
                ops = [*node.ops[:i], _COMPARE[type(op)](), *node.ops[i + 1 :]]
                yield _with(node, ops=ops)
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.BinOp() if place.inside and not _is_of_texts_or_types(slot):
            yield _with(node, op=_ARITHMETIC[type(node.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant():
            yield from _constants(node)
    if (slot.field in {"test", "guard"} or isinstance(slot.parent, ast.comprehension)) and (
        slot.field in {"test", "guard", "ifs"} and _is_negated(node)
    ):
        yield ast.copy_location(ast.UnaryOp(ast.Not(), node), node)


def _with(node: Any, **changed: Any) -> Any:
    twin = copy(node)
    for name, value in changed.items():
        setattr(twin, name, value)
    return twin


def _statements(node: ast.stmt, place: _Place) -> Iterator[ast.stmt]:
    match node:
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.Delete() if place.inside:
            yield ast.copy_location(ast.Pass(), node)
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign(value=ast.expr()) if place.inside:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name) or place.stores[target.id] > 1:
                yield ast.copy_location(ast.Pass(), node)
            if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
                yield _with(node, op=_ARITHMETIC[type(node.op)]())
        case ast.Break():
            yield ast.copy_location(ast.Continue(), node)
        case ast.Continue():
            yield ast.copy_location(ast.Break(), node)


def _constants(node: ast.Constant) -> Iterator[ast.Constant]:
    match node.value:
        case bool():
            yield _with(node, value=not node.value)
        case int() | float():
            yield _with(node, value=node.value + 1)
        case str() if not any(map(str.isspace, node.value)):
            yield _with(node, value=f"{node.value}XX")
        case bytes():
            yield _with(node, value=node.value + b"XX")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_of_texts_or_types(slot: _Slot) -> bool:
    sides = [slot.get().left, slot.get().right]
    texts = any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
        for s in sides
    )
    call = slot.parent if isinstance(slot.parent, ast.Call) else None
    types = call is not None and isinstance(call.func, ast.Name) and call.func.id == "isinstance"
    return texts or types


def _is_negated(test: ast.expr) -> bool:
    """Whether the test's negation is a mutant that no other one equals."""
    match test:
        case ast.Constant() | ast.UnaryOp(op=ast.Not()):
            return False
        case ast.Compare(ops=[op]):
            return not isinstance(op, _SAME_WHEN_NEGATED)
    return True

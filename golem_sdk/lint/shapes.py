"""What rules look for that is more than the name of a function."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from golem_sdk.lint import names
from golem_sdk.lint.names import words
from golem_sdk.lint.sets import set_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.lint.module import Part

__all__ = [
    "environment_reads",
    "environment_writes",
    "identities",
    "not_awaited",
    "process_caches",
    "set_order",
    "shared_state",
    "swallowed",
]

Found = tuple[ast.AST, str]

_CHANGING = words(
    "add append appendleft clear discard extend insert pop popitem popleft remove reverse setdefault sort"
    " update"
)
_CONTAINERS = words(
    "builtins.dict builtins.list builtins.set collections.Counter collections.OrderedDict"
    " collections.defaultdict collections.deque weakref.WeakKeyDictionary"
    " weakref.WeakValueDictionary"
)
_SIGNALS = ("builtins.BaseException", "golem_sdk.errors.AgentControlSignal")
_CACHES = frozenset({"functools.cache", "functools.lru_cache"})
_COROUTINES = words("asyncio.gather asyncio.sleep asyncio.to_thread asyncio.wait asyncio.wait_for")
_GETS = frozenset({"golem_sdk.get", "golem_sdk.host.agents.get"})
_PROCESS_WIDE = words(
    "locale.setlocale os.chdir os.chroot os.fchdir os.nice os.putenv os.umask os.unsetenv"
    " time.tzset"
)
_ENV_CHANGING = frozenset({"clear", "pop", "popitem", "setdefault", "update"})
_ENVIRON = frozenset({"os.environ", "os.environb"})


# --- identities --------------------------------------------------------------------------


def identities(part: Part) -> Iterator[Found]:
    """``id(...)`` and ``hash(...)``, but where an object says how it is hashed."""
    for call, name in part.calls():
        if name in {"builtins.id", "builtins.hash"} and part.function.name != "__hash__":
            yield call, f"{name.removeprefix('builtins.')}()"


# --- what agents share ----------------------------------------------------------------------------


def shared_state(part: Part) -> Iterator[Found]:
    """Changes of variables of the module or of a class."""
    declared = {name for node in part.nodes if isinstance(node, ast.Global) for name in node.names}
    for node in part.nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name in declared:
                yield node, f"the module's {name} is changed"
            case ast.Subscript(value=ast.Name() as owner, ctx=ast.Store() | ast.Del()):
                if _is_shared(part, owner):
                    yield node, f"the module's {owner.id} is changed"
            case ast.Attribute(value=ast.Name() as owner, attr=attr, ctx=ast.Store() | ast.Del()):
                if owner.id in part.module.classes and owner.id not in part.bound:
                    yield node, f"{owner.id}.{attr} of the class is changed"
            case ast.Call(func=ast.Attribute(value=ast.Name() as owner, attr=attr)):
                if attr in _CHANGING and _is_shared(part, owner):
                    yield node, f"the module's {owner.id} is changed"


def _is_shared(part: Part, node: ast.Name) -> bool:
    if node.id in part.bound:
        return False
    match part.module.values.get(node.id):
        case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp():
            return True
        case ast.Call(func=func):
            return part.module.dotted(func) in _CONTAINERS
    return False


def process_caches(part: Part) -> Iterator[Found]:
    """Calls of functions whose results functools keeps for the whole process, although they make calls."""
    for call, _ in part.calls():
        if not isinstance(call.func, ast.Name) or call.func.id in part.bound:
            continue
        function = part.module.functions.get(call.func.id)
        if function is None:
            continue
        targets = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
        if _CACHES.intersection(map(part.module.dotted, targets)) and _makes_calls(part, function):
            yield call, f"{function.name}() is cached for the whole process"


def _makes_calls(part: Part, function: ast.AST) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            if names.is_recorded(part.module.dotted(node.func)):
                return True
            known = part.module.functions.get(getattr(node.func, "id", ""))
            if known is not None and part.module.is_durable(known):
                return True
    return False


# --- control --------------------------------------------------------------------------------------


def not_awaited(part: Part) -> Iterator[Found]:
    """Coroutines that are made and dropped."""
    others = _handles(part)
    for node in part.nodes:
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        func = node.value.func
        target: ast.AST | None = None
        match func:
            case ast.Name(id=name) if name not in part.bound:
                target = part.module.functions.get(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                target = _method(part.owner, name)
            case ast.Attribute(value=ast.Name(id=handle), attr=name):
                target = _method(others.get(handle), name)
            case ast.Attribute(value=ast.Call() as made, attr=name):
                target = _method(_agent_of(part, made), name)
        if isinstance(target, ast.AsyncFunctionDef) or part.dotted(func) in _COROUTINES:
            yield node.value, f"{ast.unparse(func)}() is not awaited"


def _handles(part: Part) -> dict[str, ast.ClassDef | None]:
    """The agents' classes of this module of which the function has handles, by their names."""
    found: dict[str, ast.ClassDef | None] = {}
    for node in part.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = _agent_of(part, value)
    return found


def _agent_of(part: Part, node: ast.AST) -> ast.ClassDef | None:
    """Of ``golem_sdk.get(Agent, ...)``."""
    match node:
        case ast.Call(func=func, args=[ast.Name(id=name), *_]) if part.dotted(func) in _GETS:
            return part.module.classes.get(name)
    return None


def _method(owner: ast.ClassDef | None, name: str) -> ast.AST | None:
    return None if owner is None else _methods(owner).get(name)


def _methods(owner: ast.ClassDef) -> dict[str, ast.stmt]:
    return {
        each.name: each
        for each in owner.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def swallowed(part: Part) -> Iterator[Found]:
    """Handlers through which a control signal does not get."""
    for node in part.nodes:
        match node:
            case ast.ExceptHandler(type=kind, body=body):
                if _catches_signals(part, kind) and not _raises(body):
                    yield node, "except BaseException" if kind else "a bare except"
            case ast.Call(func=func, args=args) if part.dotted(func) == "contextlib.suppress":
                if any(part.dotted(each) in _SIGNALS for each in args):
                    yield node, "suppress(BaseException)"
            case ast.Try(finalbody=body) | ast.TryStar(finalbody=body):
                for left in _leaving(body):
                    yield left, f"{type(left).__name__.lower()} in finally"


def _catches_signals(part: Part, kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_catches_signals(part, each) for each in kind.elts)
    return kind is None or part.dotted(kind) in _SIGNALS


def _raises(body: list[ast.stmt]) -> bool:
    """Whether there is a ``raise``; whether every path leads to it is not asked."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return False


def _leaving(body: list[ast.stmt], *, loop: bool = False) -> Iterator[ast.stmt]:
    """Statements that leave the block they stand in; those of loops and functions inside do not."""
    for node in body:
        if isinstance(node, ast.Return) or (
            isinstance(node, ast.Break | ast.Continue) and not loop
        ):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = loop or isinstance(node, ast.For | ast.AsyncFor | ast.While)
            for name in ("body", "orelse", "finalbody"):
                yield from _leaving(getattr(node, name, []), loop=inner)
            for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
                yield from _leaving(part.body, loop=inner)


# --- the environment ------------------------------------------------------------------------------


def environment_reads(part: Part) -> Iterator[Found]:
    """Environment variables, the command line, standard input."""
    for node in part.nodes:
        name = part.dotted(node)
        if name in {"os.getenv", "os.getenvb"}:
            yield node, f"{name}()"
        elif name in {"sys.argv", "sys.stdin"} or (
            name in _ENVIRON and not _changes_environ(part, node)
        ):
            yield node, name


def environment_writes(part: Part) -> Iterator[Found]:
    """What all code of the process sees."""
    for call, name in part.calls():
        if name in _PROCESS_WIDE:
            yield call, f"{name}()"
    for node in part.nodes:
        if part.dotted(node) in _ENVIRON and _changes_environ(part, node):
            yield node, f"{part.dotted(node)} is changed"


def _changes_environ(part: Part, node: ast.AST) -> bool:
    match part.parent(node):
        case ast.Subscript(ctx=ast.Store() | ast.Del()):
            return True
        case ast.Attribute(attr=attr) as method:
            return attr in _ENV_CHANGING and isinstance(part.parent(method), ast.Call)
        case ast.AugAssign(target=target):
            return target is node
    return False

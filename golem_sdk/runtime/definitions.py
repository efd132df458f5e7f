"""What `@agent` registered: agent types by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import field, frozen

from golem_sdk.errors import MethodNotFoundError, UnknownAgentTypeError, UsageError

__all__ = [
    "AgentDefinition",
    "definition_named",
    "definition_of",
    "passing_listeners",
    "register",
    "registered",
]

INIT = "__init__"
"""Method name under which the construction of a class agent is recorded."""


@frozen
class AgentDefinition:
    """One agent type.

    Attributes:
        name: the type's name, part of every agent id.
        target: the decorated class or function.
        signature: what the constructor (or function) takes, without ``self``.
        methods: public methods by name, each with whether it is asynchronous. A function agent has one,
            named like the function.
        file: the source file of the definition.
        code: fingerprint of that file's text.
    """

    name: str
    target: Callable[..., Any]
    signature: inspect.Signature
    methods: dict[str, bool]
    file: str
    code: str = field(repr=False)
    _positional: int = field(init=False, repr=False)

    @_positional.default
    def _count_positional(self) -> int:
        """How many arguments there are if all may be given by place, else -1."""
        parameters = self.signature.parameters.values()
        return len(parameters) if {p.kind for p in parameters} <= _BY_PLACE else -1

    def bind(self, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], list[Any], dict[str, Any]]:
        """Arguments of the constructor: all values in order, and how to pass them, defaults filled in.

        Raises:
            UsageError: these are no arguments of it.
        """
        if not kwargs and len(args) == self._positional:  # so it mostly is, and `Signature` is slow
            return args, list(args), kwargs
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"{self.name}{self.signature}: {error}") from None
        bound.apply_defaults()
        return tuple(bound.arguments.values()), list(bound.args), bound.kwargs

    @property
    def is_class(self) -> bool:
        """Whether agents of this type are objects with methods, rather than one function run."""
        return isinstance(self.target, type)

    def check_method(self, method: str) -> bool:
        """Whether the method is asynchronous.

        Raises:
            MethodNotFoundError: there is no such public method.
        """
        try:
            return self.methods[method]
        except KeyError:
            known = ", ".join(sorted(self.methods)) or "none"
            raise MethodNotFoundError(
                f"agent type {self.name} has no method {method!r}; its methods are: {known}"
            ) from None


_BY_PLACE = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_definitions: dict[str, AgentDefinition] = {}
_by_target: dict[int, AgentDefinition] = {}
_on_register: list[Callable[[AgentDefinition], None]] = []


def register(definition: AgentDefinition) -> None:
    """Make an agent type known. Defining the same class or function again (a reload) replaces it.

    Raises:
        UsageError: another class or function has that name already.
    """
    known = _definitions.get(definition.name)
    if known is not None and _origin(known) != _origin(definition):
        raise UsageError(
            f"two agent types are named {definition.name!r}: {_origin(known)} and {_origin(definition)};"
            f' give one of them another name with @agent(name="...")'
        )
    _definitions[definition.name] = definition
    _by_target[id(definition.target)] = definition
    for callback in _on_register:
        callback(definition)


def registered(callback: Callable[[AgentDefinition], None]) -> Callable[[], None]:
    """Call ``callback`` for every definition registered from now on; returns what stops it."""
    _on_register.append(callback)
    return lambda: _on_register.remove(callback) if callback in _on_register else None


@contextmanager
def passing_listeners() -> Iterator[None]:
    """Who begins to listen to `register` in this block stops when it ends: a simulated process."""
    lasting = list(_on_register)
    try:
        yield
    finally:
        _on_register[:] = [callback for callback in _on_register if callback in lasting]


def definition_named(name: str) -> AgentDefinition:
    """The agent type with this name.

    Raises:
        UnknownAgentTypeError: nothing with that name was decorated in this process.
    """
    try:
        return _definitions[name]
    except KeyError:
        known = ", ".join(sorted(_definitions)) or "none"
        raise UnknownAgentTypeError(
            f"no agent type named {name!r} is defined in this process (known: {known}); import the module"
            " that defines it before opening the runtime. Its agents keep their oplogs and queued"
            " invocations until then."
        ) from None


def code_of(name: str) -> str | None:
    """The code fingerprint of an agent type, ``None`` if nothing with that name was decorated."""
    definition = _definitions.get(name)
    return None if definition is None else definition.code


def definition_of(target: object) -> AgentDefinition:
    """The definition of a decorated class or function.

    Raises:
        UsageError: it was not decorated.
    """
    definition = _by_target.get(id(target))
    if definition is not None and definition.target is target:
        return definition
    raise UsageError(f"{target!r} is not an agent type: decorate its class or function with @agent")


def code_fingerprint(target: Callable[..., Any]) -> tuple[str, str]:
    """Source file of a definition and a fingerprint of the file's text (empty if it has no file)."""
    module = sys.modules.get(target.__module__)
    file = getattr(module, "__file__", None) or ""
    try:
        return str(file), sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return str(file), ""


def _origin(definition: AgentDefinition) -> str:
    return f"{definition.target.__module__}.{definition.target.__qualname__}"

"""Reversible replacement of functions: the mechanism that every interceptor uses.

A `Patch` says what to replace and how the replacement is made; a `PatchSet` puts patches in, lists
them, notices when another tool took them out, and takes them out itself. Names that other modules
imported before (``from time import time``) are the business of `golem_sdk.intercept.names`.

Does not cover: objects that hold an original where no attribute can be set (compiled extensions).
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from types import MethodType, ModuleType
from typing import Any, NamedTuple

from attrs import frozen

from golem_sdk import durability

__all__ = [
    "Installed",
    "Patch",
    "PatchSet",
    "as_coroutine_function",
    "in_agents",
    "put_in_os",
    "replacement_of",
    "warn",
]

_SUPPORTS = (
    "supports_dir_fd",
    "supports_effective_ids",
    "supports_fd",
    "supports_follow_symlinks",
)


class Installed(NamedTuple):
    """One line of the inventory, e.g. ``("httpx", "0.28.1", "httpx.HTTPTransport.handle_request")``."""

    library: str
    version: str
    target: str


@frozen(eq=False)
class Patch:
    """One attribute to replace.

    Attributes:
        target: the module or class that owns the attribute.
        attribute: its name. Patches of one `PatchSet` differ in ``(target, attribute)``.
        make: takes what is there now (raw, as in the owner's ``__dict__``), gives the replacement.
        spread: whether names bound to the original elsewhere are to follow.
        put: how the attribute is set.
    """

    target: Any
    attribute: str
    make: Callable[[Any], Any]
    spread: bool = False
    put: Callable[[Any, str, Any], None] = setattr

    @property
    def label(self) -> str:
        """The dotted name of what is replaced."""
        owner = self.target
        if isinstance(owner, ModuleType):
            return f"{owner.__name__}.{self.attribute}"
        return f"{owner.__module__}.{owner.__qualname__}.{self.attribute}"


@frozen(eq=False)
class _Record:
    patch: Patch
    library: str
    version: str
    namespace: Mapping[str, Any]
    original: Any
    replacement: Any


_Check = tuple[Callable[[Mapping[str, Any]], object], Mapping[str, Any], object]
"""What reads attributes of a target, where, and what they should be."""


class PatchSet:
    """The patches that are in place. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._records: dict[tuple[int, str], _Record] = {}
        self._of_target: dict[int, list[_Record]] = {}
        self._check_of: dict[int, _Check] = {}
        self._checks: tuple[_Check, ...] = ()

    def add(self, patches: Iterable[Patch], library: str, version: str) -> None:
        """Put patches in; what is already replaced, and what the target does not have, is left alone.

        Args:
            patches: what to replace.
            library: whose it is, for the inventory.
            version: of the library.
        """
        touched: set[int] = set()
        for patch in patches:
            key = (id(patch.target), patch.attribute)
            namespace = vars(patch.target)
            if key in self._records or patch.attribute not in namespace:
                continue
            original = namespace[patch.attribute]
            record = _Record(patch, library, version, namespace, original, patch.make(original))
            patch.put(patch.target, patch.attribute, record.replacement)
            self._records[key] = record
            self._of_target.setdefault(id(patch.target), []).append(record)
            touched.add(id(patch.target))
        self._check_of |= {target: _check(self._of_target[target]) for target in touched}
        self._checks = tuple(self._check_of.values())

    def intact(self) -> bool:
        """Whether every patch is still in place. Cheap: asked at every invocation."""
        try:
            for read, namespace, replacements in self._checks:
                # Things that are the same are not compared any closer.
                if read(namespace) != replacements:
                    return False
        except KeyError:
            return False
        return True

    def drifted(self) -> list[Patch]:
        """The patches that something else has overwritten since."""
        return [
            record.patch
            for record in self._records.values()
            if record.namespace.get(record.patch.attribute) is not record.replacement
        ]

    def restore(self, patches: Iterable[Patch]) -> None:
        """Put the replacements of these patches back in."""
        for patch in patches:
            record = self._records[id(patch.target), patch.attribute]
            patch.put(patch.target, patch.attribute, record.replacement)

    def remove(self) -> None:
        """Take every patch out. An attribute that something else has overwritten since stays as it is."""
        for record in reversed(self._records.values()):
            patch = record.patch
            if record.namespace.get(patch.attribute) is record.replacement:
                patch.put(patch.target, patch.attribute, record.original)
        self._records.clear()
        self._of_target.clear()
        self._check_of.clear()
        self._checks = ()

    def spread_pairs(self) -> list[tuple[Any, Any]]:
        """``(original, replacement)`` of the patches whose imported names are to follow."""
        return [(r.original, r.replacement) for r in self._records.values() if r.patch.spread]

    def inventory(self) -> list[Installed]:
        """What is replaced, in the order in which it was."""
        return [Installed(r.library, r.version, r.patch.label) for r in self._records.values()]


def _check(records: list[_Record]) -> _Check:
    """One for all records of a target: reading all its attributes in one go takes half the time."""
    return (
        itemgetter(*(r.patch.attribute for r in records)),
        records[0].namespace,
        tuple(r.replacement for r in records) if records[1:] else records[0].replacement,
    )


class _Home:
    """What a replacement is bound to, so that it is pickled and copied by its module and name."""

    __slots__ = ("module",)

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (self.module,)

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.module), name)

    def __deepcopy__(self, memo: object) -> _Home:
        return self


class _Signed:
    """Between a replacement's function and the original: the signature, with one parameter more.

    `inspect.signature` comes by when it looks for what is wrapped. Nobody asks of nearly all, and those of
    builtins are parsed from texts, which takes longer than all else that a patch needs.
    """

    __slots__ = ("__wrapped__",)

    def __init__(self, original: Any) -> None:
        self.__wrapped__ = original

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__wrapped__)  # many builtins have none: ValueError
        home = inspect.Parameter("_home", inspect.Parameter.POSITIONAL_ONLY)
        return signature.replace(parameters=[home, *signature.parameters.values()])


def replacement_of(original: Any, function: Callable[..., Any], module: str) -> MethodType:
    """A stand-in for a module-level function: same name, text and signature, and no descriptor.

    ``class Job: clock = time.time`` works because a builtin is not bound to the instance; a plain
    Python function would be. A method that is bound already is not bound again, and costs nothing.

    Args:
        original: what is replaced.
        function: takes one leading argument to ignore, then the original's.
        module: the module from which the original is imported, e.g. ``"time"``.
    """
    functools.update_wrapper(function, original)
    function.__wrapped__ = _Signed(original)  # type: ignore[attr-defined]  # functions take any attribute
    return MethodType(function, _Home(module))


def in_agents(original: Any, inside: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is another one in agents; outside them, the original's own result is what it gives.

    So a coroutine function costs no second coroutine there.

    Args:
        original: what is replaced.
        inside: takes the same, and asks for itself what is to be done: it is called, too, while a durable
            call of an agent is being performed.
    """
    nearby = durability.nearby

    @functools.wraps(original)
    def function(*args: Any, **options: Any) -> Any:
        if nearby() is None:  # to pass on keywords that were not given would take as long again
            return original(*args, **options) if options else original(*args)
        return inside(*args, **options)

    return as_coroutine_function(function) if inspect.iscoroutinefunction(original) else function


def as_coroutine_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function that gives a coroutine taken for a coroutine function.

    Before Python 3.12 `asyncio.iscoroutinefunction` does, and `unittest.mock` with it; `inspect` does not.
    """
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    vars(function)["_is_coroutine"] = vars(asyncio.coroutines)["_is_coroutine"]
    return function


def put_in_os(module: Any, name: str, value: Any) -> None:
    """Set a function of `os`, and what `os` says that it supports: `shutil` asks for it by the function."""
    before = vars(module)[name]
    setattr(module, name, value)
    for what in _SUPPORTS:
        supporting = vars(module)[what]
        if before in supporting:
            supporting.add(value)


def warn(message: str) -> None:
    """Warn, but never raise: where warnings are errors it goes to the log instead.

    Interceptors warn during imports and at the start of invocations, which must not fail because of it.
    """
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    except RuntimeWarning:
        logging.getLogger("golem_sdk").warning(message)

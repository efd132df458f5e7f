"""Temporary files of agent code: `tempfile`.

They are made in a directory of the agent's own, beside its `golem_sdk.workspace`, under names that are the
same in every life: nothing of them is recorded, replay makes them again, and they are ordinary files with
descriptors. Where agent code names a directory (``dir=``) outside, ``mkdtemp`` is a remote write, the file of
``NamedTemporaryFile`` is written as `golem_sdk.intercept.written_files` says, and what gives a bare
descriptor is refused.

Does not cover: ``tempfile.gettempdir()``, which says what it ever did: files that agent code makes there
under names of its own are outside.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.files import open_recorded
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.paths import asked_by_agent, compared_path, is_own, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import MethodType, ModuleType

__all__ = ["tempfile_patches"]

_NAME = "temporary-files"

_NAMES: WeakKeyDictionary[durability.Session, Iterator[str]] = WeakKeyDictionary()


def tempfile_patches(module: ModuleType) -> list[Patch]:
    """The patches of `tempfile`; ``TemporaryDirectory`` and ``SpooledTemporaryFile`` end in these."""
    outside: dict[str, Callable[..., Any]] = {
        "mkdtemp": _directory_outside,
        "mkstemp": _refused,
        "mktemp": _name_outside,
        "NamedTemporaryFile": functools.partial(_file_outside, module),
        "TemporaryFile": _refused,
    }
    return [
        Patch(module, "_get_candidate_names", _candidates),
        *(
            Patch(module, name, functools.partial(_placed, otherwise), spread=True)
            for name, otherwise in outside.items()
        ),
    ]


def _candidates(original: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
    def get_candidate_names() -> Iterator[str]:
        session = durability.current_since(_NAME)
        if session is None or not asked_by_agent(session, sys._getframe(1)):
            return original()
        return _NAMES.setdefault(session, (f"{number:08d}" for number in itertools.count(1)))

    return get_candidate_names


def _placed(outside: Callable[..., Any], original: Callable[..., Any]) -> MethodType:
    """Makes something in the agent's temporary directory, or ``outside`` does it where agent code says."""
    nearby, signature = durability.nearby, inspect.signature(original)

    def function(_home: object, /, *args: Any, **options: Any) -> Any:
        if nearby() is None:
            return original(*args, **options) if options else original(*args)
        session = durability.current_since(_NAME)
        if session is None or not asked_by_agent(session, sys._getframe(1)):
            return original(*args, **options)
        bound = signature.bind(*args, **options)
        given = bound.arguments
        place = given.get("dir")
        if place is None:
            place = durability.temporary_directory(session)
            binary = any(isinstance(given.get(name), bytes) for name in ("suffix", "prefix"))
            given["dir"] = os.fsencode(place) if binary else place
        elif not is_own(session, place, follows=True):
            return outside(session, original, bound)
        return original(*bound.args, **bound.kwargs)

    return replacement_of(original, function, "tempfile")


def _directory_outside(
    session: durability.Session, original: Callable[..., Any], bound: inspect.BoundArguments
) -> Any:
    return _named(session, original, bound, FunctionType.WRITE_REMOTE)


def _name_outside(
    session: durability.Session, original: Callable[..., Any], bound: inspect.BoundArguments
) -> Any:
    return _named(session, original, bound, FunctionType.READ_LOCAL)


def _named(
    session: durability.Session,
    original: Callable[..., Any],
    bound: inspect.BoundArguments,
    function_type: FunctionType,
) -> Any:
    place = bound.arguments["dir"]
    return durability.durable_call(
        session,
        f"tempfile.{original.__name__}",
        function_type,
        shown_path(place),
        lambda: original(*bound.args, **bound.kwargs),
        identity=compared_path(place),
    )


def _file_outside(
    module: Any,
    session: durability.Session,
    original: Callable[..., Any],
    bound: inspect.BoundArguments,
) -> Any:
    bound.apply_defaults()
    given = bound.arguments
    naming = {name: given[name] for name in ("suffix", "prefix", "dir")}
    name = module.mktemp(**{key: value for key, value in naming.items() if value is not None})
    mode = "x" + "".join(letter for letter in given["mode"] if letter not in "rwax")
    file = open_recorded(
        name,
        mode,
        given["buffering"],
        given["encoding"],
        given["errors"],
        given["newline"],
        permissions=0o600,
    )
    deleting = [given[each] for each in ("delete", "delete_on_close") if each in given]
    return module._TemporaryFileWrapper(file, name, *deleting)


def _refused(
    session: durability.Session, original: Callable[..., Any], bound: inspect.BoundArguments
) -> Any:
    raise NotDurableError(
        f"An agent called tempfile.{original.__name__}(dir={bound.arguments['dir']!r}), whose descriptor"
        " cannot be journaled. Nothing was made and nothing was recorded. Leave dir= out: the agent's"
        " temporary files are in a directory of its own then; or use NamedTemporaryFile."
    )

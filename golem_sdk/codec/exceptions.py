"""Lowering and raising of exceptions.

An exception comes back as the same class with the same args, attributes, notes, cause, context and
group members, without any ``__init__`` having run. What is different, so that recording a failure
never fails itself:

* An argument that cannot be stored becomes the text ``<not recorded: …>``.
* An attribute that cannot be stored is None (a socket, an SQL cursor). ``__golem_omitted__`` on the
  exception names both. Of a response of httpx or requests, as in `httpx.HTTPStatusError` and openai's errors,
  status, headers and body are kept, of a request (aiohttp's, too) the method and the URL without its query.
* In the texts of errors of HTTP clients, passwords and parameters named like secrets are blanked in URLs.
* ``__golem_traceback__`` holds (file, line, function) of each frame, outermost first; there is no
  real traceback to continue.
* A class that this process does not have (local to a function, module not imported), or that cannot
  be built without running its code, comes back as `RecordedError`, which keeps name, text, args,
  notes and causes. That also holds in the process that raised it, because live values pass through
  the codec too.
* Chains of causes, contexts and members are kept `MAX_LINKS` deep.
"""

from __future__ import annotations

from contextlib import suppress
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.classes import (
    derives,
    find_class,
    mro_of,
    namespace_of,
    reference_of,
    runs_when_dropped,
)
from golem_sdk.codec.codes import Code, Lower, Lowered, Malformed, Raise, shown
from golem_sdk.codec.messages import Message, kept_of, lower_message, raise_message
from golem_sdk.errors import RecordedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from golem_sdk.codec.values import Encoder

__all__ = ["FAMILIES", "MAX_FRAMES", "MAX_LINKS", "RAISE", "exception_body"]

MAX_LINKS = 8
MAX_FRAMES = 64
_MAX_TEXT = 10_000
_MAX_REPR = 200

_TRACEBACK = "__golem_traceback__"
_OMITTED = "__golem_omitted__"
_KEPT_APART = frozenset({_TRACEBACK, _OMITTED, "__notes__"})
# AttributeError.obj is whatever object lacked the attribute: only for suggestions, often huge
_NOT_KEPT = frozenset({"obj", "message", "exceptions"})
_DATA = (MemberDescriptorType, GetSetDescriptorType)


def _part(exc: BaseException, name: str) -> Any:
    return namespace_of(BaseException)[name].__get__(exc)


def _set_part(exc: BaseException, name: str, value: Any) -> None:
    namespace_of(BaseException)[name].__set__(exc, value)


# --- lowering -------------------------------------------------------------------------------------


def exception_body(exc: BaseException, encoder: Encoder) -> dict[str, Any]:
    """The body to store for one exception; its causes are lowered with one link less to go.

    Raises nothing for parts that cannot be stored: they are left out and named in ``omitted``.
    """
    cls = type(exc)
    body: dict[str, Any] = {"type": reference_of(cls)}
    kept = kept_of(cls)
    if cls.__module__ != "builtins":
        body["text"] = kept(_text(exc))
    if encoder.links >= MAX_LINKS:
        return {**body, "cut": True}
    state = object.__getattribute__(exc, "__dict__")
    omitted = [n for n in state.get(_OMITTED, ()) if n[:5] == "args[" or state.get(n) is None]
    encoder.links += 1
    try:
        if derives(cls, BaseExceptionGroup):
            body["message"] = namespace_of(BaseExceptionGroup)["message"].__get__(exc)
            group: Any = exc
            body["members"] = _members(group)
        else:
            args = tuple(map(kept, _part(exc, "args")))
            body["args"] = _storable_args(args, encoder, omitted)
        found = _attributes(exc, state, omitted)
        attributes = {name: kept(value) for name, value in found.items()}
        attributes = _storable_attributes(attributes, encoder, omitted)
    finally:
        encoder.links -= 1
    notes = state.get("__notes__")
    cause, context = _part(exc, "__cause__"), _part(exc, "__context__")
    optional = {
        "attributes": attributes,
        "omitted": omitted,
        "notes": [kept(_note(note)) for note in notes] if type(notes) is list else [],
        "traceback": _frames(exc, state),
        "cause": cause,
        "context": True if context is cause else context,
        "suppress": _part(exc, "__suppress_context__"),
    }
    if cause is context is None:
        del optional["context"]
    body.update((key, item) for key, item in optional.items() if item not in ([], {}, None, False))
    return body


def _lower_exception(exc: BaseException) -> Lowered:
    return (
        Code.EXCEPTION,
        exc,
    )  # the encoder asks for `exception_body`, which needs to know the links


def _members(group: BaseExceptionGroup[Any]) -> list[Any] | tuple[Any, ...]:
    """The members as the sequence that `args` shows."""
    members = namespace_of(BaseExceptionGroup)["exceptions"].__get__(group)
    given = _part(group, "args")[1:2]
    as_list = not given or type(given[0]) is not tuple
    return list(members) if as_list else members


def _attributes(exc: BaseException, state: dict[str, Any], omitted: list[str]) -> dict[str, Any]:
    found = {
        name: value
        for name, value in state.items()
        if name not in _KEPT_APART and not (name in omitted and value is None)
    }
    for name, (descriptor, in_python) in _descriptors(type(exc)).items():
        try:
            value = descriptor.__get__(exc)
        except AttributeError:
            continue
        if value is not None or (in_python and name not in omitted):
            found[name] = value
    return found


def _descriptors(cls: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Data members that are not in ``__dict__``, and whether a Python class made them (slots)."""
    found = {}
    for base in reversed(mro_of(cls)):
        space = namespace_of(base)
        in_python = "__slots__" in space
        plain = base is BaseException or base is object
        for name, descriptor in space.items():
            kept = not plain and (in_python or name not in _NOT_KEPT)
            if kept and type(descriptor) in _DATA and not name.startswith("__"):
                found[name] = descriptor, in_python
    return found


def _storable_args(args: tuple[Any, ...], encoder: Encoder, omitted: list[str]) -> list[Any]:
    if encoder.accepts(list(args)):
        return list(args)
    kept: list[Any] = []
    for index, arg in enumerate(args):
        stored = encoder.accepts(arg)
        kept.append(arg if stored else f"<not recorded: {_repr(arg)}>")
        if not stored:
            omitted.append(f"args[{index}]")
    return kept


def _storable_attributes(
    attributes: dict[str, Any], encoder: Encoder, omitted: list[str]
) -> dict[str, Any]:
    if encoder.accepts(attributes):
        return attributes
    kept = {name: value for name, value in attributes.items() if encoder.accepts({name: value})}
    omitted.extend(name for name in attributes if name not in kept)
    return kept


def _frames(exc: BaseException, state: dict[str, Any]) -> list[list[Any]]:
    """Frames outermost first: those since the exception was raised here, then the recorded ones."""
    frames = []
    step: TracebackType | None = _part(exc, "__traceback__")
    while step is not None:
        code = step.tb_frame.f_code
        frames.append([code.co_filename, step.tb_lineno or 0, code.co_name])
        step = step.tb_next
    return [*frames, *map(list, state.get(_TRACEBACK, ()))][-MAX_FRAMES:]


def _note(note: object) -> str:
    return note if type(note) is str else _repr(note)


def _text(exc: BaseException) -> str:
    try:
        return str(exc)[:_MAX_TEXT]
    except Exception:  # a broken __str__ must not hide the failure that is being recorded
        return ""


def _repr(value: object) -> str:
    try:
        return repr(value)[:_MAX_REPR]
    except Exception:  # a broken __repr__ must not hide the failure that is being recorded
        return f"{type(value).__qualname__} object"


# --- raising --------------------------------------------------------------------------------------

_FIELDS: dict[str, tuple[Any, tuple[type[Any], ...]]] = {
    "type": (None, (str,)),
    "text": ("", (str,)),
    "cut": (False, (bool,)),
    "args": ([], (list,)),
    "message": ("", (str,)),
    "members": (None, (list, tuple, type(None))),
    "attributes": ({}, (dict,)),
    "omitted": ([], (list,)),
    "notes": ([], (list,)),
    "traceback": ([], (list,)),
    "cause": (None, (object,)),
    "context": (None, (object,)),
    "suppress": (False, (bool,)),
}


def _raise_exception(body: Any) -> BaseException:
    parts = _checked(body)
    cls = find_class(parts["type"])
    exc = None
    if cls is not None and not parts["cut"]:
        if not derives(cls, BaseException):
            raise Malformed(f"{shown(parts['type'])} is not an exception")
        exc = _rebuilt(cls, parts)
    if exc is None:
        args = parts["args"] if parts["members"] is None else [parts["message"], parts["members"]]
        exc = RecordedError(parts["type"], parts["text"], tuple(args))
    state = object.__getattribute__(exc, "__dict__")
    if parts["notes"]:
        state["__notes__"] = parts["notes"]
    if parts["traceback"]:
        state[_TRACEBACK] = tuple(map(tuple, parts["traceback"]))
    if parts["omitted"]:
        state[_OMITTED] = tuple(parts["omitted"])
    cause, context = parts["cause"], parts["context"]
    _set_part(exc, "__cause__", cause)
    _set_part(exc, "__context__", cause if context is True else context)
    _set_part(exc, "__suppress_context__", parts["suppress"])
    return exc


def _checked(body: Any) -> dict[str, Any]:
    if type(body) is not dict or not _FIELDS.keys() >= body.keys() or "type" not in body:
        raise Malformed("not an exception")
    parts = {name: body.get(name, default) for name, (default, _) in _FIELDS.items()}
    for name, (_, kinds) in _FIELDS.items():
        if kinds != (object,) and type(parts[name]) not in kinds:
            raise Malformed(f"an exception's {name} has the wrong type")
    frames = parts["traceback"]
    texts = (*parts["attributes"], *parts["omitted"], *parts["notes"])
    links = (parts["cause"], parts["context"], *(parts["members"] or ()))
    for fits in (
        all(type(text) is str for text in texts),
        all(type(f) is list and [type(x) for x in f] == [str, int, str] for f in frames),
        all(x is None or x is True or derives(type(x), BaseException) for x in links),
        parts["cause"] is not True,
    ):
        if not fits:
            raise Malformed("not an exception")
    return parts


def _rebuilt(cls: type[Any], parts: dict[str, Any]) -> BaseException | None:
    """The exception without any ``__init__`` having run; None when its class forbids that."""
    is_group = derives(cls, BaseExceptionGroup)
    if is_group != (parts["members"] is not None) or runs_when_dropped(cls):
        return None
    try:
        if is_group:
            exc: BaseException = BaseExceptionGroup.__new__(cls, parts["message"], parts["members"])
        else:
            exc = _native_new(cls)(cls)
    except (TypeError, ValueError):
        return None
    if type(exc) is not cls:
        return None
    if not is_group:
        _set_part(exc, "args", tuple(parts["args"]))
    _restore_attributes(exc, parts["attributes"], parts["omitted"])
    return exc


def _native_new(cls: type[Any]) -> Callable[..., Any]:
    """The ``__new__`` of the nearest class that is written in C."""
    for base in mro_of(cls):
        new: Any = namespace_of(base).get("__new__")
        if type(new) is BuiltinFunctionType:
            return new
    raise TypeError(f"{cls} has no native __new__")


def _restore_attributes(
    exc: BaseException, attributes: dict[str, Any], omitted: Iterable[str]
) -> None:
    if derives(type(exc), UnicodeError):
        _check_unicode_error(type(exc), attributes)
    descriptors = _descriptors(type(exc))
    state = object.__getattribute__(exc, "__dict__")
    missing = dict.fromkeys(name for name in omitted if name[:5] != "args[")
    for name, value in {**missing, **attributes}.items():
        if name not in descriptors:
            state[name] = value
            continue
        with suppress(AttributeError, TypeError):  # read-only members of C classes
            descriptors[name][0].__set__(exc, value)


def _check_unicode_error(cls: type[Any], attributes: dict[str, Any]) -> None:
    """CPython trusts these members when it prints the error, so they must fit together."""
    text, start, end = (attributes.get(name) for name in ("object", "start", "end"))
    kind = bytes if derives(cls, UnicodeDecodeError) else str
    names = attributes.get("reason"), attributes.get("encoding", "")
    if text is None and start is None and end is None:
        return
    if type(text) is not kind or not type(start) is type(end) is int or type(names[0]) is not str:
        raise Malformed("not a unicode error")
    if type(names[1]) is not str or not 0 <= start <= end <= len(text):
        raise Malformed("not a unicode error")


FAMILIES: list[tuple[Callable[[type[Any]], bool], Callable[[type[Any]], Lower]]] = [
    (lambda cls: derives(cls, BaseException), lambda cls: _lower_exception),
    (lambda cls: cls is Message, lambda cls: lower_message),
]

RAISE: dict[Code, Raise] = {
    Code.EXCEPTION: _raise_exception,
    Code.HTTP_MESSAGE: raise_message,
}

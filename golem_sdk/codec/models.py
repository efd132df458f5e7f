"""Lowering and raising of pydantic models and numpy arrays, where those libraries are imported.

A model is rebuilt from its parts, as `model_construct` does: no validator, no `model_post_init`.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.classes import (
    class_reference,
    derives,
    namespace_of,
    require_class,
    runs_when_dropped,
)
from golem_sdk.codec.codes import Code, Lower, Lowered, Malformed, Raise, Refused, shown
from golem_sdk.codec.records import (
    NO_DEFAULT,
    default_from,
    inherited,
    missing_field,
    unknown_field,
)
from golem_sdk.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAMILIES", "RAISE"]

_DTYPE = re.compile(r"[<>|=][biufcSUmMV]\d+(\[\d*[A-Za-z]+\])?")  # no objects, no structures
_PARTS = ("__pydantic_private__", "__pydantic_extra__")
_PLAIN = (bool, bytes, float, int, str, type(None))


def _imported(module: str, consequence: str) -> Any:
    found = sys.modules.get(module)
    if found is None:
        package = module.partition(".")[0]
        raise DecodingError(f"stored value is {consequence}: import {package} before reading it")
    return found


# --- pydantic -------------------------------------------------------------------------------------


def _is_model(cls: type[Any]) -> bool:
    module = sys.modules.get("pydantic.main")
    return module is not None and derives(cls, module.BaseModel)


def _lower_model(value: Any) -> Lowered:
    cls = type(value)
    if runs_when_dropped(cls):
        raise Refused(value, "its class has a __del__", "Keep the data in a class without one.")
    part = object.__getattribute__
    kept: dict[str, Any] = part(value, "__dict__")
    fields = {name: kept[name] for name in cls.__pydantic_fields__ if name in kept}
    rest = {name: item for name, item in kept.items() if name not in fields and name not in _PARTS}
    unset = [name for name in cls.__pydantic_fields__ if name not in kept]
    given = sorted(_slot("__pydantic_fields_set__", value))
    private, extra = (_slot(name, value) for name in _PARTS)
    return Code.PYDANTIC, [class_reference(value), fields, given, unset, rest, private, extra]


def _raise_model(body: Any) -> Any:
    if type(body) is not list or len(body) != 7:
        raise Malformed("not a pydantic model")
    reference, fields, given, unset, rest, private, extra = body
    optional = {type(private), type(extra)} <= {dict, type(None)}
    if [type(item) for item in body[1:5]] != [dict, list, list, dict] or not optional:
        raise Malformed("not a pydantic model")
    if any(type(name) is not str for name in (*fields, *given, *unset, *rest)):
        raise Malformed("a field's name is not text")
    _imported("pydantic.main", "a pydantic model")
    cls = require_class(reference)
    if not _is_model(cls):
        raise Malformed(f"{shown(reference)} is not a pydantic model")
    if runs_when_dropped(cls):
        raise Malformed(
            f"{shown(reference)} has a __del__, which would run for what was stored, too"
        )
    known = inherited(cls, "__pydantic_fields__")
    if not known.keys() >= fields.keys():
        raise unknown_field(cls, min(fields.keys() - known.keys()))
    present = {
        name: fields[name] if name in fields else _default(cls, name, field)
        for name, field in known.items()
        if name not in unset
    }
    rest = {name: item for name, item in rest.items() if name not in _PARTS}
    value = object.__new__(cls)
    object.__setattr__(value, "__dict__", {**present, **rest})
    parts = {
        "__pydantic_fields_set__": set(given),
        **dict(zip(_PARTS, (private, extra), strict=True)),
    }
    for name, item in parts.items():
        _slots()[name].__set__(value, item)
    return value


def _slots() -> Any:
    """The descriptors of a model's own parts. Its class may hide them: RootModel has them as plain None."""
    return namespace_of(sys.modules["pydantic.main"].BaseModel)


def _slot(name: str, value: Any) -> Any:
    try:
        return _slots()[name].__get__(value)
    except AttributeError:  # never set
        return None


def _default(cls: type[Any], name: str, field: Any) -> Any:
    default, factory = field.default, field.default_factory
    if type(default) in (dict, list, set) and not default:
        default, factory = NO_DEFAULT, type(default)  # pydantic copies its defaults
    elif type(default) not in _PLAIN:
        default = NO_DEFAULT
    make = default_from(default, factory)
    if make is None:
        raise missing_field(cls, name)
    return make()


def _is_pydantic_zone(cls: type[Any]) -> bool:
    module = sys.modules.get("pydantic_core")
    return module is not None and cls is module.TzInfo


def _lower_zone(value: Any) -> Lowered:
    return Code.PYDANTIC_ZONE, [int(value.utcoffset(None).total_seconds())]


def _raise_zone(body: Any) -> Any:
    if type(body) is not list or len(body) != 1 or type(body[0]) is not int:
        raise Malformed("not an offset in seconds")
    return _imported("pydantic_core", "a time zone made by pydantic").TzInfo(body[0])


def _url_type(cls: type[Any]) -> Any:
    """What of pydantic_core parses this class of URLs, None: it is none."""
    core, networks = sys.modules.get("pydantic_core"), sys.modules.get("pydantic.networks")
    for name, base in (("Url", "_BaseUrl"), ("MultiHostUrl", "_BaseMultiHostUrl")):
        if core is not None and cls is getattr(core, name):
            return cls
        if networks is not None and derives(cls, getattr(networks, base)):
            return getattr(core, name)
    return None


def _lower_url(value: Any) -> Lowered:
    text = str(value)
    body = [class_reference(value), text]
    if str(_raise_url(body)) != text:
        raise Refused(value, "its text does not lead back to it", "Store the text.")
    return Code.PYDANTIC_URL, body


def _raise_url(body: Any) -> Any:
    if type(body) is not list or [type(item) for item in body] != [str, str]:
        raise Malformed("not a URL")
    _imported("pydantic_core", "a URL made by pydantic")
    cls = require_class(body[0])
    parse = _url_type(cls)
    if parse is None or runs_when_dropped(cls):
        raise Malformed(f"{shown(body[0])} is not a URL of pydantic")
    url = parse(body[1])
    if parse is cls:
        return url
    value = object.__new__(cls)
    object.__getattribute__(value, "__dict__")["_url"] = url
    return value


# --- numpy ----------------------------------------------------------------------------------------


def _is_array(cls: type[Any]) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and cls is numpy.ndarray


def _is_scalar(cls: type[Any]) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and derives(cls, numpy.generic)


def _dtype_text(value: Any) -> str:
    dtype = value.dtype
    text: str = dtype.str
    if not _DTYPE.fullmatch(text) or dtype.names or dtype.metadata:
        reason = f"arrays of dtype {dtype} are not stored"
        raise Refused(value, reason, "Convert it to a number, text or bytes dtype.")
    return text


def _lower_array(value: Any) -> Lowered:
    text = _dtype_text(value)
    order = "C" if value.flags.c_contiguous or not value.flags.f_contiguous else "F"
    data = value.tobytes(order=order)
    return Code.NDARRAY, [text, list(value.shape), order, value.flags.writeable, data]


def _raise_array(body: Any) -> Any:
    kinds = [str, list, str, bool, bytes]
    if type(body) is not list or [type(item) for item in body] != kinds:
        raise Malformed("not an array")
    text, shape, order, writeable, data = body
    dtype = _dtype(text)
    if any(type(size) is not int or size < 0 for size in shape) or order not in ("C", "F"):
        raise Malformed("not an array")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Malformed("an array's shape does not fit its data")
    numpy = sys.modules["numpy"]
    value = numpy.ndarray(shape, dtype, bytearray(data) or None, order=order)
    value.flags.writeable = writeable
    return value


def _lower_scalar(value: Any) -> Lowered:
    body = [_dtype_text(value), value.tobytes()]
    back = _raise_scalar(body)
    if type(back) is not type(value) or back.tobytes() != body[1]:
        raise Refused(value, "this numpy scalar has no exact form", "Convert it with .item().")
    return Code.NUMPY_SCALAR, body


def _raise_scalar(body: Any) -> Any:
    if type(body) is not list or [type(item) for item in body] != [str, bytes]:
        raise Malformed("not a numpy scalar")
    text, data = body
    dtype = _dtype(text)
    if dtype.itemsize != len(data):
        raise Malformed("a numpy scalar does not fit its data")
    return sys.modules["numpy"].ndarray((), dtype, data or None)[()]


def _dtype(text: str) -> Any:
    if not _DTYPE.fullmatch(text):
        raise Malformed(f"{text!r} is not a stored dtype")
    return _imported("numpy", "made by numpy").dtype(text)


FAMILIES: list[tuple[Callable[[type[Any]], bool], Callable[[type[Any]], Lower]]] = [
    (_is_model, lambda cls: _lower_model),
    (lambda cls: _url_type(cls) is not None, lambda cls: _lower_url),
    (_is_pydantic_zone, lambda cls: _lower_zone),
    (_is_array, lambda cls: _lower_array),
    (_is_scalar, lambda cls: _lower_scalar),
]

RAISE: dict[Code, Raise] = {
    Code.PYDANTIC: _raise_model,
    Code.PYDANTIC_ZONE: _raise_zone,
    Code.PYDANTIC_URL: _raise_url,
    Code.NDARRAY: _raise_array,
    Code.NUMPY_SCALAR: _raise_scalar,
}

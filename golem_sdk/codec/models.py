"""Lowering and raising of pydantic models and numpy arrays, where those libraries are imported.

A model is rebuilt from its parts, as `model_construct` does: no validator, no `model_post_init`.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.classes import class_reference, mro_of, require_class
from golem_sdk.codec.codes import Code, Lower, Lowered, Malformed, Raise, Refused
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
    return module is not None and module.BaseModel in mro_of(cls)


def _lower_model(value: Any) -> Lowered:
    cls = type(value)
    part = object.__getattribute__
    kept: dict[str, Any] = part(value, "__dict__")
    fields = {name: kept[name] for name in cls.__pydantic_fields__ if name in kept}
    rest = {name: item for name, item in kept.items() if name not in fields}
    unset = [name for name in cls.__pydantic_fields__ if name not in kept]
    given = sorted(part(value, "__pydantic_fields_set__"))
    private = part(value, "__pydantic_private__")
    extra = part(value, "__pydantic_extra__")
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
        raise Malformed(f"{reference} is not a pydantic model")
    known = inherited(cls, "__pydantic_fields__")
    if not known.keys() >= fields.keys():
        raise unknown_field(cls, min(fields.keys() - known.keys()))
    present = {
        name: fields[name] if name in fields else _default(cls, name, field)
        for name, field in known.items()
        if name not in unset
    }
    return _model(cls, {**present, **rest}, set(given), private, extra)


def _model(cls: Any, present: Any, given: set[str], private: Any, extra: Any) -> Any:
    value = object.__new__(cls)
    object.__setattr__(value, "__dict__", present)
    object.__setattr__(value, "__pydantic_fields_set__", given)
    object.__setattr__(value, "__pydantic_private__", private)
    object.__setattr__(value, "__pydantic_extra__", extra)
    return value


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


# --- numpy ----------------------------------------------------------------------------------------


def _is_array(cls: type[Any]) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and cls is numpy.ndarray


def _is_scalar(cls: type[Any]) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and numpy.generic in mro_of(cls)


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
    (_is_pydantic_zone, lambda cls: _lower_zone),
    (_is_array, lambda cls: _lower_array),
    (_is_scalar, lambda cls: _lower_scalar),
]

RAISE: dict[Code, Raise] = {
    Code.PYDANTIC: _raise_model,
    Code.PYDANTIC_ZONE: _raise_zone,
    Code.NDARRAY: _raise_array,
    Code.NUMPY_SCALAR: _raise_scalar,
}

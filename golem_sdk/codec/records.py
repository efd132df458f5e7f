"""Lowering and raising of instances of users' classes: attrs, dataclasses, named tuples, enums.

Fields are read from and written to the instance itself (slot or ``__dict__``), so no property, no
``__init__``, ``__post_init__`` or ``__setattr__`` and no converter runs. A body is
``[class, fields, extras?, unset?]``: extras are attributes that are no fields (caches, attributes
set after construction), unset are fields that had no value. Only typing's ``__orig_class__`` is
left out.

Evolution: a field that the stored value lacks takes the class's default when that is a plain value
or a built-in type as factory. Any other factory is user code and is not run while reading. A stored
field that the class lacks is an error, because dropping it would be a silent loss.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from golem_sdk.codec.classes import (
    class_reference,
    derives,
    mro_of,
    namespace_of,
    reference_of,
    require_class,
    runs_when_dropped,
    slots_of,
)
from golem_sdk.codec.codes import Code, Lower, Lowered, Malformed, Raise, Refused, shown
from golem_sdk.errors import DecodingError

__all__ = [
    "FAMILIES",
    "NO_DEFAULT",
    "RAISE",
    "default_from",
    "inherited",
    "missing_field",
    "unknown_field",
]

_BUILT_IN_FACTORIES = frozenset(
    {bool, bytes, dict, float, frozenset, int, list, set, str, tuple}
    | {Counter, OrderedDict, bytearray, defaultdict, deque}
)
_ATTRS_HASH_CACHE = "_attrs_cached_hash"  # depends on the process's hash seed
_GENERIC_ALIAS = "__orig_class__"  # typing's note on Box[int](…), not part of the value
NO_DEFAULT: Any = object()


@attrs.frozen
class _Plan:
    """How instances of one class are taken apart and put together."""

    cls: type[Any]
    defaults: Mapping[str, Callable[[], Any] | None]  # by field name; None: no default to use
    slots: Mapping[str, Any]  # descriptors of fields and other attributes
    has_dict: bool


def inherited(cls: type[Any], name: str) -> Any:
    """The class attribute, looked up past descriptors and metaclasses; None when there is none."""
    for base in mro_of(cls):
        space = namespace_of(base)
        if name in space:
            return space[name]
    return None


def default_from(value: Any, factory: Any) -> Callable[[], Any] | None:
    """How to make a missing field's value without running user code; None: it cannot be made."""
    if value is not NO_DEFAULT:
        return lambda: value
    is_built_in = type(factory) is type and factory in _BUILT_IN_FACTORIES
    made: Callable[[], Any] | None = factory if is_built_in else None
    return made


def missing_field(cls: type[Any], name: str) -> DecodingError:
    """The error for a field that the stored value lacks and the class cannot fill."""
    return DecodingError(
        f"stored value of class {reference_of(cls)} has no field {shown(repr(name))}, and the class has no "
        "plain default for it. Give the field a default value (or a built-in type as factory), so "
        "that values stored earlier can be read"
    )


def unknown_field(cls: type[Any], name: str) -> DecodingError:
    """The error for a stored field that the class does not have."""
    return DecodingError(
        f"stored value of class {reference_of(cls)} has a field {shown(repr(name))} that the class "
        "does not have (any more). Keep the field until no stored value has it"
    )


# --- attrs and dataclasses ------------------------------------------------------------------------


def _attrs_defaults(cls: type[Any]) -> dict[str, Callable[[], Any] | None] | None:
    fields = inherited(cls, "__attrs_attrs__")
    if not derives(type(fields), tuple):
        return None
    defaults = {}
    for field in fields:
        default = field.default
        if derives(type(default), attrs.Factory):  # type: ignore[arg-type]  # typed as a function
            factory = None if default.takes_self else default.factory
            defaults[field.name] = default_from(NO_DEFAULT, factory)
        else:
            given = NO_DEFAULT if default is attrs.NOTHING else default
            defaults[field.name] = default_from(given, None)
    return defaults


def _dataclass_defaults(cls: type[Any]) -> dict[str, Callable[[], Any] | None] | None:
    fields = inherited(cls, "__dataclass_fields__")
    if type(fields) is not dict:
        return None
    defaults = {}
    for name, field in fields.items():
        if field._field_type is dataclasses._FIELD:  # type: ignore[attr-defined]  # no public name
            missing = dataclasses.MISSING
            given = NO_DEFAULT if field.default is missing else field.default
            defaults[name] = default_from(given, field.default_factory)
    return defaults


_READERS = {Code.ATTRS: _attrs_defaults, Code.DATACLASS: _dataclass_defaults}


_PLANS: dict[tuple[int, Code], _Plan] = {}
"""By the class's id: to look up the class itself would ask its metaclass for a hash."""
_MOST_PLANS = 4096


def _plan(cls: type[Any], code: Code) -> _Plan:
    plan = _PLANS.get((id(cls), code))
    if plan is None or plan.cls is not cls:
        plan = _made_plan(cls, code)
        if len(_PLANS) >= _MOST_PLANS:
            _PLANS.clear()
        _PLANS[id(cls), code] = plan
    return plan


def _made_plan(cls: type[Any], code: Code) -> _Plan:
    defaults = _READERS[code](cls)
    if defaults is None:
        raise Malformed(f"{reference_of(cls)} is not of the kind {code.name}")
    if runs_when_dropped(cls):
        raise Malformed(
            f"{reference_of(cls)} has a __del__, which would run for what was stored, too"
        )
    try:
        object.__new__(cls)
    except TypeError as error:
        raise Malformed(f"{reference_of(cls)} extends a built-in type ({error})") from None
    has_dict = any("__dict__" in namespace_of(base) for base in mro_of(cls))
    return _Plan(cls=cls, defaults=defaults, slots=slots_of(cls), has_dict=has_dict)


def _lower_record(code: Code) -> Callable[[type[Any]], Lower]:
    def hook_factory(cls: type[Any]) -> Lower:
        return lambda value: _take_apart(value, code)

    return hook_factory


def _take_apart(value: Any, code: Code) -> Lowered:
    cls: Any = type(value)
    reference = class_reference(value)
    try:
        plan = _plan(cls, code)
    except Malformed as problem:
        raise Refused(value, str(problem), "Keep that value in a field instead.") from None
    kept = object.__getattribute__(value, "__dict__") if plan.has_dict else {}
    if not plan.slots and kept.keys() == plan.defaults.keys():
        return code, [reference, {name: kept[name] for name in plan.defaults}]
    present = dict(kept)
    for name, descriptor in plan.slots.items():
        try:
            present[name] = descriptor.__get__(value)
        except AttributeError:
            continue
    if _ATTRS_HASH_CACHE in present:
        present[_ATTRS_HASH_CACHE] = None
    present.pop(_GENERIC_ALIAS, None)
    fields = {name: present.pop(name) for name in plan.defaults if name in present}
    unset = [name for name in plan.defaults if name not in fields]
    if present or unset:
        return code, [reference, fields, present, unset]
    return code, [reference, fields]


def _put_together(code: Code) -> Raise:
    def build(body: Any) -> Any:
        reference, fields, extras, unset = _record_parts(body)
        cls: Any = require_class(reference)
        plan = _plan(cls, code)
        if not plan.defaults.keys() >= fields.keys():
            raise unknown_field(plan.cls, min(fields.keys() - plan.defaults.keys()))
        if plan.defaults.keys() & extras.keys():
            raise Malformed("a field among the attributes that are no fields")
        present = {**fields, **extras}
        for name, default in plan.defaults.items():
            if name not in fields and name not in unset:
                if default is None:
                    raise missing_field(plan.cls, name)
                present[name] = default()
        return _filled(plan, present)

    return build


def _record_parts(body: Any) -> tuple[str, dict[str, Any], dict[str, Any], list[Any]]:
    if type(body) is not list or len(body) not in (2, 4):
        raise Malformed("not an instance of a class")
    reference, fields, extras, unset = body if len(body) == 4 else (*body, {}, [])
    if not type(fields) is type(extras) is dict or type(unset) is not list:
        raise Malformed("not an instance of a class")
    if any(type(name) is not str for name in (*fields, *extras, *unset)):
        raise Malformed("a field's name is not text")
    return reference, fields, extras, unset


def _filled(plan: _Plan, present: dict[str, Any]) -> Any:
    value = object.__new__(plan.cls)
    if plan.slots:
        for name in plan.slots.keys() & present.keys():
            plan.slots[name].__set__(value, present.pop(name))
    if plan.has_dict:
        object.__getattribute__(value, "__dict__").update(present)
    elif present:
        raise unknown_field(plan.cls, min(present))
    return value


# --- named tuples ---------------------------------------------------------------------------------


def _tuple_fields(cls: type[Any]) -> tuple[str, ...] | None:
    fields = inherited(cls, "_fields")
    is_named = derives(cls, tuple) and type(fields) is tuple and type(fields[:1]) is tuple
    return fields if is_named and all(type(name) is str for name in fields) else None


def _lower_named_tuple(value: Any) -> Lowered:
    cls = type(value)
    fields = _tuple_fields(cls) or ()
    if len(value) != len(fields) or getattr(value, "__dict__", None):
        raise Refused(value, "it has more than its fields", "Keep every value in a field.")
    return Code.NAMED_TUPLE, [class_reference(value), dict(zip(fields, value, strict=True))]


def _raise_named_tuple(body: Any) -> Any:
    reference, stored, _, _ = _record_parts(body)
    cls = require_class(reference)
    fields = _tuple_fields(cls)
    if fields is None or runs_when_dropped(cls):
        raise Malformed(f"{shown(reference)} is not a named tuple, or has a __del__")
    if not stored.keys() <= set(fields):
        raise unknown_field(cls, min(stored.keys() - set(fields)))
    defaults = inherited(cls, "_field_defaults") or {}
    for name in fields:
        if name not in stored and name not in defaults:
            raise missing_field(cls, name)
    return tuple.__new__(cls, [stored[n] if n in stored else defaults[n] for n in fields])


# --- enums ----------------------------------------------------------------------------------------


def _lower_enum(value: Any) -> Lowered:
    cls = type(value)
    reference = class_reference(value)
    name = value._name_
    if cls._member_map_.get(name) is value:
        return Code.ENUM, [reference, name]
    number = value._value_
    if isinstance(value, enum.Flag) and type(number) is int:
        # Early releases of Python 3.11 make bits that the enum does not have anew each time.
        known = cls._value2member_map_.get(number)
        if known is value or (known is None and _combined(cls, number) is not None):
            return Code.ENUM, [reference, number]
    raise Refused(value, "it is not a member of its enum", "Store a member.")


def _raise_enum(body: Any) -> Any:
    if type(body) is not list or len(body) != 2:
        raise Malformed("not an enum member")
    reference, key = body
    cls = require_class(reference)
    if not derives(cls, enum.Enum):
        raise Malformed(f"{shown(reference)} is not an enum")
    space = namespace_of(cls)
    if type(key) is str:
        member = space["_member_map_"].get(key)
        if member is None:
            raise DecodingError(
                f"stored value is the member {shown(repr(key))} of {shown(reference)}, which the enum "
                "does not have (any more). Keep the member until no stored value has it"
            )
        return member
    if not derives(cls, enum.Flag) or type(key) is not int:
        raise Malformed("not an enum member")
    member = _combined(cls, key)
    if member is None:
        raise DecodingError(
            f"stored value is {shown(hex(key))}, a combination of members of {shown(reference)}, which the "
            "enum does not have (any more). Keep the members until no stored value has them"
        )
    return member


def _combined(cls: type[enum.Flag], number: int) -> Any:
    """The combination of flags that has this number, ``None``: there is none."""
    known = namespace_of(cls)["_value2member_map_"].get(number)
    if known is not None:  # also under negative numbers, once they were asked for
        return known if known._value_ == number else None
    # The standard rule for combinations, whatever _missing_ the class itself has. What it gives for bits that
    # the enum does not have depends on the enum's boundary, and on the version of Python.
    standard: Any = enum.Flag._missing_
    try:
        made = standard.__func__(cls, number)
    except ValueError:
        return None
    return made if type(made) is cls and made._value_ == number else None


# --- tables ---------------------------------------------------------------------------------------

FAMILIES: list[tuple[Callable[[type[Any]], bool], Callable[[type[Any]], Lower]]] = [
    (lambda cls: derives(cls, enum.Enum), lambda cls: _lower_enum),
    (lambda cls: _tuple_fields(cls) is not None, lambda cls: _lower_named_tuple),
    (lambda cls: _attrs_defaults(cls) is not None, _lower_record(Code.ATTRS)),
    (lambda cls: _dataclass_defaults(cls) is not None, _lower_record(Code.DATACLASS)),
]
"""Which classes, and their hook factory; the first that fits."""

RAISE: dict[Code, Raise] = {
    Code.ENUM: _raise_enum,
    Code.NAMED_TUPLE: _raise_named_tuple,
    Code.ATTRS: _put_together(Code.ATTRS),
    Code.DATACLASS: _put_together(Code.DATACLASS),
}

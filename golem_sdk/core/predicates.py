"""Conditions on the properties of a durable call, after Golem's (GOLEM.md §3.7).

Properties are text, whole numbers or truth values by name. Text that spells a number equals that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt, ne
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from golem_sdk.core.checks import Validator, any_of, refuse, some_text

__all__ = [
    "Always",
    "And",
    "Contains",
    "Eq",
    "Exists",
    "Ge",
    "Gt",
    "In",
    "Le",
    "Lt",
    "Matches",
    "Ne",
    "Not",
    "Nothing",
    "Or",
    "Predicate",
    "Properties",
    "StartsWith",
    "Value",
    "check_predicate",
    "holds",
]

Value = str | int | bool
Properties = Mapping[str, Value]


@frozen
class Predicate(ABC):
    """Base of all conditions. `holds` asks one."""

    @abstractmethod
    def _test(self, properties: Properties) -> bool:
        """Whether it is true.

        Raises:
            KeyError: it asks for a property that the call does not have.
        """


check_predicate: Validator = any_of(Predicate, called="a predicate of golem_sdk.policies")
_check_value: Validator = any_of(str, int, called="a text, a whole number or a truth value")


def holds(predicate: Predicate, properties: Properties) -> bool:
    """Whether a condition is true of a call; one that asks for a missing property is not."""
    try:
        return predicate._test(properties)
    except KeyError:
        return False


@frozen
class _Comparison(Predicate):
    name: str = field(validator=some_text())
    value: Value = field(validator=_check_value)
    _compare: ClassVar[Callable[[Any, Any], bool]]

    def _test(self, properties: Properties) -> bool:
        left, right = _alike(properties[self.name], self.value)
        try:
            return type(self)._compare(left, right)
        except TypeError:  # text and a number that it does not spell have no order
            return False


class Eq(_Comparison):
    """The property has this value."""

    _compare = eq


class Ne(_Comparison):
    """The property has another value."""

    _compare = ne


class Gt(_Comparison):
    """The property is greater."""

    _compare = gt


class Ge(_Comparison):
    """The property is greater or equal."""

    _compare = ge


class Lt(_Comparison):
    """The property is less."""

    _compare = lt


class Le(_Comparison):
    """The property is less or equal."""

    _compare = le


@frozen
class Exists(Predicate):
    """The call has the property."""

    name: str = field(validator=some_text())

    def _test(self, properties: Properties) -> bool:
        return self.name in properties


def _as_tuple(values: Iterable[Value]) -> tuple[Value, ...]:
    """The values; a text, and what has no parts, stays as it is."""
    with suppress(TypeError):
        if not isinstance(values, str | bytes):
            return tuple(values)
    return values  # type: ignore[return-value]  # the validator refuses it


def _check_values(instance: object, attribute: Attribute[Any], value: object) -> None:
    if not (isinstance(value, tuple) and all(isinstance(each, str | int) for each in value)):
        refuse(instance, attribute, "texts, whole numbers or truth values in a tuple", value)


@frozen
class In(Predicate):
    """The property has one of these values."""

    name: str = field(validator=some_text())
    values: tuple[Value, ...] = field(converter=_as_tuple, validator=_check_values)

    def _test(self, properties: Properties) -> bool:
        actual = properties[self.name]
        return any(eq(*_alike(actual, value)) for value in self.values)


@frozen
class _Textual(Predicate):
    name: str = field(validator=some_text())
    text: str = field(validator=some_text(empty=True))


class Matches(_Textual):
    """The property, as text, fits a pattern with ``*``, ``?`` and ``[...]``."""

    def _test(self, properties: Properties) -> bool:
        return fnmatchcase(str(properties[self.name]), self.text)


class StartsWith(_Textual):
    """The property, as text, begins so."""

    def _test(self, properties: Properties) -> bool:
        return str(properties[self.name]).startswith(self.text)


class Contains(_Textual):
    """The property, as text, contains this."""

    def _test(self, properties: Properties) -> bool:
        return self.text in str(properties[self.name])


@frozen
class _Pair(Predicate):
    left: Predicate = field(validator=check_predicate)
    right: Predicate = field(validator=check_predicate)


class And(_Pair):
    """Both are true."""

    def _test(self, properties: Properties) -> bool:
        return self.left._test(properties) and self.right._test(properties)


class Or(_Pair):
    """One of them is true."""

    def _test(self, properties: Properties) -> bool:
        return self.left._test(properties) or self.right._test(properties)


@frozen
class Not(Predicate):
    """It is not true. A missing property makes this untrue, too."""

    inner: Predicate = field(validator=check_predicate)

    def _test(self, properties: Properties) -> bool:
        return not self.inner._test(properties)


@frozen
class Always(Predicate):
    """True of every call."""

    def _test(self, properties: Properties) -> bool:
        return True


@frozen
class Nothing(Predicate):
    """True of no call."""

    def _test(self, properties: Properties) -> bool:
        return False


def _alike(left: Value, right: Value) -> tuple[Value, Value]:
    """Two values, as numbers if one of them is a number and the other spells one."""
    if isinstance(left, str) and not isinstance(right, str):
        return _number(left), right
    if isinstance(right, str) and not isinstance(left, str):
        return left, _number(right)
    return left, right


def _number(text: str) -> Value:
    try:
        return int(text)
    except ValueError:
        return text

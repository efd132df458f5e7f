"""``datetime.now`` and ``datetime.utcnow``: edited in the type itself.

`datetime.datetime` is a static type whose attributes cannot be set, and a subclass in its place would
break ``isinstance`` and pydantic. Its dictionary can be edited, though: the type keeps its identity,
and subclasses follow. A probe tells whether this interpreter lets us; if not, one warning says that
these two functions are not recorded. ``datetime.today`` and ``date.today`` ask ``time.time`` by name
at every call, so they follow the patch in `golem_sdk.intercept.clock`.

Does not cover: bound methods taken before the first agent was registered (``now = datetime.now``),
interpreters other than CPython.
"""

from __future__ import annotations

import ctypes
import datetime as dates
import functools
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["datetime_patches"]

_EPOCH = dates.datetime(1970, 1, 1)  # noqa: DTZ001  # naive on purpose: the recorded wall clock is
_MICROSECOND = dates.timedelta(microseconds=1)
_LOCAL = FunctionType.READ_LOCAL
_UTCNOW_DEPRECATED = (
    "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. "
    "Use timezone-aware objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC)."
)


def datetime_patches(module: ModuleType) -> list[Patch]:
    """The patches of the type; none, and a warning, where the type cannot be edited."""
    if not _editable():
        warn(
            "this Python does not let golem_sdk intercept datetime.now() and datetime.utcnow(): "
            "agents must use datetime.fromtimestamp(time.time(), tz) instead, which is recorded"
        )
        return []
    real_now = vars(module.datetime)["now"]
    makers: dict[str, Callable[[Any], Any]] = {
        "now": _now,
        "utcnow": functools.partial(_utcnow, real_now),
    }
    return [Patch(module.datetime, name, make, put=_edit) for name, make in makers.items()]


def _edit(target: type, name: str, value: Any) -> None:
    """Set an attribute of a static type, and drop what the interpreter has cached about it."""
    gc.get_referents(target.__dict__)[0][name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(target))


def _editable() -> bool:
    """Edit, call, compare, undo."""
    if sys.implementation.name != "cpython":
        return False
    original, mark = vars(dates.datetime)["now"], dates.datetime(2001, 2, 3)  # noqa: DTZ001  # a mark
    try:
        _edit(dates.datetime, "now", classmethod(lambda cls: mark))
        found = dates.datetime.now()  # noqa: DTZ005  # the probe above
        _edit(dates.datetime, "now", original)
    except (AttributeError, IndexError, KeyError, TypeError):
        return False
    return found is mark


def _now(original: Any) -> Any:
    current, call, read = durability.current, durability.durable_call, durability.reading
    local_wall = functools.partial(_local_wall, original)
    utc_wall = functools.partial(_utc_wall, original)
    datetime, bound = dates.datetime, original.__get__(None, dates.datetime)

    def now(cls: type[dates.datetime], tz: dates.tzinfo | None = None) -> dates.datetime:
        session = current()
        if session is None:
            return bound(tz) if cls is datetime else original(cls, tz)  # type: ignore[no-any-return]  # a datetime
        if tz is None:
            local = read(session, local_wall, _local_wall_of)
            return _naive(cls, call(session, "datetime.now", _LOCAL, None, local))
        if not isinstance(tz, dates.tzinfo):
            return original(cls, tz)  # raises its own TypeError
        utc = read(session, utc_wall, _utc_wall_of)
        moment = _naive(dates.datetime, call(session, "datetime.now", _LOCAL, "tz", utc))
        return _as_subclass(cls, tz.fromutc(moment.replace(tzinfo=tz)))

    return _class_method(original, now)


def _utcnow(real_now: Any, original: Any) -> Any:
    current, call, read = durability.current, durability.durable_call, durability.reading
    utc_wall = functools.partial(_utc_wall, real_now)

    is_deprecated = sys.version_info >= (3, 12)

    def utcnow(cls: type[dates.datetime]) -> dates.datetime:
        session = current()
        if is_deprecated:
            # The original's own warning would name this file instead of the caller's.
            warnings.warn(_UTCNOW_DEPRECATED, DeprecationWarning, stacklevel=2)
        if session is None and is_deprecated:
            return real_now(cls, dates.UTC).replace(tzinfo=None)  # type: ignore[no-any-return]  # a datetime
        if session is None:
            return original(cls)  # type: ignore[no-any-return]  # a datetime
        utc = read(session, utc_wall, _utc_wall_of)
        return _naive(cls, call(session, "datetime.utcnow", _LOCAL, None, utc))

    return _class_method(original, utcnow)


def _class_method(original: Any, function: Callable[..., Any]) -> Any:
    functools.update_wrapper(function, original)
    function.__module__ = "datetime"
    return classmethod(function)


def _local_wall(real_now: Any) -> int:
    """The wall clock: microseconds since 1970 as the local zone shows it, times two, plus the fold."""
    return _wall(real_now(dates.datetime, None))


def _local_wall_of(source: durability.Source) -> int:
    ns = source.now_ns()
    second = dates.datetime.fromtimestamp(ns // 10**9)  # noqa: DTZ006  # the local zone is asked for
    return _wall(second.replace(microsecond=ns // 1000 % 10**6))


def _wall(local: dates.datetime) -> int:
    return (local - _EPOCH) // _MICROSECOND * 2 + local.fold


def _utc_wall(real_now: Any) -> int:
    utc: dates.datetime = real_now(dates.datetime, dates.UTC).replace(tzinfo=None)
    return (utc - _EPOCH) // _MICROSECOND * 2


def _utc_wall_of(source: durability.Source) -> int:
    return source.now_ns() // 1000 * 2


def _naive(cls: type[dates.datetime], wall: int) -> dates.datetime:
    return _as_subclass(cls, (_EPOCH + (wall >> 1) * _MICROSECOND).replace(fold=wall & 1))


def _as_subclass(cls: type[dates.datetime], moment: dates.datetime) -> dates.datetime:
    if cls is dates.datetime:
        return moment
    # As the original does it: through the subclass's constructor, whatever it overrides besides.
    return _combine(cls, moment.date(), moment.timetz())  # type: ignore[no-any-return]  # a datetime


_combine: Any = vars(dates.datetime)["combine"]

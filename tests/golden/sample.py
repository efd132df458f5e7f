"""A fixed sample of everything that is stored: a value of every kind, two entries of every kind.

What stands here is in the golden files of releases. Add to it; never change or remove anything.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import attrs
import httpx
import numpy as np
import pydantic
import pydantic_core

from codec import samples
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import ENTRY_KINDS, Entry, OplogRegion, PayloadRef

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENTRIES", "VALUES"]

_ZONE = dt.timezone(dt.timedelta(hours=2), "X")
_FIELDS: dict[str, Sequence[Any]] = {
    "int": (1, 2**62),
    "bool": (True, False),
    "str": ("text", "\ud800 ü"),
    "bytes": (b"state", b""),
    "OplogIndex": (2, 3),
    "Payload": (encode([["book"], {}]), PayloadRef(b"\1" * 32, 70_000)),
    "OplogRegion": (OplogRegion(2, 3), OplogRegion(2, 2)),
    "dict[str, int]": ({"clock": 1}, {}),
}


def _failure() -> Exception:
    failure = samples.TwoArgs(7, {"a": (1,)})
    failure.add_note("a note")
    failure.__cause__ = OSError(2, "no such file", "name")
    return failure


def _refusal() -> Exception:
    request = httpx.Request("POST", "http://host/pay")
    response = httpx.Response(402, headers={"x": "y"}, content=b"no money", request=request)
    return httpx.HTTPStatusError("402 for http://host/pay", request=request, response=response)


VALUES: dict[str, Any] = {
    "none": None,
    "booleans": [True, False],
    "ints": [0, 127, 128, -33, 2**31, 2**64 - 1, -(2**63), 2**64, -(2**70)],
    "floats": [0.5, -0.0, float("inf"), float("nan")],
    "texts": ["", "short", "x" * 40, "ü\ud800", "y" * 300],
    "bytes": [b"", b"\xff" * 40, bytearray(b"x")],
    "containers": {"list": [1, [2]], 3: {"a": {}}, (1, (2,)): None},
    "sets": [{1, "a"}, frozenset({(1,), 2**80})],
    "numbers": [1 + 2j, Decimal("1.10"), Fraction(-1, 3), range(1, 9, 2)],
    "uuid": uuid.UUID(int=5),
    "datetime": dt.datetime(2020, 10, 25, 2, 30, 1, 5, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "moments": [dt.date(2020, 1, 2), dt.time(1, 2, tzinfo=_ZONE), dt.timedelta(1, 2, 3), dt.UTC],
    "zone of pydantic": pydantic_core.TzInfo(3600),
    "paths": [PurePosixPath("/a/b"), PureWindowsPath("c:/x")],
    "addresses": [ipaddress.ip_address("::1%eth0"), ipaddress.ip_network("10.0.0.0/8")],
    "urls": [pydantic.HttpUrl("http://host/?a=1"), pydantic_core.MultiHostUrl("redis://a,b/1")],
    "mappings": [OrderedDict(a=1), defaultdict(list, a=[1]), Counter("aab"), deque([1], 3)],
    "enums": [samples.Color.RED, samples.Access(3), samples.Word.YES, samples.Level.LOW],
    "records": [samples.Point(1, (2,)), samples.Slotted("n", given=(1,)), samples.Open([1])],
    "dataclasses": [samples.Plain((1,), [2]), samples.Tight("x"), samples.Box[int](1)],
    "models": [
        samples.Model(name="n", value=(1,)),
        samples.Loose.model_validate({"name": "n", "x": 1}),
    ],
    "generic models": [samples.IntPage(items=[1]), samples.Root([(1,)])],
    "failure": _failure(),
    "failure of HTTP": _refusal(),
    "group": ExceptionGroup("several", [ValueError("x"), _failure()]),
    "arrays": [np.arange(6.0).reshape(2, 3), np.array(["a", "bc"]), np.float32(1.5)],
}
"""A value of every kind that the codec knows."""


def _entry(kind: type[Entry], which: int) -> Entry:
    values = (_FIELDS[str(field.type)][which] for field in attrs.fields(kind))
    return kind(*values)


ENTRIES: list[Entry] = [
    _entry(kind.entry_class, which) for kind in ENTRY_KINDS.values() for which in (0, 1)
]
"""Two entries of every kind."""

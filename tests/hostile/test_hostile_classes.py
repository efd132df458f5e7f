"""K1: references to classes that are no data lead nowhere, and run nothing on the way."""

from __future__ import annotations

import msgpack
import pytest

from codec import samples
from golem_sdk.codec import classes, records
from golem_sdk.codec.codes import Code
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError, EncodingError, RecordedError
from hostile.mutations import BODIES, dangerous
from promises.checkers import check_k1

MAY_BE_READ = {
    *("Attrs", "Slots", "WithMeta", "Named", "Shape", "Modelled", "Failure", "FailureWithMeta"),
    *("BaseException", "SystemExit", "AgentFencedSignal", "Touchy", "Record"),
}
"""Classes of data and of exceptions, whose instances are made without running anything."""


def refer(code: Code) -> None:
    """Decode something of this code for each reference; nothing may run or be imported."""
    decode(encode(samples.Plain((1,))))
    seen: list[object] = []
    assert check_k1(lambda data: seen.append(decode(data)), dangerous(code)) == []
    for value in seen:
        assert type(value) is RecordedError or type(value).__name__ in MAY_BE_READ


@pytest.mark.parametrize("code", BODIES, ids=lambda code: code.name)
def test_a_dangerous_reference_runs_nothing(code: Code) -> None:
    refer(code)


def test_a_metaclass_that_is_asked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "derives", lambda cls, base: base in cls.__mro__)
    with pytest.raises(AssertionError):
        refer(Code.ENUM)


def test_a_class_with_a_destructor_is_refused_in_both_directions() -> None:
    for value in (object.__new__(samples.Dropped), samples.DroppedModel.model_construct(path="x")):
        with pytest.raises(EncodingError, match="__del__"):
            encode(value)
    reference = f"{samples.__name__}:Dropped"
    for code in (Code.DATACLASS, Code.PYDANTIC):
        body = BODIES[code](reference + ("Model" if code is Code.PYDANTIC else ""))
        with pytest.raises(DecodingError):
            decode(msgpack.packb(msgpack.ExtType(code, msgpack.packb(body))))
    back = decode(encode(samples.DroppedError("x")))
    assert type(back) is RecordedError


def test_long_references_are_not_kept() -> None:
    before = classes._split.cache_info().currsize
    for length in range(3000, 3020):
        assert classes.find_class("x" * length + ":y") is None
    assert classes._split.cache_info().currsize == before


@pytest.mark.parametrize("reference", ["\x1b[2J:\u202e", "a\nb:c", "x" * 5000])
def test_a_hostile_name_in_an_error_is_inert_and_short(reference: str) -> None:
    body = msgpack.packb([reference, {}])
    with pytest.raises(DecodingError) as caught:
        decode(msgpack.packb(msgpack.ExtType(Code.ATTRS, body)))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000

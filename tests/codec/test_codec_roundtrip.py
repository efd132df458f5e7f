"""S2 and K1: decode(encode(x)) is x in value, type and repr; and the bytes are a function of the value."""

from __future__ import annotations

import cmath
import math
import os
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given

from codec import samples
from codec.strategies import same, values
from golem_sdk.codec.values import _pack_any as longhand
from golem_sdk.codec.values import decode, encode
from promises.checkers import check_s2_value


@given(values)
def test_s2_every_value_comes_back_exactly_and_in_the_same_bytes(value: Any) -> None:
    assert check_s2_value(value) == []


@pytest.mark.parametrize(
    "value",
    [
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        True,
        math.nan,
        -math.inf,
        -0.0,
        complex(-0.0, math.nan),
        cmath.infj,
        Decimal("-0"),
        Decimal("sNaN123"),
        Decimal("1.10"),
        Decimal("1E+999999999"),
        Fraction(-1, 3),
        "\ud800 lone",
        {"\udfff": 1},
        b"",
        bytearray(b"x"),
        [bytearray(b"x"), b"x"],
        ({"a": bytearray(b"x")},),
        uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe),
        datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001  # a naive one
        date.min,
        time(1, fold=1),
        timedelta.min,
        Path(),
        Path("/a/../b"),
        range(10, 0, -3),
        {(1, (2, "x")): [(3,)], frozenset({1}): {1}, None: 0, 1.5: 0, b"k": 1},
        {1: "int", "1": "text"},
        ([1, (2, [3])],),
        samples.Access.READ | samples.Access.WRITE,
        samples.Access(0),
        samples.Slotted("n", given=(1,)),
        samples.Open([1]),
        samples.Hashed("x"),
        samples.Box[list[int]]([1]),
        samples.Page[int](items=[1]),
        samples.Model.model_construct(value=3),
        np.arange(6, dtype="<i2").reshape(2, 3),
        np.arange(6.0).reshape(2, 3, order="F"),
        np.zeros((0, 3)),
        np.array(5),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.float64(1.5),
        np.int8(-1),
        np.bool_(True),
        np.str_("text"),
        np.bytes_(b"b"),
        np.datetime64("2020-01-01", "ns"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value!r:.40}",
)
def test_s2_one_of_each(value: Any) -> None:
    back = decode(encode(value))
    assert same(back, value)
    assert encode(back) == encode(value)
    assert encode(value) == longhand(value)  # which small plain values do not take


def test_array_keeps_its_layout_and_writability() -> None:
    frozen = np.arange(6).reshape(2, 3, order="F")
    frozen.flags.writeable = False
    back = decode(encode([frozen, np.arange(3)]))
    assert back[0].flags.f_contiguous
    assert not back[0].flags.writeable
    back[1][0] = 7
    assert decode(encode(np.arange(10)[::2])).tolist() == [0, 2, 4, 6, 8]


def test_singletons_come_back_as_themselves() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for single in (UTC, zone, samples.Color.BLUE, samples.Access(3), samples.Word.YES):
        assert decode(encode(single)) is single


def test_unset_field_stays_unset_and_cached_hash_is_computed_again() -> None:
    back = decode(encode(samples.Slotted("n")))
    assert not hasattr(back, "late")
    hashed = samples.Hashed("text")
    hash(hashed)
    back = decode(encode(hashed))
    assert back._attrs_cached_hash is None
    assert {back} == {hashed}


def test_k1_no_user_code_runs_in_either_direction() -> None:
    touchy = object.__new__(samples.Touchy)
    object.__getattribute__(touchy, "__dict__")["value"] = (1, 2)
    back = decode(encode({"a": [touchy]}))["a"][0]
    assert type(back) is samples.Touchy
    assert back.value == (1, 2)


def test_pydantic_validators_do_not_run_again() -> None:
    model = samples.Model(name="n")
    model._note = {"a": (1,)}
    back = decode(encode(model))
    assert back == model
    assert back.name == "N!"
    assert back._note == {"a": (1,)}
    assert back.model_fields_set == {"name"}


def test_set_bytes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from golem_sdk.codec.values import encode\n"
        "words = {f'w{n}' for n in range(40)}\n"
        "print(encode([words, frozenset(words), {frozenset(words): 1}]).hex())"
    )
    seen = set()
    for seed in ("0", "1", "7"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env=environment, capture_output=True, check=True)
        seen.add(run.stdout)
    assert len(seen) == 1


def test_class_of_main_is_found_when_the_script_runs_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, attrs\n"
        "from golem_sdk.codec.values import decode, encode\n"
        "@attrs.frozen\nclass Own:\n    value: object\n"
        "if len(sys.argv) > 1:\n    print(decode(bytes.fromhex(sys.argv[1])).value)\n"
        "else:\n    assert decode(encode(Own(5))) == Own(5)\n    print(encode(Own(7)).hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def run(*args: str) -> str:
        command = [sys.executable, str(script), *args]
        return subprocess.run(
            command, env=environment, capture_output=True, check=True, text=True
        ).stdout

    assert run(run().strip()).strip() == "7"

"""Clock readings: recorded live, the same on replay, through whatever name agent code has."""

from __future__ import annotations

import dataclasses
import functools
import time
from time import monotonic as early_monotonic
from time import time as early_time
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from golem_sdk.intercept.clock import READINGS
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass
class Stamped:
    at: float = dataclasses.field(default_factory=time.time)


@attrs.define
class Marked:
    at: float = attrs.field(factory=time.time)


def of_inherited_dataclass_field() -> float:
    @dataclasses.dataclass
    class Later(Stamped):
        more: int = 0

    return Later().at


def of_inherited_attrs_field() -> float:
    @attrs.define
    class Later(Marked):
        more: int = 0

    return Later().at


class Job:
    clock: Any = time.time

    def started(self) -> Any:
        return self.clock()


def default_argument(clock: Any = time.time) -> Any:
    return clock()


def keyword_default(*, clock: Any = time.time) -> Any:
    return clock()


def make_closure() -> Callable[[], float]:
    clock = time.time

    def read() -> float:
        return clock()

    return read


closure = make_closure()
partial = functools.partial(time.time)


@pytest.mark.parametrize("name", READINGS)
def test_every_reading_is_recorded_exactly(name: str) -> None:
    runs = run(lambda: [getattr(time, name)() for _ in range(3)])
    assert runs.calls == [f"time.{name}"] * 3
    assert runs.replayed == runs.live
    assert {type(value) for value in runs.live} == {int if name.endswith("_ns") else float}


@pytest.mark.parametrize(
    ("read", "call"),
    [
        pytest.param(lambda: early_time(), "time.time", id="from-import"),
        pytest.param(lambda: early_monotonic(), "time.monotonic", id="from-import-as"),
        pytest.param(lambda: Stamped().at, "time.time", id="dataclass-factory"),
        pytest.param(lambda: Marked().at, "time.time", id="attrs-factory"),
        pytest.param(of_inherited_dataclass_field, "time.time", id="inherited-dataclass-factory"),
        pytest.param(of_inherited_attrs_field, "time.time", id="inherited-attrs-factory"),
        pytest.param(lambda: Job().started(), "time.time", id="class-attribute"),
        pytest.param(default_argument, "time.time", id="default"),
        pytest.param(keyword_default, "time.time", id="keyword-default"),
        pytest.param(closure, "time.time", id="closure"),
        pytest.param(lambda: partial(), "time.time", id="partial"),
    ],
)
def test_names_bound_before_are_recorded(read: Callable[[], Any], call: str) -> None:
    runs = run(read)
    assert runs.calls == [call]
    assert runs.replayed == runs.live


def test_clocks_by_number() -> None:
    runs = run(lambda: (time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime_ns(1)))
    assert runs.calls == ["time.clock_gettime", "time.clock_gettime_ns"]
    assert runs.replayed == runs.live


def test_conversions_of_now_are_recorded() -> None:
    def body() -> list[object]:
        return [
            time.localtime(),
            time.gmtime(None),
            time.ctime(),
            time.asctime(),
            time.strftime("%H:%M:%S"),
        ]

    runs = run(body)
    names = ["localtime", "gmtime", "ctime", "asctime", "strftime"]
    assert runs.calls == [f"time.{name}" for name in names]
    assert runs.replayed == runs.live


def test_conversions_of_a_given_moment_are_not() -> None:
    def body() -> list[object]:
        moment = time.gmtime(86_400)
        return [moment.tm_mday, time.asctime(moment), time.strftime("%d", moment), time.ctime(5)]

    runs = run(body)
    assert runs.calls == []
    assert runs.live[0] == 2
    assert runs.live[2] == "02"


def test_sleep_is_a_timer() -> None:
    def body() -> None:
        time.sleep(0.001)
        time.sleep(0)

    runs = run(body)
    assert runs.calls == ["golem:clock/sleep"] * 2


@pytest.mark.parametrize(
    ("seconds", "error"), [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)]
)
def test_sleep_refuses_what_the_original_refuses(seconds: float, error: type[Exception]) -> None:
    def body() -> None:
        with pytest.raises(error):
            time.sleep(seconds)

    body()
    assert run(body).calls == []

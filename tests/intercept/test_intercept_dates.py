"""``datetime.now`` and its kin: the type keeps its identity, subclasses follow."""

# ruff: noqa: DTZ001, DTZ002, DTZ003, DTZ005, DTZ011  # times without a zone are part of what is tested

from __future__ import annotations

import datetime as dates
import os
import sys
import time
import warnings
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from golem_sdk.intercept import dates as interceptor
from intercept.replaying import run

ZURICH = ZoneInfo("Europe/Zurich")


class Moment(datetime):
    pass


def test_now_is_recorded() -> None:
    runs = run(lambda: [datetime.now(), datetime.now(ZURICH), datetime.now(tz=dates.UTC)])
    assert runs.calls == ["datetime.now"] * 3
    assert runs.replayed == runs.live
    assert [str(each.tzinfo) for each in runs.live] == ["None", "Europe/Zurich", "UTC"]


def test_now_is_now() -> None:
    before = datetime.now(dates.UTC)
    runs = run(lambda: [datetime.now(ZURICH), datetime.now().astimezone()])
    after = datetime.now(dates.UTC)
    assert all(before <= moment <= after for moment in runs.live)


def test_subclasses_follow() -> None:
    runs = run(lambda: [Moment.now(), Moment.now(ZURICH), Moment.today()])
    assert runs.calls == ["datetime.now", "datetime.now", "time.time"]
    assert runs.replayed == runs.live
    assert [type(moment) for moment in runs.live + runs.replayed] == [Moment] * 6


def test_today_is_recorded() -> None:
    runs = run(lambda: [datetime.today(), dates.date.today()])
    assert runs.calls == ["time.time"] * 2
    assert runs.replayed == runs.live


def test_utcnow_is_recorded() -> None:
    def body() -> list[datetime]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return [datetime.utcnow(), Moment.utcnow()]

    runs = run(body)
    assert runs.calls == ["datetime.utcnow"] * 2
    assert runs.replayed == runs.live
    assert [type(moment) for moment in runs.replayed] == [datetime, Moment]
    assert abs(runs.live[0].replace(tzinfo=dates.UTC) - datetime.now(dates.UTC)).days == 0


def test_the_fold_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    second_half_past_two = datetime(2026, 10, 25, 2, 30, fold=1)
    wall = interceptor._local_wall(lambda cls, tz: second_half_past_two)
    assert interceptor._naive(datetime, wall) == second_half_past_two
    assert interceptor._naive(datetime, wall).fold == 1


def test_a_wrong_zone_is_refused_as_ever() -> None:
    def body() -> None:
        with pytest.raises(TypeError, match="tzinfo"):
            datetime.now("UTC")  # type: ignore[arg-type]  # the point of the test

    body()
    assert run(body).calls == []


def test_outside_agents_nothing_changed() -> None:
    run(lambda: None)
    assert isinstance(datetime.now(), datetime)
    assert type(Moment.now()) is Moment
    assert datetime.now(ZURICH).tzinfo is ZURICH
    assert abs(datetime.now().timestamp() - time.time()) < 60
    assert datetime.__dict__["now"].__func__.__doc__ == datetime.now.__doc__


@pytest.mark.skipif(sys.version_info < (3, 12), reason="utcnow is deprecated from 3.12 on")
def test_a_deprecation_names_the_caller() -> None:
    run(lambda: None)
    with pytest.warns(DeprecationWarning, match="utcnow") as caught:
        datetime.utcnow()
    assert os.path.basename(caught[0].filename) == os.path.basename(__file__)


def test_an_interpreter_that_refuses_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("immutable type")

    monkeypatch.setattr(interceptor, "_edit", refuse)
    with pytest.warns(RuntimeWarning, match=r"datetime\.now"):
        assert interceptor.datetime_patches(dates) == []

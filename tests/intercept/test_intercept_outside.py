"""Outside agents a replaced function is what it was, for those too that ask what kind of function it is."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
import psycopg
import pytest
from anyio._backends._asyncio import AsyncIOBackend

from golem_sdk import intercept
from golem_sdk.intercept.patching import in_agents
from intercept.replaying import run_async

if TYPE_CHECKING:
    from collections.abc import Callable

COROUTINE_FUNCTIONS: list[Callable[[], Any]] = [
    lambda: asyncio.to_thread,
    lambda: asyncio.create_subprocess_exec,
    lambda: asyncio.create_subprocess_shell,
    lambda: AsyncIOBackend.open_process,
    lambda: httpx.AsyncClient.send,
    lambda: httpx.AsyncClient().send,
    lambda: httpx.AsyncHTTPTransport.aclose,
    lambda: psycopg.AsyncConnection.connect,
]


@pytest.mark.parametrize("index", range(len(COROUTINE_FUNCTIONS)))
def test_a_coroutine_function_is_taken_for_one(index: int) -> None:
    intercept.install()
    function = COROUTINE_FUNCTIONS[index]()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of asyncio's own question, from 3.14 on
        assert asyncio.iscoroutinefunction(function)
    assert asyncio.iscoroutinefunction(mock.create_autospec(function))
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(function)


async def given(value: int) -> int:
    return value


def test_outside_agents_the_originals_own_coroutine_is_given() -> None:
    def inside(value: int) -> Any:
        raise AssertionError("no agent runs")

    coroutine = in_agents(given, inside)(1)
    assert coroutine.cr_code is given.__code__
    assert asyncio.run(coroutine) == 1


def test_in_agents_the_other_function_is_called() -> None:
    async def inside(value: int) -> int:
        return -value

    async def body() -> int:
        answer: int = await both(1)
        return answer

    both = in_agents(given, inside)
    runs = run_async(body)
    assert runs.live == runs.replayed == -1


def test_a_plain_function_stays_one() -> None:
    function = in_agents(lambda: 1, lambda: 2)
    assert not asyncio.iscoroutinefunction(function)
    assert function() == 1


def test_utcnow_is_naive_and_of_the_class_that_is_asked() -> None:
    class Moment(datetime):
        pass

    intercept.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for kind in (datetime, Moment):
            moment = kind.utcnow()  # it is what is tested
            assert type(moment) is kind
            assert moment.tzinfo is None

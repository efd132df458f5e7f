"""Proxies, methods and handles: what they give, what they record, and what they refuse."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from golem_sdk import Runtime, agent, get, schedule, trigger
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import InvocationNotFoundError, MethodNotFoundError, UsageError
from golem_sdk.stores.invocations import InvocationStatus

if TYPE_CHECKING:
    from collections.abc import Iterator


@agent
class Handled:
    """Counts."""

    def __init__(self, name: str, start: int = 7) -> None:
        self.value = start

    def add(self, by: int) -> int:
        """Add a number."""
        self.value += by
        return self.value

    async def add_slowly(self, by: int) -> int:
        self.value += by
        return self.value

    def to_itself(self) -> str:
        return refusal(lambda: get(Handled, "x").add(1))


@agent
class InMode:
    def __init__(self, name: str, *, mode: str = "calm") -> None:
        self.mode = mode

    def look(self) -> str:
        return self.mode


@agent
def uses_handles(name: str) -> list[Any]:
    handled = get(Handled, name)
    later = schedule(timedelta(days=3), handled.add, 100)
    done = trigger(handled.add, 2)
    return [handled.add(1), done.result(), done.status(), later.cancel()]


@agent
async def awaits_handles(name: str) -> list[int]:
    handled = get(Handled, name)
    return [await trigger(handled.add, 2), await handled.add_slowly(3)]


@agent
def once_handled(name: str) -> str:
    return f"{name} is done"


OPENED: list[Runtime] = []


@agent
def runs_another(name: str) -> str:
    [runtime] = OPENED
    return runtime.run(once_handled, f"{name} of another")


@agent
def misuses_handles(name: str) -> list[str]:
    handled = get(Handled, name)
    return [
        refusal(lambda: trigger(handled.add, 1).result(timeout=1)),
        refusal(lambda: handled.add_slowly(1)),
    ]


def refusal(misuse: Any) -> str:
    try:
        misuse()
    except UsageError as error:
        return str(error)
    return "nothing was refused"


def names(runtime: Runtime, agent: str) -> list[str]:
    entries = [entry for _, entry in runtime.oplog(agent)]
    return [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime.memory() as opened:
        yield opened


# --- what is recorded -------------------------------------------------------------------------------


def test_what_handles_do_in_agents_is_recorded_under_these_names(runtime: Runtime) -> None:
    """They are part of every oplog: with others, agents of earlier versions would diverge."""
    results = runtime.run(uses_handles, "x")
    assert results[:2] == [10, 9]
    assert results[2:] == [InvocationStatus.COMPLETED, True]
    assert names(runtime, 'uses_handles("x")') == [
        "golem:rpc/schedule",
        "golem:rpc/invoke",
        "golem:rpc/invoke-and-await",
        "golem:rpc/get-result",
        "golem:rpc/invocation-status",
        "golem:rpc/cancel-invocation",
    ]


def test_a_runtime_that_an_agent_knows_runs_a_function_agent_for_it(runtime: Runtime) -> None:
    OPENED[:] = [runtime]
    assert runtime.run(runs_another, "x") == "x of another is done"
    assert names(runtime, 'runs_another("x")') == ["golem:rpc/invoke-and-await"]
    OPENED.clear()


def test_awaited_in_an_agent_they_give_the_result(runtime: Runtime) -> None:
    assert runtime.run(awaits_handles, "x") == [9, 12]


def test_awaited_from_outside_they_give_the_result(runtime: Runtime) -> None:
    async def outside() -> list[int]:
        handled = runtime.get(Handled, "x")
        return [await runtime.trigger(handled.add, 2), await handled.add_slowly(3)]

    assert asyncio.run(outside()) == [9, 12]


def test_a_fresh_key_is_a_random_uuid(runtime: Runtime) -> None:
    keys = [UUID(runtime.trigger(runtime.get(Handled, "x").add, 1).key) for _ in range(2)]
    assert keys[0] != keys[1]
    assert [key.version for key in keys] == [4, 4]


# --- proxies ----------------------------------------------------------------------------------------


def test_arguments_that_are_left_out_name_the_same_agent(runtime: Runtime) -> None:
    assert runtime.get(Handled, "x").add(1) == 8
    assert runtime.get(Handled, "x", 7).add(1) == 9
    assert runtime.get(Handled, name="x", start=7).add(1) == 10
    assert runtime.get(Handled, "x", 8).add(1) == 9
    assert repr(runtime.get(Handled, "x")) == '<agent Handled("x", 7)>'


def test_arguments_by_name_are_part_of_the_name(runtime: Runtime) -> None:
    assert repr(runtime.get(InMode, "a")) == '<agent InMode("a", "calm")>'
    assert repr(runtime.get(InMode, "a", mode="calm")) == '<agent InMode("a", "calm")>'
    assert repr(runtime.get(InMode, "a", mode="wild")) == '<agent InMode("a", "wild")>'
    with pytest.raises(UsageError, match="too many positional arguments"):
        runtime.get(InMode, "a", "wild")  # type: ignore[call-arg]  # that is the mistake


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "missing a required argument: 'name'"),
        (("x", 7, 8), {}, "too many positional arguments"),
        (("x", 7), {"name": "y"}, "multiple values for argument 'name'"),
        (("x",), {"end": 8}, "got an unexpected keyword argument 'end'"),
    ],
    ids=["too-few", "too-many", "twice", "unknown"],
)
def test_what_are_no_arguments_of_the_agent(
    runtime: Runtime, args: Any, kwargs: Any, says: str
) -> None:
    with pytest.raises(UsageError, match=rf"^Handled\(name: .*{says}"):
        runtime.get(Handled, *args, **kwargs)


def test_methods_look_like_those_of_the_class(runtime: Runtime) -> None:
    add = runtime.get(Handled, "x").add
    assert add.__name__ == "add"
    assert add.__doc__ == "Add a number."


def test_what_python_looks_for_is_no_method(runtime: Runtime) -> None:
    handled = runtime.get(Handled, "x")
    with pytest.raises(AttributeError) as failure:
        handled.__fspath__  # type: ignore[attr-defined]  # noqa: B018  # that is the question
    assert type(failure.value) is AttributeError
    with pytest.raises(MethodNotFoundError, match="has no method 'remove'"):
        handled.remove()  # type: ignore[attr-defined]  # that is the mistake


def test_a_copy_of_a_handle_is_as_good(runtime: Runtime) -> None:
    handled = runtime.get(Handled, "x")
    assert handled.add(1) == 8
    assert copy.copy(handled).add(1) == 9


# --- what is refused --------------------------------------------------------------------------------


def test_what_agents_must_not_do_with_handles(runtime: Runtime) -> None:
    timeout, asynchronous = runtime.run(misuses_handles, "x")
    assert "would not be the same on replay" in timeout
    assert "add_slowly of Handled" in asynchronous
    assert "is asynchronous and the code that calls it is not" in asynchronous
    assert "awaits a call to itself" in runtime.get(Handled, "x").to_itself()


def test_classes_and_functions_are_invoked_in_their_own_ways(runtime: Runtime) -> None:
    with pytest.raises(UsageError, match="Handled is an agent class: get"):
        runtime.run(Handled, "x")
    with pytest.raises(UsageError, match="leave key= out"):
        runtime.trigger(once_handled, "x", key="k")
    assert runtime.run(once_handled, "x") == "x is done"
    handle = runtime.trigger(once_handled, "x")
    assert handle.key == 'run once_handled("x")'
    assert handle.result() == "x is done"


def test_how_long_a_key_may_be(runtime: Runtime) -> None:
    add = runtime.get(Handled, "x").add
    assert runtime.trigger(add, 1, key="k" * 4096).result() == 8
    for key in ("k" * 4097, "", "a\0b"):
        with pytest.raises(UsageError, match="an idempotency key has 1 to 4096 characters"):
            runtime.trigger(add, 1, key=key)


def test_what_was_never_asked_for_is_unknown(runtime: Runtime) -> None:
    handle = runtime.trigger(runtime.get(Handled, "x").add, 1)
    handle.result()
    handle.key = "another"
    assert handle.cancel() is False
    with pytest.raises(InvocationNotFoundError, match="knows no invocation with key 'another'"):
        handle.status()

"""The table of GOLEM.md §2.5: crash before, in and after a remote write, with idempotence on and off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    durable,
    get_idempotence_mode,
    idempotence_mode,
    retry_policy,
    set_idempotence_mode,
)
from golem_sdk.core.entries import BeginRemoteWrite, EndRemoteWrite, Error
from golem_sdk.errors import UsageError
from golem_sdk.testing.crash import (
    CrashMoment,
    CrashPoint,
)
from golem_sdk.testing.driver import End, Step, drive

SENT: list[str] = []


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    SENT.clear()


@durable
def send(what: str) -> str:
    SENT.append(what)
    return f"{what} sent"


@durable
async def send_async(what: str) -> str:
    await asyncio.sleep(0)
    SENT.append(what)
    return f"{what} sent"


@durable(function_type=FunctionType.READ_REMOTE)
def look(what: str) -> str:
    SENT.append(what)
    return f"{what} seen"


@agent
def once(what: str) -> str:
    with idempotence_mode(False):
        return send(what)


@agent
async def once_async(what: str) -> str:
    with idempotence_mode(False):
        return await send_async(what)


@agent
def often(what: str) -> str:
    return send(what)


@agent
def reads(what: str) -> str:
    with idempotence_mode(False):
        return look(what)


def crash(target: Any, entry: type, moment: CrashMoment) -> End:
    """Crash at the append of the first entry of a kind."""
    whole = drive([Step(target, ("x",))])
    (oplog,) = whole.oplogs.values()
    position = next(at for at, each in oplog if isinstance(each, entry))
    SENT.clear()
    return drive([Step(target, ("x",))], [CrashPoint(position, moment)])


def unknown(end: End) -> bool:
    return end.results[0][:2] == ("error", "UnknownOutcomeError")


@pytest.mark.parametrize("target", [once, once_async])
@pytest.mark.parametrize("moment", CrashMoment)
def test_off_before_the_announcement_is_durable_it_is_sent_once(
    target: Any, moment: CrashMoment
) -> None:
    end = crash(target, BeginRemoteWrite, moment)
    if moment is CrashMoment.DURABLE:
        assert unknown(end)
        assert SENT == []
    else:
        assert end.results == (("result", "x sent"),)
        assert SENT == ["x"]


@pytest.mark.parametrize("target", [once, once_async])
@pytest.mark.parametrize("moment", [CrashMoment.BEFORE, CrashMoment.LOST])
def test_off_announced_and_not_ended_it_is_never_sent_again(
    target: Any, moment: CrashMoment
) -> None:
    end = crash(target, EndRemoteWrite, moment)
    assert unknown(end)
    assert SENT == ["x"]


@pytest.mark.parametrize("target", [once, once_async])
def test_off_ended_it_is_the_recorded_result(target: Any) -> None:
    end = crash(target, EndRemoteWrite, CrashMoment.DURABLE)
    assert end.results == (("result", "x sent"),)
    assert SENT == ["x"]


def test_on_it_is_sent_again() -> None:
    appends = drive([Step(often, ("x",))]).appends
    most = 0
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            SENT.clear()
            end = drive([Step(often, ("x",))], [CrashPoint(append, moment)])
            assert end.results == (("result", "x sent"),)
            most = max(most, len(SENT))
    assert most == 2


def test_off_reads_are_made_again() -> None:
    appends = drive([Step(reads, ("x",))]).appends
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            end = drive([Step(reads, ("x",))], [CrashPoint(append, moment)])
            assert end.results == (("result", "x seen"),)


def test_the_error_names_the_call_and_says_what_to_do() -> None:
    end = crash(once, EndRemoteWrite, CrashMoment.BEFORE)
    (oplog,) = end.oplogs.values()
    (note,) = [entry for _, entry in oplog if isinstance(entry, Error)]
    for part in ("send", "'x'", "return send(what)", "it happened", "did not happen"):
        assert part in note.message


def test_off_a_failing_write_is_not_tried_again() -> None:
    tries: list[int] = []

    @durable
    def down() -> None:
        tries.append(1)
        raise ConnectionError("down")

    @agent
    def sender(name: str) -> None:
        with retry_policy(RetryPolicy(max_attempts=5, min_delay=0)), idempotence_mode(False):
            down()

    with Runtime.memory() as runtime, pytest.raises(ConnectionError):
        runtime.run(sender, "a")
    assert tries == [1]


def test_off_inside_an_atomic_region_the_region_does_not_run_again() -> None:
    @agent
    def region(what: str) -> str:
        with atomically():
            with idempotence_mode(False):
                send(what)
            send("other")
        return "done"

    (oplog,) = drive([Step(region, ("x",))]).oplogs.values()
    last_call = max(at for at, entry in oplog if type(entry).__name__ == "ImportedFunctionInvoked")
    SENT.clear()
    end = drive([Step(region, ("x",))], [CrashPoint(last_call, CrashMoment.LOST)])
    assert unknown(end)
    assert SENT == ["x", "other"]


def test_a_region_is_not_closed_over_a_write_that_is_under_way() -> None:
    @agent
    async def hasty(what: str) -> str:
        tasks = []

        async def region() -> None:
            with atomically():
                with idempotence_mode(False):
                    tasks.append(asyncio.create_task(send_async(what)))
                await asyncio.sleep(0)

        with pytest.raises(UsageError, match="still under way"):
            await region()
        return await tasks[0]

    assert drive([Step(hasty, ("x",))]).results == (("result", "x sent"),)


def test_the_mode_is_that_of_the_block_and_of_the_task() -> None:
    seen: list[bool] = []

    @agent
    def modes(name: str) -> None:
        seen.append(get_idempotence_mode())
        with idempotence_mode(False):
            seen.append(get_idempotence_mode())
            set_idempotence_mode(True)
            seen.append(get_idempotence_mode())
        set_idempotence_mode(False)
        seen.append(get_idempotence_mode())

    with Runtime.memory() as runtime:
        runtime.run(modes, "a")
        runtime.run(modes, "b")
    assert seen == [True, False, True, False] * 2


@pytest.mark.parametrize("use", [idempotence_mode, set_idempotence_mode])
def test_the_mode_is_a_bool(use: Any) -> None:
    with pytest.raises(UsageError, match="True or False"):
        use("no")

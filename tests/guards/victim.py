"""The process that kills itself. Run: ``python -m guards.victim STORE URL PROGRAM MOMENT``.

It runs one program, a row of the tables of guards, and dies by SIGKILL at the MOMENT-th of its moments (0:
never): before and after each effect, and between the agent's statements. A life that ends prints the result.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    Runtime,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    idempotence_mode,
    mark_begin_operation,
    mark_end_operation,
    persistence_level,
)
from golem_sdk.durability import (
    begin_durable_function,
    end_durable_function,
    is_live,
    persist_durable_function_invocation,
    read_persisted_durable_function_invocation,
)
from golem_sdk.errors import UnknownOutcomeError, UsageError
from golem_sdk.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

STORE, URL, PROGRAM, MOMENT = "", "", "", 0
passed = 0


def moment() -> None:
    global passed
    passed += 1
    if passed == MOMENT:
        signal.raise_signal(signal.SIGKILL)
        time.sleep(60)  # the signal is on its way


def tell(path: str, key: str) -> str:
    moment()
    headers = {"Idempotency-Key": key, "Content-Length": "0"}
    request = urllib.request.Request(f"{URL}/{path}", b"", headers, method="POST")  # our own server
    with urllib.request.urlopen(request) as response:  # as above
        response.read()
    moment()
    return path


post = durable(name="victim:post")(tell)
look = durable(name="victim:look", function_type=FunctionType.READ_REMOTE)(tell)


def write(path: str) -> str:
    done = post(path, str(generate_idempotency_key()))
    moment()
    return done


def region() -> None:
    with atomically():
        write("a")
        write("b")


def operation() -> None:
    begin = mark_begin_operation()
    write("a")
    write("b")
    mark_end_operation(begin)


def plain() -> None:
    write("a")


def once() -> None:
    with idempotence_mode(False):
        write("a")


def read() -> None:
    look("a", str(generate_idempotency_key()))
    moment()


def zone() -> None:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        if is_live():
            tell("a", "zone")
    moment()


def custom() -> None:
    key = str(generate_idempotency_key())
    begin = begin_durable_function(FunctionType.WRITE_REMOTE)
    if is_live():
        persist_durable_function_invocation(
            "custom", key, tell("a", key), FunctionType.WRITE_REMOTE
        )
    else:
        read_persisted_durable_function_invocation()
    end_durable_function(FunctionType.WRITE_REMOTE, begin)
    moment()


def custom_once() -> None:
    with idempotence_mode(False):
        custom()


def batch() -> None:
    begin = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)
    write("a")
    write("b")
    end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begin)
    moment()


def batch_once() -> None:
    with idempotence_mode(False):
        batch()


def jump() -> None:
    point = checkpoint(attempts=3)
    if write("a") and not look_back():
        point.revert("once more")


@durable(function_type=FunctionType.READ_REMOTE)
def look_back() -> bool:
    """Whether this was asked before."""
    mark = os.path.join(STORE + "-asked")
    if os.path.exists(mark):
        return True
    with open(mark, "w"):
        return False


def bank() -> sqlite3.Connection:
    return sqlite3.connect(STORE + "-bank.db")


@transaction(bank)
def deposit(tx: sqlite3.Connection) -> None:
    moment()
    tx.execute("UPDATE account SET cents = cents + 1")
    moment()


def transactional() -> None:
    deposit()
    moment()


# --- several tasks -----------------------------------------------------------------------------------


@durable(name="victim:post-async")
async def post_async(path: str, key: str) -> str:
    return await asyncio.to_thread(tell, path, key)


async def write_async(path: str) -> str:
    done = await post_async(path, str(generate_idempotency_key()))
    moment()
    return done


async def write_once(path: str) -> str:
    with idempotence_mode(False):
        return await write_async(path)


async def beside() -> None:
    """A write that is sent once, and a region beside it."""

    async def region() -> None:
        with atomically():
            await write_async("a")
            await write_async("b")

    await asyncio.gather(write_once("once"), region())


async def batch_beside() -> None:
    """A batch, and a write of another task that is none of its own."""

    async def parts() -> None:
        begin = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)
        await write_async("a")
        await write_async("b")
        await write_async("c")
        end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begin)

    await asyncio.gather(parts(), write_async("foreign"))


async def unclosable() -> None:
    """A region whose end may come before that of a write in it that is sent once."""
    task = None
    try:
        with atomically():
            task = asyncio.create_task(write_once("once"))
            await write_async("a")
    except UsageError:
        pass
    assert task is not None
    await task


ASYNC_PROGRAMS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    each.__name__: each for each in (beside, batch_beside, unclosable)
}

PROGRAMS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        region,
        operation,
        plain,
        once,
        read,
        zone,
        custom,
        custom_once,
        batch,
        batch_once,
        jump,
        transactional,
    )
}


@agent
def victim(program: str) -> str:
    PROGRAMS[program]()
    return write("after")


@agent
async def victim_of_tasks(program: str) -> str:
    await ASYNC_PROGRAMS[program]()
    return await write_async("after")


def main(arguments: list[str]) -> None:
    global STORE, URL, PROGRAM, MOMENT
    STORE, URL, PROGRAM = arguments[:3]
    MOMENT = int(arguments[3])
    target = victim if PROGRAM in PROGRAMS else victim_of_tasks
    with closing(bank()) as setup:
        setup.execute("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER)")
        setup.execute("INSERT OR IGNORE INTO account VALUES ('ada', 0)")
        setup.commit()
    with Runtime(STORE) as runtime:
        try:
            result = runtime.run(target, PROGRAM)
        except UnknownOutcomeError:
            result = "unknown"
    with closing(bank()) as look_into:
        (cents,) = look_into.execute("SELECT cents FROM account").fetchone()
    print(result, cents, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Agents with one planted fault each, which `golem fuzz` must find, and their corrected forms."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import tempfile
import time
import uuid

import httpx

from golem_sdk import FunctionType, agent, atomically, durable, idempotence_mode, workspace

__all__ = [
    "CALLS",
    "charge",
    "planted_cache",
    "planted_datagram",
    "planted_order",
    "planted_region",
]

CALLS: list[str] = []
"""What the durable functions below have really done."""


@durable
def charge(what: str) -> str:
    CALLS.append(what)
    return f"charged {what}"


@durable(function_type=FunctionType.READ_REMOTE)
def price_of(item: str) -> int:
    CALLS.append(f"price of {item}")
    return len(item)


def send_datagram(port: int, text: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(text.encode(), ("127.0.0.1", port))


# --- a forgotten side effect ------------------------------------------------------------------------


@agent
def planted_datagram(port: int) -> str:
    receipt = charge("lamp")
    send_datagram(port, receipt)
    return charge(receipt)


@durable
def tell(port: int, text: str) -> None:
    send_datagram(port, text)


@agent
def mended_datagram(port: int) -> str:
    receipt = charge("lamp")
    tell(port, receipt)
    return charge(receipt)


@agent
def planted_ctypes(text: str) -> str:
    ctypes.CDLL(None).getpid()
    return charge(text)


@durable(function_type=FunctionType.READ_LOCAL)
def process_number() -> int:
    number: int = ctypes.CDLL(None).getpid()
    return number


@agent
def mended_ctypes(text: str) -> str:
    process_number()
    return charge(text)


@agent
def planted_pipe(descriptor: int) -> str:
    os.write(descriptor, b"x")
    return charge("pipe")


@agent
def planted_file(path: str) -> str:
    handler = logging.FileHandler(path)  # a library opens it, for itself
    handler.emit(logging.makeLogRecord({"msg": "done"}))
    handler.close()
    return charge("file")


@agent
def mended_file(path: str) -> str:
    with open(path, "a") as file:
        file.write("done\n")
    with (workspace() / "log").open("w") as own, tempfile.TemporaryFile("w") as scratch:
        own.write("done\n")
        own.flush()
        scratch.write("done\n")
    (workspace() / "log").rename(workspace() / "kept")
    return charge("file")


# --- the order of a set -----------------------------------------------------------------------------


@agent
def planted_order(items: list[str]) -> list[str]:
    return [charge(item) for item in set(items)]


@agent
def mended_order(items: list[str]) -> list[str]:
    return [charge(item) for item in sorted(set(items))]


@agent
def planted_address(text: str) -> str:
    return charge(f"{text} {id(object())}")


# --- a cache of the process -------------------------------------------------------------------------

PRICES: dict[str, int] = {}


@agent
def planted_cache(item: str) -> str:
    if item not in PRICES:
        PRICES[item] = price_of(item)
    return charge(f"{item} for {PRICES[item]}")


@agent
def mended_cache(item: str) -> str:
    prices: dict[str, int] = {}
    if item not in prices:
        prices[item] = price_of(item)
    return charge(f"{item} for {prices[item]}")


# --- a repeat that the other side cannot recognise ----------------------------------------------------


@agent
def planted_region(item: str) -> str:
    with atomically():
        order = str(uuid.uuid4())
        charge(f"{item} as {order}")
        return charge(f"delivery of {order}")


@agent
def mended_region(item: str) -> str:
    order = str(uuid.uuid4())
    with atomically():
        charge(f"{item} as {order}")
        return charge(f"delivery of {order}")


@agent
def planted_dispenser(notes: int) -> str:
    return charge(f"{notes} notes")


@agent
def mended_dispenser(notes: int) -> str:
    with idempotence_mode(False):
        return charge(f"{notes} notes")


# --- state, ends that do not come, and errors ---------------------------------------------------------

MADE: list[str] = []


@agent
class PlantedShelf:
    def __init__(self, name: str) -> None:
        MADE.append(name)
        self.number = len(MADE)
        self.items: list[str] = []

    def put(self, item: str, *, times: int = 1) -> int:
        self.items += [charge(item)] * times
        time.sleep(2)
        return len(self.items)


@agent
class MendedShelf:
    def __init__(self, name: str) -> None:
        self.items: list[str] = []

    def put(self, item: str, *, times: int = 1) -> int:
        self.items += [charge(item)] * times
        time.sleep(2)
        return len(self.items)

    async def empty(self) -> list[str]:
        items, self.items = self.items, []
        return items


@agent
def planted_loop(text: str) -> str:
    MADE.append(text)
    receipt = charge(text)
    while len(MADE) > 1:
        time.perf_counter_ns.__name__  # noqa: B018  # no durable call: it never ends, and nothing ends it
    return receipt


@agent
async def mended_patience(text: str) -> str:
    receipt = charge(text)
    await asyncio.sleep(3600)
    return charge(receipt)


@agent
def endless(text: str) -> str:
    while text:
        pass
    return text


@agent
def planted_leaving(text: str) -> str:
    charge(text)
    os._exit(7)


@agent
def raising(text: str) -> str:
    raise ValueError(charge(text))


def no_agent(text: str) -> str:
    return text


def stub_charge(what: str) -> str:
    return f"stubbed {what}"


# --- no fault, though it looks like one ---------------------------------------------------------------


@agent
async def client_that_is_closed(text: str) -> str:
    async with (
        httpx.AsyncClient()
    ):  # is closed on another loop, which is woken by a byte over a socket
        return charge(text)

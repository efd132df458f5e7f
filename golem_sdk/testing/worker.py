"""A process that runs an agent for crash fuzzing: ``python -m golem_sdk.testing.worker``.

It is told what to do over its standard input and answers over its standard output, in frames: four bytes of
length, then a list in the SDK's own encoding. When its input ends, it ends.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from attrs import field, frozen

from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import GolemError, UsageError
from golem_sdk.testing.bench import Bench
from golem_sdk.testing.effects import Effects
from golem_sdk.testing.quiet import silence
from golem_sdk.testing.schedules import CrashAt
from golem_sdk.testing.subjects import FOR_EVER_S, Call, Calm, HalfWay, Subject

__all__ = ["Spec", "read_frame", "subject_of", "write_frame"]

_LENGTH = struct.Struct(">I")


@frozen
class Spec:
    """A subject by names, so that any process can make it.

    Attributes:
        agent: ``module:name``.
        path: where modules are looked for.
        args, kwargs, calls, effects, allowed, suspend_after_s: as in `Subject`.
        stubs: by the name of the durable call, each as ``module:name``.
    """

    agent: str
    path: tuple[str, ...] = ()
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(factory=dict)
    calls: tuple[Call, ...] = ()
    stubs: Mapping[str, str] = field(factory=dict)
    effects: str = Effects.RECORDED
    allowed: tuple[str, ...] = ()
    suspend_after_s: float = FOR_EVER_S


def subject_of(spec: Spec) -> Subject:
    """Import what a spec names.

    Raises:
        UsageError: it cannot be imported, or is not there.
    """
    return Subject(
        _named(spec.agent),
        spec.args,
        spec.kwargs,
        spec.calls,
        {name: _named(stub) for name, stub in spec.stubs.items()},
        spec.effects,
        spec.allowed,
        spec.suspend_after_s,
    )


def _named(reference: str) -> Callable[..., object]:
    module_name, _, name = reference.partition(":")
    if not module_name or not name or module_name.endswith(".py") or "/" in module_name:
        raise UsageError(
            f"{reference!r} is not of the form MODULE:NAME, as in shop.orders:place_order"
        )
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"{module_name} cannot be imported: {error}") from error
        raise UsageError(f"there is no module {module_name}") from None
    except BaseException as error:  # whatever its code raises
        raise UsageError(f"{module_name} cannot be imported: {error!r}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(f"module {module_name} has no {name}") from None
    if not callable(found):
        raise UsageError(f"{reference} is {found!r}, neither a function nor a class")
    return found


def write_frame(stream: BinaryIO, message: object) -> None:
    """Write one message."""
    data = encode(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> object:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return decode(data)


class _Worker:
    """Does what it is told."""

    def __init__(self) -> None:
        self._bench: Bench | None = None

    def answer(self, message: object) -> object:
        """The answer to one message."""
        match message:
            case ["begin", Spec() as spec, limit_s, calm]:
                assert limit_s is None or isinstance(limit_s, float)
                assert calm is None or isinstance(calm, Calm)
                sys.path[:] = spec.path
                self._bench = Bench(subject_of(spec), calm, limit_s)
                return None
            case ["calm"]:
                with silence():
                    return self._opened().calm()
            case ["run", list(points), bool(fresh)]:
                return self._opened().run(tuple(points), fresh=fresh)
            case ["half", CrashAt() as point]:
                return self._opened().run_half(point)
            case ["take up", HalfWay() as half]:
                return self._opened().take_up(half)
        raise AssertionError(f"unknown message {message!r:.200}")

    def _opened(self) -> Bench:
        assert self._bench is not None, "the spec comes first"
        return self._bench


def _serve() -> None:
    # The agent may print and read what it likes: the frames have descriptors of their own.
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    messages: SimpleQueue[object] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                messages.put(read_frame(source))
        except (EOFError, OSError):
            os._exit(0)  # also out of an agent that never ends

    Thread(target=listen, name="fuzz-listener", daemon=True).start()
    worker = _Worker()
    while True:
        message = messages.get()
        try:
            answer: list[object] = ["ok", worker.answer(message)]
        except (GolemError, TimeoutError) as error:
            answer = ["error", type(error).__name__, str(error)]
        write_frame(sink, answer)


if __name__ == "__main__":
    # Under its own name, so that both sides encode the same classes.
    importlib.import_module("golem_sdk.testing.worker")._serve()

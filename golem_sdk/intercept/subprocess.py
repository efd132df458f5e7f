"""Processes that agents run: `subprocess`, ``os.system``, and what else starts processes or sends signals.

Covers: ``run``, ``call`` and what is made of them (``check_output``, ``getoutput``, …) and ``os.system``: the
whole run is one remote write. ``Popen``: its start, each piece of output, each write of input, each signal
and each wait is a durable call; `golem_sdk.intercept.processes` says what becomes of a process that was
running when the agent died. ``os.popen`` is a ``Popen``. ``os.kill`` and ``os.killpg`` are remote writes (see
`golem_sdk.intercept.process_numbers`). ``os.exec*`` and ``os.posix_spawn`` are refused, as ``os.fork`` is.

Does not cover: `pty`, processes that compiled libraries start, ``os.waitpid``; output that a process writes
into a file that agent code reads back.
"""

from __future__ import annotations

import contextlib
import functools
import io
import subprocess
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.commands import describe_command, describe_data
from golem_sdk.intercept.exchanges import STREAMS, RealProcess
from golem_sdk.intercept.patching import Patch, in_agents, put_in_os, replacement_of
from golem_sdk.intercept.pipes import open_input, open_output, rest_of
from golem_sdk.intercept.process_numbers import know, number_patches
from golem_sdk.intercept.processes import PROCESSES, Process
from golem_sdk.intercept.resuming import with_descriptors
from golem_sdk.intercept.whole_runs import PARAMETERS, TEXT, check_text, run_patches, system_patches
from golem_sdk.intercept.written_files import lend

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["os_patches", "subprocess_patches"]

_WRITE = FunctionType.WRITE_REMOTE
_READ = FunctionType.READ_REMOTE
_PROCESS = "_golem_process"
_SAID = "_golem_said"
_REPLACING = ("execv", "execve", "posix_spawn", "posix_spawnp")


def subprocess_patches(module: ModuleType) -> list[Patch]:
    """The patches of `subprocess`; its other functions end in these."""
    methods: dict[str, Callable[[Any], Any]] = {
        "__init__": _init,
        "communicate": _communicate,
        "poll": _poll,
        "send_signal": _send_signal,
        "wait": _wait,
    }
    return [
        *run_patches(module),
        *(Patch(module.Popen, name, make) for name, make in methods.items()),
    ]


def os_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    return [
        *system_patches(module),
        *number_patches(module),
        *(
            Patch(module, name, functools.partial(_refused, name), spread=True, put=put_in_os)
            for name in _REPLACING
        ),
    ]


# --- what is refused --------------------------------------------------------------------------------


def _refused(name: str, original: Callable[..., Any]) -> MethodType:
    def function(_home: object, /, *args: Any, **options: Any) -> Any:
        if durability.current() is not None:
            raise NotDurableError(
                f"An agent tried to start a process with os.{name}. Nothing was started and nothing was "
                "recorded. Use subprocess, whose processes are journaled."
            )
        return original(*args, **options)

    return replacement_of(original, function, "os")


# --- Popen ----------------------------------------------------------------------------------------


def _init(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, *args: Any, **options: Any) -> None:
        session = durability.current_since(PROCESSES)
        if session is None:
            original(self, *args, **options)
        else:
            _start(session, self, PARAMETERS.bind(self, *args, **options).arguments)

    return in_agents(original, init)


def _start(session: Any, self: Any, given: dict[str, Any]) -> None:
    """Make the object that agent code has: it looks like the original, but has no process of its own."""
    options = {name: value for name, value in given.items() if name != "self"}
    args, bufsize = options["args"], options.get("bufsize", -1)
    text = {name: options.pop(name) for name in TEXT if name in options}
    if subprocess.PIPE in map(options.get, STREAMS):
        check_text(text)
    described = describe_command(args, options.get("shell"), None, options.get("cwd"))
    start = functools.partial(RealProcess, **{**options, "bufsize": 0})
    process = Process(session, with_descriptors(start, options), described.request["args"])
    durability.hold(session, process)
    vars(self).update({_PROCESS: process, "args": args, "returncode": None})
    lend(map(options.get, STREAMS), process.changes)
    self.pid = durability.durable_call(
        session,
        "subprocess.Popen",
        _WRITE,
        described.request,
        process.start,
        identity=described.identity,
    )
    know(session, self.pid, process)
    self.encoding, self.errors = text.get("encoding"), text.get("errors")
    self.text_mode = bool(any(text.values()))
    self._communication_started, self._sigint_wait_secs = False, 0
    piped = {name: options.get(name) == subprocess.PIPE for name in STREAMS}
    self.stdin = open_input(process, bufsize) if piped["stdin"] else None
    self.stdout = open_output(process, "stdout", bufsize) if piped["stdout"] else None
    self.stderr = open_output(process, "stderr", bufsize) if piped["stderr"] else None
    if self.text_mode:
        _as_text(self, line_buffering=bufsize == 1)


def _as_text(self: Any, *, line_buffering: bool) -> None:
    wrap = functools.partial(io.TextIOWrapper, encoding=self.encoding, errors=self.errors)
    if self.stdin is not None:
        self.stdin = wrap(self.stdin, write_through=True, line_buffering=line_buffering)
    if self.stdout is not None:
        self.stdout = wrap(self.stdout)
    if self.stderr is not None:
        self.stderr = wrap(self.stderr)


def _called(
    self: Any,
    process: Process,
    operation: str,
    function_type: FunctionType,
    request: object,
    perform: Callable[[], Any],
) -> Any:
    session = durability.current()
    if session is None:  # inside another durable call, which is what is recorded
        return perform()
    name = f"subprocess.Popen.{operation}"
    return durability.working_call(
        session,
        name,
        function_type,
        request,
        perform,
        repeatable=False,
        changes=process.changes,
    )


def _ended(self: Any, process: Process, code: int | None) -> None:
    if code is not None:
        self.returncode, process.ended = code, True


def _poll(original: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
    @functools.wraps(original)
    def poll(self: Any) -> int | None:
        # The second question alone would do, but takes longer.
        if self._child_created or (process := self.__dict__.get(_PROCESS)) is None:
            return original(self)
        if self.returncode is None:
            _ended(self, process, _called(self, process, "poll", _READ, None, process.poll))
        code: int | None = self.returncode
        return code

    return poll


def _wait(original: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(original)
    def wait(self: Any, timeout: float | None = None) -> int:
        # The second question alone would do, but takes longer.
        if self._child_created or (process := self.__dict__.get(_PROCESS)) is None:
            return original(self, timeout=timeout)
        if self.returncode is None:
            perform = functools.partial(process.wait, timeout)
            _ended(self, process, _called(self, process, "wait", _READ, None, perform))
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        code: int = self.returncode
        return code

    return wait


def _send_signal(original: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    @functools.wraps(original)
    def send_signal(self: Any, sig: int) -> None:
        # The second question alone would do, but takes longer.
        if self._child_created or (process := self.__dict__.get(_PROCESS)) is None:
            original(self, sig)
        elif self.returncode is None:
            perform = functools.partial(process.send_signal, sig)
            code = _called(self, process, "send_signal", _WRITE, int(sig), perform)
            if code is None:  # else it had ended before, and was sent nothing
                process.note_signal(sig)
            _ended(self, process, code)

    return send_signal


def _communicate(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def communicate(self: Any, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002  # its name there
        # The second question alone would do, but takes longer.
        if self._child_created or (process := self.__dict__.get(_PROCESS)) is None:
            result: tuple[Any, Any] = original(self, input, timeout=timeout)
            return result
        if self._communication_started and input:
            raise ValueError("Cannot send input after starting communication")
        return _communicated(self, process, input, timeout)

    return communicate


def _communicated(
    self: Any, process: Process, given: Any, timeout: float | None
) -> tuple[Any, Any]:
    if _SAID in vars(self):
        # It gives all again, as the original; its entry is that of earlier releases.
        again = [self.returncode, b"", b"", 0, False]
        _called(self, process, "communicate", _READ, None, lambda: again)
        said: tuple[Any, Any] = vars(self)[_SAID]
        return said
    # The original has it again but of one pipe, without a timeout.
    pipes = [pipe for pipe in (self.stdin, self.stdout, self.stderr) if pipe is not None]
    keeps = self._communication_started or timeout is not None or len(pipes) > 1
    if self.stdin is not None and not self._communication_started:
        with contextlib.suppress(BrokenPipeError):  # as the original: it reads no more
            self.stdin.flush()
        if self.text_mode and given is not None:
            given = given.encode(self.stdin.encoding, self.stdin.errors)
        process.input = given
    function_type, request = (_READ, None) if given is None else (_WRITE, describe_data(given))
    self._communication_started = True
    make = _exchanged if process.by_pieces else _communicated_at_once
    code, output, errors = make(self, process, function_type, request, timeout)
    if code is None:
        assert timeout is not None
        raise subprocess.TimeoutExpired(self.args, timeout, output=output, stderr=errors)
    _ended(self, process, code)
    process.note_closed("stdin")
    try:
        said = (
            None if output is None else rest_of(self.stdout, output),
            None if errors is None else rest_of(self.stderr, errors),
        )
    finally:
        for pipe in pipes:
            pipe.close()
    if keeps:
        vars(self)[_SAID] = said
    return said


def _exchanged(
    self: Any, process: Process, function_type: FunctionType, request: object, timeout: float | None
) -> list[Any]:
    process.note_exchange()
    more, perform = True, functools.partial(process.exchange, timeout)
    while more:
        code, output, errors, taken, more = _called(
            self, process, "communicate", function_type, request, perform
        )
        process.note_said(output, errors, taken)
        function_type, request = _READ, None
    return [code, *process.all_said(output, errors, has_ended=code is not None)]


def _communicated_at_once(
    self: Any, process: Process, function_type: FunctionType, request: object, timeout: float | None
) -> Any:
    perform = functools.partial(process.communicate, timeout)
    return _called(self, process, "communicate", function_type, request, perform)

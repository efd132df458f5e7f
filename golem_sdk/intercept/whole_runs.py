"""Processes that agents run to their end: ``subprocess.run``, ``subprocess.call`` and ``os.system``.

The whole run is one remote write. Where more than `PIECE_BYTES` of its output are taken, these are recorded
while it runs, and then the next: `golem_sdk.intercept.processes` says what becomes of it if the agent dies.
"""

from __future__ import annotations

import functools
import inspect
import io
import locale
import subprocess
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.commands import describe_command
from golem_sdk.intercept.exchanges import STREAMS, RealProcess
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.processes import PROCESSES, Process
from golem_sdk.intercept.written_files import lend

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

    from golem_sdk.intercept.commands import Command

__all__ = ["PARAMETERS", "TEXT", "check_text", "run_patches", "system_patches"]

PARAMETERS = inspect.signature(subprocess.Popen.__init__)
TEXT = ("text", "universal_newlines", "encoding", "errors")

_READ = FunctionType.READ_REMOTE
_WRITE = FunctionType.WRITE_REMOTE


def run_patches(module: ModuleType) -> list[Patch]:
    """The patches of `subprocess`."""
    return [Patch(module, "run", _run, spread=True), Patch(module, "call", _call, spread=True)]


def system_patches(module: ModuleType) -> list[Patch]:
    """The patch of `os`."""
    return [Patch(module, "system", _system, spread=True)]


def check_text(text: dict[str, Any]) -> None:
    """Check the options for text of a process with pipes, as the original before it starts anything.

    Raises:
        SubprocessError: two of them contradict each other.
        LookupError: there is no such encoding.
    """
    wanted = {bool(text[name]) for name in TEXT[:2] if text.get(name) is not None}
    if len(wanted) > 1:
        raise subprocess.SubprocessError(
            "Cannot disambiguate when both text and universal_newlines are supplied but different. Pass one "
            "or the other."
        )
    if any(text.values()):
        io.TextIOWrapper(io.BytesIO(), text.get("encoding"), text.get("errors"))


def _run(original: Callable[..., Any]) -> MethodType:
    nearby = durability.nearby

    def run(_home: object, /, *args: Any, **options: Any) -> Any:
        if nearby() is None or (session := durability.current_since(PROCESSES)) is None:
            return original(*args, **options)
        check = options.pop("check", False)
        command = _command(args, options)
        captured = _Captured(session, args, options) if _captures(options) else None
        if captured is not None and captured.process.by_pieces:
            code, output, errors = captured.run()
        else:
            perform = functools.partial(_done, original, args, options)
            code, output, errors = _whole_run(session, "subprocess.run", args, options, perform)
        if code is None:
            raise subprocess.TimeoutExpired(
                command, options["timeout"], output=output, stderr=errors
            )
        if check and code:
            raise subprocess.CalledProcessError(code, command, output=output, stderr=errors)
        return subprocess.CompletedProcess(command, code, output, errors)

    return replacement_of(original, run, "subprocess")


def _call(original: Callable[..., int]) -> MethodType:
    nearby = durability.nearby

    def call(_home: object, /, *args: Any, **options: Any) -> int:
        if nearby() is None or (session := durability.current_since(PROCESSES)) is None:
            return original(*args, **options)

        def perform() -> int | None:
            try:
                return original(*args, **options)
            except subprocess.TimeoutExpired:
                return None

        code: int | None = _whole_run(session, "subprocess.call", args, options, perform)
        if code is None:
            raise subprocess.TimeoutExpired(_command(args, options), options["timeout"])
        return code

    return replacement_of(original, call, "subprocess")


def _done(
    original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> list[Any]:
    try:
        done = original(*args, **options)
    except subprocess.TimeoutExpired as late:
        return [None, late.output, late.stderr]
    return [done.returncode, done.stdout, done.stderr]


def _whole_run(
    session: durability.Session,
    name: str,
    args: tuple[Any, ...],
    options: dict[str, Any],
    perform: Callable[[], Any],
    changes: durability.OwnChanges | None = None,
) -> Any:
    described = _described(args, options)
    if changes is None and session.workspace:
        changes = durability.OwnChanges(session.workspace)
    lend([*args[3:6], *map(options.get, STREAMS)], changes)
    return durability.working_call(
        session,
        name,
        _WRITE,
        described.request,
        perform,
        identity=described.identity,
        changes=changes,
    )


def _described(args: tuple[Any, ...], options: dict[str, Any]) -> Command:
    shell = args[8] if len(args) > 8 else options.get("shell")
    return describe_command(
        _command(args, options), shell, options.get("input"), options.get("cwd")
    )


def _command(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return args[0] if args else options.get("args")


def _system(original: Callable[[Any], int]) -> MethodType:
    def system(_home: object, command: Any) -> int:
        session = durability.current_since(PROCESSES)
        if session is None:
            return original(command)
        described = describe_command(command, shell=True)
        return durability.working_call(
            session,
            "os.system",
            _WRITE,
            described.request,
            functools.partial(original, command),
            identity=described.identity,
        )

    return replacement_of(original, system, "os")


# --- runs whose output is taken -----------------------------------------------------------------------


def _captures(options: dict[str, Any]) -> bool:
    """Whether the output is taken, and the options are such as `subprocess.run` accepts."""
    given = [options.get(name) for name in STREAMS]
    if options.get("input") is not None and given[0] is not None:
        return False
    if options.get("capture_output"):
        return given[1:] == [None, None]
    return subprocess.PIPE in given[1:]


class _Captured:
    """A run whose output is taken.

    Args:
        session: the agent's.
        args, options: those of `subprocess.run`.
    """

    def __init__(
        self, session: durability.Session, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._session = session
        self._given = args, options
        popen = {**options}
        self._input, self._timeout = popen.pop("input", None), popen.pop("timeout", None)
        if popen.pop("capture_output", False):
            popen["stdout"] = popen["stderr"] = subprocess.PIPE
        if self._input is not None:
            popen["stdin"] = subprocess.PIPE
        popen = PARAMETERS.bind(None, *args, **popen).arguments
        del popen["self"]
        text = {name: popen.pop(name, None) for name in TEXT}
        check_text(text)
        self._errors = text["errors"] or "strict"
        self._encoding = text["encoding"] or locale.getpreferredencoding(False)
        self._is_text = any(text.values())
        start = functools.partial(RealProcess, **{**popen, "bufsize": 0})
        self.process = Process(session, start, _described(args, options).request["args"])

    def run(self) -> list[Any]:
        """``[return code, output, errors]``; without a return code, it has not ended in time."""
        process = self.process
        process.input = self._input
        if self._is_text and self._input is not None:
            process.input = self._input.encode(self._encoding, self._errors)
        code, output, errors, *more = _whole_run(
            self._session, "subprocess.run", *self._given, self._begun, process.changes
        )
        if not more:
            return [code, output, errors]
        process.note_said(output, errors, *more)
        while more:
            code, output, errors, *more = durability.working_call(
                self._session,
                "subprocess.run.read",
                _READ,
                None,
                self._gone_on,
                repeatable=False,
                changes=process.changes,
            )
            process.note_said(output, errors, *(more or [0]))
        said = process.all_said(output, errors, has_ended=code is not None)
        return [code, *(said if code is None else map(self._decoded, said))]

    def _begun(self) -> list[Any]:
        self.process.note_exchange()
        self.process.start()
        code, output, errors, taken, more = self._next()
        if more:
            return [None, output, errors, taken]
        if code is None:
            return [None, output or None, errors or None]
        return [code, self._decoded(output), self._decoded(errors)]

    def _gone_on(self) -> list[Any]:
        code, output, errors, taken, more = self._next()
        return [code, output, errors, *([taken] if more else [])]

    def _next(self) -> list[Any]:
        """The next piece of output. The process is ended when its time is, and is not left behind."""
        try:
            found = self.process.exchange(self._timeout)
            if found[0] is None and not found[-1]:
                self.process.kill()
        except BaseException:
            self.process.kill()
            raise
        return found

    def _decoded(self, output: bytes | None) -> Any:
        if output is None or not self._is_text:
            return output
        text = output.decode(self._encoding, self._errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")

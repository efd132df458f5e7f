"""What a durable call changes in the agent's own directory: kept with its outcome, made again in replay.

Replay runs the agent's code, so that what this writes is there again. It does not run processes and durable
functions: what they have written is part of what they gave.

Does not cover: pipes, sockets and devices, owners, and hard links, which become files of their own.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from golem_sdk.errors import NotDurableError
from golem_sdk.runtime.session import SAME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from golem_sdk.core.function_type import FunctionType
    from golem_sdk.runtime.session import Session

__all__ = ["KEPT_CHANGES_BYTES", "OwnChanges", "working_call", "working_call_async"]

T = TypeVar("T")

KEPT_CHANGES_BYTES = 64 * 1024 * 1024
"""One call may change that much in the agent's own directory."""

_ON_ERRORS = "golem_changes"
"""The attribute of an exception that holds what was changed before it was raised."""

_State = tuple[int, int, int, int, int]


class OwnChanges:
    """What one call, or one process, changes in an agent's own directory.

    Args:
        root: the directory.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._before: dict[str, _State] | None = None
        self._made: bool
        self._shared: dict[int, int] = {}
        self._left: dict[int, str] = {}

    def share(self, descriptor: int) -> None:
        """This file is given to a process: agent code writes on where that has left it."""
        with suppress(OSError):  # it is closed, or a pipe
            self._shared[descriptor] = os.lseek(descriptor, 0, os.SEEK_CUR)

    def begin(self) -> None:
        """What is there now is none of it."""
        self._before = _survey(self._root)
        for descriptor, path in self._left.items():
            if _is(descriptor, path):  # what is started again writes it again
                os.lseek(descriptor, self._shared[descriptor], os.SEEK_SET)
        self._left.clear()

    def kept(self, perform: Callable[[], Any]) -> Callable[[], list[Any]]:
        """A function that gives the result of ``perform``, and what it has changed."""

        def performing() -> list[Any]:
            changes: list[Any] = []
            with self._watched(changes):
                result = perform()
            return [result, changes]

        return performing

    def kept_async(
        self, perform: Callable[[], Awaitable[Any]]
    ) -> Callable[[], Awaitable[list[Any]]]:
        """The same for a coroutine function."""

        async def performing() -> list[Any]:
            changes: list[Any] = []
            with self._watched(changes):
                result = await perform()
            return [result, changes]

        return performing

    @contextmanager
    def restored(self, found: list[Any]) -> Iterator[None]:
        """The block puts what `kept` gave into ``found``. In replay, the changes are made again then."""
        before, self._made = _survey(self._root), False
        try:
            yield
        except Exception as error:
            self._restore(before, vars(error).pop(_ON_ERRORS, ()))
            raise
        self._restore(before, found[1])

    @contextmanager
    def _watched(self, changes: list[Any]) -> Iterator[None]:
        self._made = True
        if self._before is None:
            self.begin()
        try:
            yield
        except Exception as error:
            with suppress(AttributeError, TypeError):  # some take no attributes
                setattr(error, _ON_ERRORS, self._changes())
            raise
        changes += self._changes()

    def _changes(self) -> list[Any]:
        before, after = self._before or {}, _survey(self._root)
        self._before = after
        changed = [name for name, state in after.items() if before.get(name) != state]
        size = sum(after[name][1] for name in changed if stat.S_ISREG(after[name][0]))
        if size > KEPT_CHANGES_BYTES:
            raise NotDurableError(
                f"A process or a durable function has changed {size} bytes in its agent's own directory."
                f" More than {KEPT_CHANGES_BYTES} are not kept, so replay could not restore them. Let it work"
                " in another directory, whose files are recorded when the agent reads them."
            )
        replaced = {name for name in changed if _is_replaced(before.get(name), after[name])}
        gone = sorted((before.keys() - after.keys()) | replaced, reverse=True)
        found = [[name, 0, 0, None] for name in gone]
        for name in changed:
            with suppress(FileNotFoundError):  # another process is at work: it is its change
                found.append(_described(self._root, name, after[name]))
        return found

    def _restore(self, before: dict[str, _State], changes: Any) -> None:
        if self._made or not changes:
            return
        now = _survey(self._root)
        # What agent code has changed meanwhile is its own.
        lasting = [each for each in changes if now.get(each[0]) == before.get(each[0])]
        for name, mode, changed_ns, content in lasting:
            path = os.path.join(self._root, name)
            _make(path, mode, changed_ns, content)
            for descriptor in self._shared:
                if _is(descriptor, path):
                    os.lseek(descriptor, 0, os.SEEK_END)
                    self._left[descriptor] = path
        for name, mode, _, _ in reversed(lasting):  # last: one may not be written to any more
            if stat.S_ISDIR(mode):
                os.chmod(os.path.join(self._root, name), stat.S_IMODE(mode))


def working_call(
    session: Session,
    name: str,
    function_type: FunctionType,
    request: object,
    perform: Callable[[], T],
    *,
    identity: object = SAME,
    repeatable: bool = True,
    changes: OwnChanges | None = None,
) -> T:
    """A durable call that may work in the agent's own directory by itself: replay restores what it does.

    ``changes``: of a process, which works from call to call; by default only this call works. For all else
    see `golem_sdk.durability.durable_call`.
    """
    result: T
    if not session.workspace:
        result = session.call(
            name, function_type, request, perform, identity, repeatable=repeatable
        )
        return result
    changes = changes or OwnChanges(session.workspace)
    found: list[Any] = []
    with changes.restored(found):
        kept = changes.kept(perform)
        found += session.call(name, function_type, request, kept, identity, repeatable=repeatable)
    result = found[0]
    return result


def working_call_async(
    session: Session,
    name: str,
    function_type: FunctionType,
    request: object,
    perform: Callable[[], Awaitable[T]],
    *,
    repeatable: bool = True,
    changes: OwnChanges | None = None,
) -> Coroutine[Any, Any, T]:
    """The same for a coroutine function."""
    call = partial(session.call_async, name, function_type, request, repeatable=repeatable)
    if not session.workspace:
        return call(perform, SAME)
    return _restoring(call, perform, changes or OwnChanges(session.workspace))


async def _restoring(
    call: Callable[..., Coroutine[Any, Any, Any]],
    perform: Callable[[], Awaitable[T]],
    changes: OwnChanges,
) -> T:
    found: list[Any] = []
    with changes.restored(found):
        found += await call(changes.kept_async(perform), SAME)
    result: T = found[0]
    return result


def _survey(root: str) -> dict[str, _State]:
    """What is there, directories before what is in them."""
    found: dict[str, _State] = {}
    for place, directories, files in os.walk(root):
        for name in sorted([*directories, *files]):
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):  # a process is at work
                state = os.lstat(path)
                told = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
                if stat.S_ISDIR(state.st_mode):
                    told = (0, 0, 0, 0)  # all that changes with what is in it
                found[os.path.relpath(path, root)] = (state.st_mode, *told)
    return found


def _described(root: str, name: str, state: _State) -> list[Any]:
    path, mode = os.path.join(root, name), state[0]
    content: Any = None
    if stat.S_ISLNK(mode):
        content = os.readlink(path)
    elif stat.S_ISREG(mode):
        with open(path, "rb") as file:
            content = file.read()
    return [name, mode, state[2], content]


def _make(path: str, mode: int, changed_ns: int, content: Any) -> None:
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    if is_directory and stat.S_ISDIR(mode):
        return
    if is_directory:
        shutil.rmtree(path)
    elif os.path.lexists(path) and not _rewritten(path, mode, content):
        os.unlink(path)
    if stat.S_ISDIR(mode):
        os.mkdir(path)
    elif stat.S_ISLNK(mode):
        os.symlink(content, path)
    elif stat.S_ISREG(mode):
        if not os.path.lexists(path):
            with open(path, "xb") as file:
                file.write(content)
        os.utime(path, ns=(changed_ns, changed_ns))
        os.chmod(path, stat.S_IMODE(mode))


def _rewritten(path: str, mode: int, content: Any) -> bool:
    """Whether this is a file, as it was, and could be given that content.

    Agent code that has it open would write into another one else.
    """
    if not stat.S_ISREG(mode) or not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    try:
        with open(path, "r+b") as file:
            file.write(content)
            file.truncate()
    except OSError:  # it must not be written to
        return False
    return True


def _is(descriptor: int, path: str) -> bool:
    """Whether this is the file there."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:  # it was closed, or is gone
        return False


def _is_replaced(before: _State | None, after: _State) -> bool:
    """Whether another file has taken the place of this one."""
    return (
        before is not None
        and stat.S_ISREG(before[0])
        and stat.S_ISREG(after[0])
        and before[4] != after[4]
    )

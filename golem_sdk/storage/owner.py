"""One owner per store (X1): LMDB would let two runtimes write to one store, this lock does not."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from golem_sdk import originals
from golem_sdk.errors import StoreLockedError
from golem_sdk.storage.directory import create_private_file, prepare_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["OwnerLock", "owner_of", "unowned"]

_LONGEST_NOTE: Final = 4096

_held: dict[int, Path] = {}
"""Descriptor and store of every owner lock that this process holds."""

_held_lock = Lock()


class OwnerLock:
    """Ownership of the store in directory ``path`` (made if missing), until `release`.

    The operating system takes the lock back when the process dies, however it dies. A forked child
    does not inherit it.

    Raises:
        StoreLockedError: another runtime, in this process or another one, owns the store.
        StoreError: the directory cannot hold a store.
    """

    def __init__(self, path: Path) -> None:
        prepare_directory(path)
        self.path = path
        self._pid = os.getpid()
        name = path / "owner.lock"
        create_private_file(name)
        # One step under the lock, so that no fork can fall between opening and registering.
        with _held_lock:
            descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read_note(descriptor)
                os.close(descriptor)
                raise StoreLockedError(_refusal(path, holder)) from None
            _held[descriptor] = path
            self._descriptor: int | None = descriptor
        _write_note(descriptor)

    def release(self) -> None:
        """Give the store up. Releasing twice is fine; in a forked child it does nothing."""
        with _held_lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None and self._pid == os.getpid():
                del _held[descriptor]
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@contextmanager
def unowned(path: Path) -> Iterator[None]:
    """Keep runtimes from the store in directory ``path`` in this block. Writes nothing there.

    Raises:
        StoreLockedError: one has it open.
    """
    try:
        descriptor = os.open(path / "owner.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # no runtime ever had it
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(_refusal(path, _read_note(descriptor))) from None
        yield
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> dict[str, object] | None:
    """Who has the store in directory ``path`` open: pid, host, start, as far as known; ``None``: nobody."""
    try:
        with unowned(path):
            return None
    except StoreLockedError:
        with suppress(OSError):
            descriptor = os.open(path / "owner.lock", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_note(descriptor)
            finally:
                os.close(descriptor)
        return {}


def _write_note(descriptor: int) -> None:
    """Who holds the lock, for whoever is refused. Only the lock itself decides anything."""
    note = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "boot_id": _boot_id(),
        "start": datetime.fromtimestamp(originals.time_ns() / 1e9, UTC).isoformat(" ", "seconds"),
    }
    # A full disk must not keep a store closed: the note is a courtesy.
    with suppress(OSError):
        text = json.dumps(note).encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))


def _read_note(descriptor: int) -> dict[str, object]:
    try:
        note = json.loads(os.pread(descriptor, _LONGEST_NOTE, 0))
    except ValueError:  # the holder is just about to write it
        return {}
    return note if isinstance(note, dict) else {}


def _refusal(path: Path, holder: dict[str, object]) -> str:
    if holder.get("pid") == os.getpid() and holder.get("boot_id") == _boot_id():
        return (
            f"store {path} is already open in this process (pid {os.getpid()}): use the runtime "
            "that is open, or close it first"
        )
    return (
        f"store {path} is owned by another runtime: pid {holder.get('pid', 'unknown')} on host "
        f"{holder.get('host', 'unknown')}, since {holder.get('start', 'unknown')}. One store has "
        "one owner: stop that process, or use another store path"
    )


def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _forget_in_child() -> None:
    # flock belongs to the open file, which a fork shares: a child that lives on would keep the
    # store locked after its parent's death. Closing its descriptor leaves the parent's lock alone.
    global _held_lock
    _held_lock = Lock()
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)

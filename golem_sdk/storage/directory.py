"""The directory of a store: made private, and refused where a store would not be safe."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from golem_sdk.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "DISK_FULL",
    "create_private_file",
    "founding",
    "no_room_after",
    "prepare_directory",
    "require_store",
    "sync_directory",
]

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
"""Error numbers of a write for which there was no room: disk, file size limit, quota."""

_PROBE_BYTES: Final = 1 << 16
_LONGEST_SHOWN: Final = 500

# From linux/magic.h and the file systems' own sources. On these, locks or flushes of one machine
# are not what another machine, or the host, sees.
_REFUSED_FILE_SYSTEMS: Final = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x01021997: "9p",
    0x65735546: "FUSE",
    0x5346414F: "AFS",
    0x00C36400: "Ceph",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x786F4256: "VirtualBox shared folder",
    0xBACBACBC: "VMware shared folder",
}


def prepare_directory(path: Path) -> None:
    """Make ``path`` (mode 0700, whatever the umask) if it is missing, and check it.

    Raises:
        StoreError: others could write to it, or its file system cannot keep a store.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(0o700)
            path.chmod(0o700)  # mkdir obeys the umask, which may take away even our own rights
            sync_directory(path.parent)
    _require_directory(path)


def _require_directory(path: Path) -> None:
    """Check that ``path`` is a directory of ours alone, on a file system that can keep a store.

    Raises:
        StoreError: it is not.
    """
    try:
        info = path.stat()
    except FileNotFoundError as error:
        raise StoreError(f"there is no store at {path}: no such directory") from error
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, a file on the way
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"there can be no store at {str(path)[:_LONGEST_SHOWN]}: {why}") from error
    if not stat.S_ISDIR(info.st_mode):
        raise StoreError(f"a store is a directory, but {path} is not one: choose another path")
    if info.st_uid != os.geteuid():
        raise StoreError(
            f"store directory {path} belongs to user {info.st_uid}, this process runs as user "
            f"{os.geteuid()}: run as its owner, or choose another path"
        )
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(
            f"store directory {path} can be written by other users (mode "
            f"{stat.S_IMODE(info.st_mode):04o}): run `chmod 700 {path}`"
        )
    refused = _REFUSED_FILE_SYSTEMS.get(_file_system(path))
    if refused is not None:
        raise StoreError(
            f"store directory {path} lies on a {refused} file system, which does not keep the "
            "promises of locks and flushes that a store needs: choose a local disk"
        )


@contextmanager
def founding(path: Path) -> Iterator[Path | None]:
    """Make directory ``path`` if it is missing; gives where to make its data file. ``None``: it has one.

    The file is moved to its place when the block is left: were it made there, a power cut could leave a torn
    one, which cannot be told from a damaged one.

    Raises:
        StoreError: the directory cannot hold a store.
    """
    prepare_directory(path)
    create_private_file(path / "lock.mdb")
    data, place = path / "data.mdb", path / "new"
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if data.exists():
            yield None
            return
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        place.chmod(0o700)
        try:
            yield place
            (place / "data.mdb").chmod(0o600)
            (place / "data.mdb").replace(data)
            os.fsync(descriptor)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(descriptor)


def require_store(path: Path) -> None:
    """Check, without touching anything, that directory ``path`` holds a store.

    Raises:
        StoreError: it does not, or others could write to it.
    """
    _require_directory(path)
    if not (path / "data.mdb").exists():
        raise StoreError(f"there is no store at {path}: nothing to read")


def create_private_file(path: Path) -> bool:
    """Make an empty file with mode 0600, whatever the umask; only mend the mode if it exists.

    Gives whether it was made.
    """
    made = not path.exists()
    if made:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    # By name: opening and closing LMDB's lock file would drop the locks this process holds on it.
    path.chmod(0o600)
    return made


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable: a file whose name is lost with the power is lost."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_room_after(path: Path) -> bool:
    """Whether file ``path`` could not grow now, found out with a file beside it that is removed."""
    probe = path.with_name("probe")
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            return os.pwrite(descriptor, bytes(_PROBE_BYTES), path.stat().st_size) < _PROBE_BYTES
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        return error.errno in DISK_FULL


def _file_system(path: Path) -> int:
    """The magic number of the file system that holds ``path``; 0 where that cannot be told."""
    if sys.platform != "linux":
        return 0
    answer = (ctypes.c_long * 64)()  # struct statfs and room to spare; its first word is f_type
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), answer) != 0:
        code = ctypes.get_errno()
        raise StoreError(f"cannot tell the file system of {path}: {os.strerror(code)}")
    return int(answer[0]) & 0xFFFFFFFF

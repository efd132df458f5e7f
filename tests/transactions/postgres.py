"""A PostgreSQL server of our own: in a directory, on a socket in it, gone with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = (
    "there is no PostgreSQL on this machine, so transactions on it cannot be tested: install it"
    " (Debian: apt-get install postgresql)"
)


@contextmanager
def server(directory: Path) -> Iterator[str]:
    """Starts a server; gives what psycopg connects with."""
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    data, sockets = directory / "data", directory / "s"
    sockets.mkdir()
    owner = _owner()
    for path in (directory, sockets):
        shutil.chown(path, *owner)
    options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}' -c fsync=off"
    _run(binaries / "initdb", "-D", str(data), "-U", "golem", "-A", "trust", "--no-sync")
    control = binaries / "pg_ctl"
    log = str(directory / "log")
    _run(control, "-D", str(data), "-l", log, "-o", options, "-w", "start")
    try:
        yield f"host={sockets} user=golem dbname=postgres"
    finally:
        _run(control, "-D", str(data), "-m", "immediate", "-w", "stop")


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None


def _owner() -> tuple[int, int]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    user = pwd.getpwnam("postgres")
    return user.pw_uid, user.pw_gid


def _run(program: Path, *arguments: str) -> None:
    user, group = _owner()
    command = [str(program), *arguments]
    # Not through pipes: they would stay open in the server.
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if user == os.getuid():
        code = subprocess.call(command, cwd="/", **silent)
    else:
        code = subprocess.call(command, cwd="/", user=user, group=group, extra_groups=[], **silent)
    assert code == 0, f"{program.name} failed with {code}"

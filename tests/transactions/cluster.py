"""A private PostgreSQL server: in a directory of its own, on a socket of its own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = (
    "these tests need PostgreSQL's server programs (initdb, pg_ctl) and found none on PATH or in"
    " /usr/lib/postgresql/*/bin: install them, on Debian with `apt-get install postgresql`"
)
_OPTIONS = " ".join(
    f"-c {option}"
    for option in (
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "lock_timeout=20s",  # a test that waits for ever fails
        "listen_addresses=",
    )
)


class NoPostgresError(Exception):
    """No server can be started here; the message says what to do."""


def programs() -> Path:
    """The directory of the server's programs."""
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    raise NoPostgresError(MISSING)


@contextmanager
def running() -> Iterator[str]:
    """A server; gives the connection string of its superuser."""
    place = programs()
    account = _account()
    directory = Path(tempfile.mkdtemp(prefix="golem-pg-"))
    if account is not None:
        os.chown(directory, account.pw_uid, account.pw_gid)
    data = directory / "data"

    def call(program: str, *arguments: str) -> None:
        finished = subprocess.run(
            [place / program, "-D", data, *arguments],
            cwd=directory,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it, so it must be no pipe
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if finished.returncode:
            log = directory / "log"
            text = log.read_text() if log.exists() else ""
            raise NoPostgresError(f"{place / program} failed ({finished.returncode}): {text}")

    try:
        call("initdb", "-U", "golem", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        call(
            "pg_ctl",
            "start",
            "-w",
            "-l",
            str(directory / "log"),
            "-o",
            f"{_OPTIONS} -k {directory}",
        )
        try:
            yield f"host={directory} user=golem dbname=postgres"
        finally:
            call("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to be root."""
    if os.getuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresError("PostgreSQL refuses to run as root, and there is no user `postgres`")

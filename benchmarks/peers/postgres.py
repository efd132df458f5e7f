"""A PostgreSQL server of our own, with its default settings, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.processes import CannotRunError, free_port, output

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgres"]


@contextmanager
def postgres(directory: Path) -> Iterator[tuple[str, str]]:
    """A server whose files are below this directory.

    Yields:
        The beginning of its databases' URLs, and the server's version.

    Raises:
        CannotRunError: it is not installed, or does not start there.
    """
    place, account = _programs(), _account()
    directory.mkdir(parents=True)
    if account is not None:
        os.chown(directory, account.pw_uid, account.pw_gid)

    def call(program: str, *arguments: str) -> None:
        with (directory / "log").open("ab") as log:
            done = subprocess.run(
                [place / program, "-D", directory / "data", *arguments],
                cwd=directory,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode:
            lines = (directory / "log").read_text(errors="replace").strip().splitlines()
            raise CannotRunError(f"{program} failed: {' | '.join(lines[-3:])}")

    call("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
    port = free_port()
    # The server goes on writing to the log that it got from pg_ctl.
    listening = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    call("pg_ctl", "start", "-w", "-o", listening)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/", _version(place)
    finally:
        call("pg_ctl", "stop", "-w", "-m", "immediate")


def _programs() -> Path:
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    raise CannotRunError("PostgreSQL's server programs (initdb, pg_ctl) are not installed here")


def _version(place: Path) -> str:
    return output([str(place / "postgres"), "--version"]).split()[2]


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to be root."""
    if os.getuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotRunError("PostgreSQL refuses to run as root, and there is no user `postgres`")

"""Bodies of the golden histories of what an interceptor has come to record in another way.

As in `golden.interceptors`: never change one, add others.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from golem_sdk import workspace

__all__ = [
    "asks_on_threads",
    "communicates",
    "communicates_async",
    "follows_links",
    "gives_to_threads",
    "leaves_by_links",
    "looks_past_links",
    "pools",
]

Places = dict[str, str]


def follows_links(places: Places) -> list[Any]:
    link = workspace() / "out"
    link.symlink_to(places["desk"])
    link.exists()  # what it says in replay is not what it said: version 1 asks again
    return [link.is_symlink(), [entry.name for entry in os.scandir(workspace())]]


def looks_past_links(places: Places) -> list[Any]:
    link = workspace() / "way"
    link.symlink_to(places["desk"])
    (
        link / ".." / "desk"
    ).exists()  # what it says in replay is not what it said: version 2 asks again
    shutil.rmtree(link, ignore_errors=True)
    gone = Path(places["desk"]) / "nothing"
    shutil.rmtree(gone, onerror=lambda *_: None)  # that was not called in replay
    return [entry.name for entry in os.scandir(workspace()) if entry.is_dir() in (True, False)]


def leaves_by_links(places: Places) -> list[Any]:
    link = workspace() / "way"
    link.symlink_to(places["desk"])
    (workspace() / "own").mkdir()
    said = [[entry.name, entry.is_dir()] for entry in os.scandir(workspace())]
    said.append([(link / ".." / "desk").exists()])
    shutil.rmtree(link, ignore_errors=True)
    told: list[Any] = []
    gone = Path(places["desk"]) / "nothing"
    shutil.rmtree(gone, onerror=lambda asked, path, error: told.append([asked.__name__]))
    return [*said, *told]


def pools(places: Places) -> list[Any]:
    """Version 1 learned of the server once for each pool, and knew nothing of two kinds of them."""
    found: list[Any] = []
    for kind in (None, NullPool, StaticPool):
        engine = sa.create_engine(f"sqlite:///{places['desk']}/golden-pools.db", poolclass=kind)
        for _ in range(2):
            with engine.connect() as connection:
                found.append(connection.scalar(sa.text("SELECT 1")))
            engine.dispose()
    return found


def communicates(places: Places) -> list[Any]:
    """Version 1 took all output at once, and all of it again where it had been late."""
    command = ["sh", "-c", "echo told; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        late: Any = None
        while not late:
            try:
                process.communicate(timeout=0.1)
            except subprocess.TimeoutExpired as error:
                late = error.output
        process.kill()
        run = subprocess.run(["echo", "run"], capture_output=True, text=True, check=True)
        return [late.decode(), process.communicate()[0].decode(), run.stdout]


async def communicates_async(places: Places) -> list[str]:
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    return [(await process.communicate(b"told"))[0].decode()]


async def gives_to_threads(places: Places) -> list[Any]:
    desk = Path(places["desk"])
    said: list[Any] = [await asyncio.to_thread((desk / "given.txt").read_text)]
    said.append(await asyncio.to_thread(os.listdir, desk))
    return [*said, await asyncio.to_thread(os.getpid) > 0]


async def asks_on_threads(places: Places) -> list[Any]:
    gone = Path(places["desk"]) / "nothing"
    return [await asyncio.to_thread(gone.exists), await asyncio.to_thread(os.getpid) > 0]

"""Runs pieces of code in processes of their own, for what a test must not do to its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import golem_sdk

ROOT = Path(golem_sdk.__file__).parents[1]

PRELUDE = """
import os, resource, signal, sys
from pathlib import Path
from golem_sdk.errors import *
from golem_sdk.storage.base import Batch, Space, be64
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.owner import OwnerLock
from golem_sdk.storage.tickets import Writer

def refusal(call, *args, **options):
    try:
        call(*args, **options)
    except Exception as error:
        return type(error).__name__
    return "nothing"
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs ``code`` (after the prelude) with ``sys.argv[1:] == arguments``."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(code: str, *arguments: object) -> list[str]:
    """The lines that such a process printed. It must end well."""
    child = start(code, *arguments)
    try:
        output, _ = child.communicate(timeout=60)
    finally:
        child.kill()  # does nothing to one that has ended
    assert child.returncode == 0, f"the child ended with {child.returncode}: {output}"
    return output.splitlines()

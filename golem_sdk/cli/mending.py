"""``golem agent resume``: say what became of a write with an unknown outcome.

Needs no agent code: it writes what the operator says, and the agent goes on when its runtime is opened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk import originals
from golem_sdk.app import store_path
from golem_sdk.cli.output import CommandError, visible
from golem_sdk.codec.values import encode
from golem_sdk.errors import AgentNotFoundError, UsageError
from golem_sdk.runtime.resolving import resolve
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.directory import require_store
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.owner import OwnerLock

if TYPE_CHECKING:
    import argparse

__all__ = ["add_resume"]


def add_resume(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``resume`` to the commands of ``agent``."""
    parser = actions.add_parser(
        "resume", help="say whether a write that parked an agent (UnknownOutcomeError) happened"
    )
    parser.add_argument("agent", metavar="ID", help="the agent's id, as listed")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument(
        "--happened", metavar="JSON", help="it happened, with this result: 'null', '\"receipt-7\"'"
    )
    said.add_argument(
        "--did-not-happen", action="store_true", help="it did not: the agent makes it again"
    )
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="default: GOLEM_STORE, or .golem here"
    )
    parser.set_defaults(run=_resume)


def _resume(options: argparse.Namespace) -> int:
    path = store_path(options.store)
    require_store(path)
    outcome = None if options.did_not_happen else _encoded(options.happened)
    owner = OwnerLock(path)
    try:
        engine = LmdbEngine(path)
        committer = Committer(engine)
        try:
            resolve(engine, committer, options.agent, outcome, originals.time_ns())
        except (AgentNotFoundError, UsageError) as error:
            raise CommandError(str(error)) from None
        finally:
            committer.close()
            engine.close()
    finally:
        owner.release()
    print(f"{visible(options.agent)} goes on when its runtime is opened")
    return 0


def _encoded(text: str) -> bytes:
    try:
        return encode(json.loads(text))
    except ValueError as error:
        raise CommandError(f"--happened takes a result as JSON: {error}") from None

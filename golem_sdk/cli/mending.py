"""``golem agent resume`` and ``revert``: what an operator can do for an agent that cannot go on.

Neither needs agent code: they write what the operator says, and the agent goes on when its runtime is opened.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk import originals
from golem_sdk.app import store_path
from golem_sdk.cli.output import CommandError, visible
from golem_sdk.codec.values import encode
from golem_sdk.errors import AgentNotFoundError, EncodingError, UsageError
from golem_sdk.runtime.resolving import resolve
from golem_sdk.runtime.reverting import revert
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.directory import require_store
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.owner import OwnerLock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from golem_sdk.storage.base import Engine

__all__ = ["add_resume", "add_revert"]


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


def add_revert(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``revert`` to the commands of ``agent``."""
    parser = actions.add_parser(
        "revert", help="drop the end of an agent's history: its state is as it was before"
    )
    parser.add_argument("agent", metavar="ID", help="the agent's id, as listed")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--to-index", type=int, metavar="N", help="the last oplog entry that counts, from 1"
    )
    target.add_argument(
        "--invocations", type=int, metavar="N", help="how many of the newest invocations to drop"
    )
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="default: GOLEM_STORE, or .golem here"
    )
    parser.set_defaults(run=_revert)


def _resume(options: argparse.Namespace) -> int:
    outcome = None if options.did_not_happen else _encoded(options.happened)
    with _store(options) as (engine, committer):
        resolve(engine, committer, options.agent, outcome, originals.time_ns())
    print(f"{visible(options.agent)} goes on when its runtime is opened")
    return 0


def _revert(options: argparse.Namespace) -> int:
    with _store(options) as (engine, committer):
        reversal = revert(
            engine,
            committer,
            options.agent,
            to_index=options.to_index,
            invocations=options.invocations,
            now_ns=originals.time_ns(),
        )
    region = reversal.region
    print(
        f"{visible(options.agent)}: entries {region.start} to {region.end} do not count any more;"
        " it goes on when its runtime is opened"
    )
    return 0


@contextmanager
def _store(options: argparse.Namespace) -> Iterator[tuple[Engine, Committer]]:
    """The store, owned meanwhile: no runtime may have it open."""
    path = store_path(options.store)
    require_store(path)
    owner = OwnerLock(path)
    try:
        engine = LmdbEngine(path)
        committer = Committer(engine)
        try:
            yield engine, committer
        except (AgentNotFoundError, UsageError) as error:
            raise CommandError(str(error)) from None
        finally:
            committer.close()
            engine.close()
    finally:
        owner.release()


def _encoded(text: str) -> bytes:
    try:
        return encode(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--happened takes a result as JSON: {error}") from None
    except EncodingError as error:
        raise CommandError(f"--happened: {error}") from None

"""``golem agent list`` and ``golem agent oplog``: look at a store without running anything.

Both open the store read-only, so that they also work while a runtime owns it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.app import store_path
from golem_sdk.cli.entries import EntryRow, LoadPayload, entry_rows, entry_values, moment
from golem_sdk.cli.mending import add_resume, add_revert
from golem_sdk.cli.output import (
    CommandError,
    Ink,
    print_json,
    screen_width,
    shorten_middle,
    table,
    visible,
)
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import AgentNotFoundError
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.payloads import load_payload
from golem_sdk.viewer import AgentMetadata, Viewer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["add_agent_commands"]

_LIST_HEADERS = ("AGENT", "STATUS", "DONE", "WAITING", "UPDATED", "ERROR")
_OPLOG_HEADERS = ("#", "TIME", "ENTRY", "CALL", "WHAT", "SOURCE")
_OTHER_COLUMNS = 54  # cells that an oplog line needs besides its text
_LONGEST_ERROR = 60
_LONGEST_SOURCE = 32
_LONGEST_PATH = 500


@frozen
class _Store:
    viewer: Viewer
    load: LoadPayload


def add_agent_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``agent`` with its subcommands."""
    parser = commands.add_parser("agent", help="look at the agents of a store, and mend them")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = actions.add_parser("list", help="list the store's agents")
    listing.set_defaults(run=_list)
    oplog = actions.add_parser("oplog", help="show everything that an agent did")
    oplog.add_argument("agent", metavar="ID", help="the agent's id, as listed: 'Counter(\"a\")'")
    oplog.set_defaults(run=_oplog)
    for action in (listing, oplog):
        action.add_argument(
            "--store", type=Path, metavar="PATH", help="default: GOLEM_STORE, or .golem here"
        )
        action.add_argument("--format", choices=("text", "json"), default="text")
    add_resume(actions)
    add_revert(actions)


@contextmanager
def _opened(store: Path | None) -> Iterator[_Store]:
    path = store_path(store)
    if not os.path.exists(path):  # which, unlike Path.exists, has no name that it fails for
        raise CommandError(f"there is no store at {str(path)[:_LONGEST_PATH]}")
    engine = LmdbEngine(path, read_only=True)
    try:
        yield _Store(Viewer(engine), partial(load_payload, engine))
    finally:
        engine.close()


# --- golem agent list -----------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    with _opened(options.store) as store:
        agents = list(store.viewer.agents())
    if options.format == "json":
        print_json([_agent_values(agent) for agent in agents])
        return 0
    if not agents:
        print("the store has no agents")
        return 0
    ink = Ink()
    rows = [_agent_row(agent) for agent in agents]
    header, *lines = table(_LIST_HEADERS, rows, width=screen_width(), elastic=0, right=(2, 3))
    print(ink(header, "bold"))
    for agent, line in zip(agents, lines, strict=True):
        print(ink(line, "red") if agent.status is AgentStatus.FAILED else line)
    return 0


def _agent_row(agent: AgentMetadata) -> list[str]:
    error = visible(agent.error)
    return [
        visible(agent.agent_id),
        agent.status.value,
        str(agent.completed),
        str(agent.pending),
        _local(agent.updated_at),
        error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…",
    ]


def _agent_values(agent: AgentMetadata) -> dict[str, Any]:
    return {
        "agent_id": agent.agent_id,
        "agent_type": agent.agent_type,
        "status": agent.status.value,
        "completed": agent.completed,
        "pending": agent.pending,
        "created_at": agent.created_at.isoformat(),
        "updated_at": agent.updated_at.isoformat(),
        "error": agent.error,
    }


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%F %T") if at.timestamp() else ""


# --- golem agent oplog ----------------------------------------------------------------------------


def _oplog(options: argparse.Namespace) -> int:
    with _opened(options.store) as store:
        try:
            entries = list(store.viewer.oplog(options.agent))
        except AgentNotFoundError:
            path = store_path(options.store)
            raise CommandError(
                f"the store {path} has no agent {options.agent}; `golem agent list` shows those it has"
            ) from None
        if options.format == "json":
            print_json(list(entry_values(entries, store.load)))
            return 0
        width = screen_width()
        rows = list(entry_rows(entries, store.load, width - _OTHER_COLUMNS))
    ink = Ink()
    if entries:
        began = moment(entries[0][1].timestamp)
        print(ink(f"{visible(options.agent)}, begun {began:%F %T %Z}", "bold"))
    cells = [_cells(row) for row in rows]
    header, *lines = table(_OPLOG_HEADERS, cells, width=width, elastic=4, right=(0, 3))
    print(ink(header, "dim"))
    for row, line in zip(rows, lines, strict=True):
        style = "red" if row.failed else "" if row.replayed else "dim"
        print(ink(line, style) if style else line)
    return 0


def _cells(row: EntryRow) -> list[str]:
    source = shorten_middle(visible(row.source), _LONGEST_SOURCE)
    return [str(row.index), row.time, row.kind, row.call, visible(row.text), source]

"""The oplog of an agent that uses every guard can be read from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from golem_sdk import (
    PersistenceLevel,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    durable,
    get_oplog_index,
    idempotence_mode,
    persistence_level,
    retry_policy,
)
from golem_sdk.cli.command_line import run_command_line

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FAILURES = [ConnectionError("busy")]


@durable
def dial(number: str) -> str:
    if FAILURES:
        raise FAILURES.pop()
    return f"{number} answers"


@agent
def switchboard(number: str) -> str:
    get_oplog_index()
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        dial("1")
    with retry_policy(RetryPolicy(min_delay=0)):
        dial("2")
    with idempotence_mode(False):
        dial("3")
    with atomically():
        return dial(number)


def test_every_entry_has_a_row_and_a_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    store = tmp_path / "store"
    FAILURES[:] = []
    with Runtime(store) as runtime:
        runtime.run(switchboard, "4")
        FAILURES[:] = [ConnectionError("busy")]
        runtime.run(retried, "5")
    for agent_id, words in [
        ('switchboard("4")', ["NoOp", "Level", "PERSIST_NOTHING", "Observed", "BeginWrite"]),
        ('retried("5")', ["Error", "attempt 1 failed"]),
    ]:
        arguments = ["agent", "oplog", agent_id, "--store", str(store)]
        assert run_command_line(arguments) == 0
        text = capsys.readouterr().out
        assert [word for word in words if word not in text] == []
        assert run_command_line([*arguments, "--format", "json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) > 4


@agent
def retried(number: str) -> str:
    with retry_policy(RetryPolicy(min_delay=0)):
        return dial(number)

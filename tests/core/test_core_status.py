"""What is shown of an agent after each kind of entry."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from golem_sdk.core.entries import (
    EndRemoteWrite,
    Error,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Log,
    OplogRegion,
    Revert,
    Suspend,
)
from golem_sdk.core.status import NEW_AGENT, AgentStatus, StatusRecord, fold_status, status_after
from golem_sdk.testing.histories import CREATE

if TYPE_CHECKING:
    from golem_sdk.core.entries import Entry

BUSY = StatusRecord(
    AgentStatus.FAILED,
    8,
    1,
    8,
    2,
    wake_at=7,
    invocation="k",
    error="e",
    error_code="c",
    error_type="E",
)
"""Every field has something in it."""


def test_before_the_first_entry() -> None:
    assert StatusRecord(AgentStatus.IDLE, 0, 0, 0, 0, 0, "", "", "", "") == NEW_AGENT


def test_the_first_entry() -> None:
    record = fold_status([(1, evolve(CREATE, timestamp=5))])
    assert record == StatusRecord(AgentStatus.IDLE, 1, created_at=5, updated_at=5)


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (
            ImportedFunctionInvoked(9, 1, "f", 1, b"", 0, b"", False, 0, 0),
            {"status": AgentStatus.RUNNING, "wake_at": 0, "error": ""},
        ),
        (
            ExportedFunctionInvoked(9, "key", "m", b""),
            {"status": AgentStatus.RUNNING, "wake_at": 0, "error": "", "invocation": "key"},
        ),
        (
            ExportedFunctionCompleted(9, b"", failed=False),
            {
                "status": AgentStatus.IDLE,
                "wake_at": 0,
                "error": "",
                "invocation": "",
                "completed": 3,
            },
        ),
        (EndRemoteWrite(9, 3), {"status": AgentStatus.RUNNING, "wake_at": 0, "error": ""}),
        (Suspend(9, 99), {"status": AgentStatus.SUSPENDED, "wake_at": 99}),
        (Suspend(9, 0), {"status": AgentStatus.SUSPENDED, "wake_at": 0}),
        (
            Revert(9, OplogRegion(4, 8), 1, "old"),
            {
                "status": AgentStatus.RUNNING,
                "wake_at": 0,
                "error": "",
                "completed": 1,
                "invocation": "old",
            },
        ),
        (
            Revert(9, OplogRegion(4, 8)),
            {
                "status": AgentStatus.IDLE,
                "wake_at": 0,
                "error": "",
                "completed": 0,
                "invocation": "",
            },
        ),
        (Log(9, "info", "", "hello"), {}),
    ],
    ids=map(str, count()),
)
def test_each_kind_of_entry(entry: Entry, changed: dict[str, object]) -> None:
    if "error" in changed:
        changed = {**changed, "error_code": "", "error_type": ""}
    expected = evolve(BUSY, last=9, updated_at=9, **changed)  # type: ignore[arg-type]  # a table's row
    assert status_after(BUSY, 9, entry) == expected


@pytest.mark.parametrize(
    ("begin", "call", "status"),
    [(0, 0, AgentStatus.FAILED), (3, 0, AgentStatus.RETRYING), (0, 4, AgentStatus.RETRYING)],
)
def test_a_failure_is_tried_again_if_it_names_what(
    begin: int, call: int, status: AgentStatus
) -> None:
    error = Error(9, "ValueError", "no", "code", begin, call, attempt=1, due=50)
    shown = status_after(BUSY, 9, error)
    assert shown == evolve(
        BUSY,
        status=status,
        last=9,
        updated_at=9,
        wake_at=50,
        error="no",
        error_code="code",
        error_type="ValueError",
    )


def test_statuses_are_golem_s_words() -> None:
    words = ["running", "idle", "suspended", "retrying", "failed"]
    assert [status.value for status in AgentStatus] == words

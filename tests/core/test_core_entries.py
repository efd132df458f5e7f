"""The table of entries: its numbers are stored, so they never change."""

from __future__ import annotations

from core.numbers_of_entries import HINTS, REPLAYED
from golem_sdk.core.delays import Failure
from golem_sdk.core.entries import ENTRY_KINDS, KIND_OF, Error, OplogRegion, Revert
from golem_sdk.core.function_type import ANNOUNCED, BATCH, COMMIT_TABLE, FunctionType


def test_numbers_are_for_ever() -> None:
    names = {code: kind.entry_class.__name__ for code, kind in ENTRY_KINDS.items()}
    assert names == REPLAYED | HINTS
    assert {code for code, kind in ENTRY_KINDS.items() if kind.replayed} == set(REPLAYED)
    assert all(kind.code == code for code, kind in ENTRY_KINDS.items())
    assert set(KIND_OF.values()) == set(ENTRY_KINDS.values())
    assert BATCH == "golem:durability/batch"


def test_a_failure_names_nothing_to_be_tried_again() -> None:
    parked = Error(1, "ValueError", "no", "code")
    assert (parked.begin, parked.call, parked.attempt, parked.due, parked.state) == (
        0,
        0,
        0,
        0,
        b"",
    )


def test_a_revert_to_before_all_invocations() -> None:
    reverted = Revert(1, OplogRegion(2, 3))
    assert (reverted.completed, reverted.invocation) == (0, "")


def test_a_failure_is_no_answer_and_asks_for_no_wait() -> None:
    failure = Failure(ValueError(), {}, 0.0, False, lambda: 0.5)
    assert (failure.status, failure.is_answer, failure.least_delay_s) == (None, False, 0.0)


def test_p4_the_commit_table() -> None:
    """What is shown to others waits for what led to it; other tasks go on while it takes its time."""
    remote = {kind for kind in FunctionType if "remote" in kind.label}
    writes = {kind for kind in remote if "write" in kind.label}
    assert {kind for kind, rule in COMMIT_TABLE.items() if rule.before} == writes
    assert {kind for kind, rule in COMMIT_TABLE.items() if rule.soon} == writes
    assert {kind for kind, rule in COMMIT_TABLE.items() if rule.parks} == remote
    assert writes - ANNOUNCED == {FunctionType.WRITE_REMOTE_TRANSACTION}

"""The promises of the design (its section 3), each with its checker, its suites and planted faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping  # attrs classes are resolved at run time
from pathlib import Path
from typing import Any

from attrs import frozen

from golem_sdk.testing import checkers
from promises import checkers as others
from promises import faults, runs
from promises.faults import Fault

__all__ = ["PROMISES", "Check", "Promise"]

Check = Callable[[Path, Any], Iterator[list[str]]]
"""Runs real code, in a directory and with a monkeypatch of its own, and gives what each run broke."""

MODES = "acceptance/test_acceptance_modes.py"
GUARDS = "guards/test_guards_crash.py"


@frozen
class Promise:
    """A promise.

    Attributes:
        text: it, in one line; and what is not checked of it.
        checkers: what finds it broken, in the values it is given.
        suites: test files that ask them, by the name that they call (the checker or what calls it).
        planted: for each fault what is run to see it; without a fault all of these find nothing.
    """

    text: str
    checkers: tuple[Callable[..., list[str]], ...]
    suites: Mapping[str, str]
    planted: Mapping[Fault, Check]


PROMISES: dict[str, Promise] = {
    "L1": Promise(
        "indices are dense and start at 1; entry 1 is Create",
        (checkers.check_l1,),
        {MODES: "violations", GUARDS: "broken_oplogs"},
        {faults.created_twice: runs.WRITES.broken},
    ),
    "L2": Promise(
        "an end names an earlier visible begin, which has one visible end at most",
        (checkers.check_l2,),
        {MODES: "violations", GUARDS: "broken_oplogs"},
        {faults.ended_twice: runs.GUARDS.broken},
    ),
    "R1": Promise(
        "the entry before a skipped region is visible when it is written: regions nest or stay apart",
        (checkers.check_r1,),
        {MODES: "violations", GUARDS: "broken_oplogs"},
        {faults.jumps_into_what_it_dropped: runs.AGAIN.broken},
    ),
    "R2": Promise(
        "a revert or jump leads to what is visible; not checked: forks, of which there are none yet",
        (checkers.check_r2, checkers.check_r1),
        {MODES: "violations", GUARDS: "broken_oplogs"},
        {faults.jumps_too_far: runs.AGAIN.broken},
    ),
    "P1": Promise(
        "replay performs no side effect and writes nothing before the first live call",
        (checkers.check_p1,),
        {MODES: "violations"},
        {faults.performs_in_replay: runs.WRITES.broken},
    ),
    "P2": Promise(
        "after any crash visible oplog, state and results are those of a run that never crashed",
        (checkers.check_p2,),
        {MODES: "violations"},
        {faults.objects_live_on: runs.WRITES.broken},
    ),
    "P3": Promise(
        "a remote write: at least once, once more per crash, under one key; else at most once, or it is told",
        (checkers.check_p3, checkers.check_p3_unknown),
        {MODES: "violations", GUARDS: "check_p3_unknown"},
        {
            faults.key_of_the_life: runs.WRITES.broken,
            faults.not_announced: runs.ONCE.broken,
            faults.unknown_outcome_of_nothing: runs.ONCE.broken,
        },
    ),
    "P4": Promise(
        "what is shown or told is on disk before",
        (checkers.check_p4,),
        {MODES: "violations"},
        {
            faults.shown_before_it_is_safe: runs.WRITES.broken,
            faults.shown_by_a_task_before_it_is_safe: runs.TOKENS.broken,
            faults.told_before_it_is_safe: runs.WRITES.broken,
        },
    ),
    "P5": Promise(
        "concurrent calls reach user code in replay in the order in which they did live",
        (checkers.check_p5,),
        {MODES: "violations"},
        {faults.hash_by_address: runs.RACES.broken},
    ),
    "P6": Promise(
        "a live value passes through the codec, too: it looks as it does in replay",
        (checkers.check_p6,),
        {MODES: "violations"},
        {faults.live_values_past_the_codec: runs.KEEPS.broken},
    ),
    "S1": Promise(
        "an agent's status is a pure fold over its oplog, in any split",
        (checkers.check_s1,),
        {MODES: "violations", GUARDS: "broken_oplogs"},
        {
            faults.status_by_itself: runs.WRITES.broken,
            faults.folded_anew: runs.WRITES.broken,
        },
    ),
    "S2": Promise(
        "decoding what was encoded is the identity; past formats: tests/golden, by their contents",
        (checkers.check_s2, others.check_s2_value),
        {MODES: "violations", "codec/test_codec_roundtrip.py": "check_s2_value"},
        {
            faults.forgets_a_field: runs.stored_entries,
            faults.dicts_lose_their_order: runs.stored_values,
        },
    ),
    "D1": Promise(
        "a divergence names agent, index and both calls with their lines; the agent is parked",
        (others.check_d1,),
        {"acceptance/test_acceptance_divergence.py": "check_d1"},
        {
            faults.lines_are_not_told: runs.changed_code,
            faults.not_parked: runs.changed_code,
        },
    ),
    "D2": Promise(
        "no silent loss of durability. Checked: crash fuzzing tells what agent code does past every durable"
        " call (audit events, writing C functions) with file and line; a running agent is warned of audit"
        " events, once for each line",
        (others.check_d2, others.check_d2_running),
        {
            "testing/test_testing_fuzz_agents.py": "check_d2",
            "intercept/test_intercept_net.py": "check_d2_running",
        },
        {
            faults.events_unseen: runs.past_the_journal,
            faults.not_warned: runs.past_the_journal_unwatched,
            faults.warned_again: runs.past_the_journal_unwatched,
        },
    ),
    "C1": Promise(
        "commit order equals index order, without a gap after a crash",
        (checkers.check_c1,),
        {MODES: "violations"},
        {faults.commits_backwards: runs.BUSY.broken},
    ),
    "X1": Promise(
        "one owner per store: a second one gets a clear error, a stale one's append is refused",
        (checkers.check_x1, others.check_x1_lock),
        {MODES: "violations", "storage/test_storage_owner.py": "check_x1_lock"},
        {
            faults.claims_are_puts: runs.stale_owner,
            faults.lock_for_nothing: runs.two_owners,
        },
    ),
    "K1": Promise(
        "nothing executable is stored or read; what cannot be stored fails before its call is done",
        (others.check_k1, others.check_k1_refused),
        {
            "hostile/test_hostile_classes.py": "check_k1",
            "acceptance/test_acceptance_bad_input.py": "check_k1_refused",
        },
        {
            faults.imports_what_it_reads: runs.hostile_data,
            faults.calls_constructors: runs.hostile_data,
            faults.stores_a_text_instead: runs.unstorable_value,
        },
    ),
    "K2": Promise(
        "damage is noticed by checksums and indices; a damaged agent is set aside, the others run on",
        (others.check_k2,),
        {"storage/test_storage_agents_damage.py": "check_k2"},
        {
            faults.checksums_unread: runs.damaged_agent,
            faults.gaps_unseen: runs.damaged_agent,
        },
    ),
}

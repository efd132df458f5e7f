"""The demo's final check notices everything that it is there to notice."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from golem_sdk.cli.demo.ledger import Ledger, Row, read_ledger
from golem_sdk.cli.demo.report import report_lines, report_values
from golem_sdk.cli.demo.shop import (
    CHARGE,
    RESERVE,
    SHIP,
    SUMMARIZE,
    answer_to,
    effects_of_order,
    effects_of_topic,
    order_named,
    pages_of,
    summary_words,
)
from golem_sdk.cli.demo.verdict import Recovery, Verdict, check_effects, check_results
from golem_sdk.cli.output import Ink

EXPECTED = [(CHARGE, "order-1"), (SHIP, "order-1")]


def row(endpoint: str, key: str | None, label: str = "l", **changes: Any) -> Row:
    first = Row(1, 0.0, endpoint, "order-1", key, {"cents": 5, "label": label}, False, False)
    return evolve(first, **changes)


CALM = [row(CHARGE, "a"), row(SHIP, "b")]


def found(rows: list[Row]) -> dict[str, tuple[Any, ...]]:
    return {
        check.endpoint: (check.happened, check.lost, check.twice, check.wrong, check.ok)
        for check in check_effects(EXPECTED, rows, CALM)
    }


FINE = (1, (), (), (), True)


def test_everything_once_is_fine() -> None:
    assert found(CALM) == {CHARGE: FINE, SHIP: FINE}


def test_repetitions_under_one_key_are_fine_and_counted() -> None:
    rows = [row(CHARGE, "a"), row(CHARGE, "a", repeated=True), row(SHIP, "b")]
    assert found(rows) == {CHARGE: FINE, SHIP: FINE}
    assert [len(check.repeated) for check in check_effects(EXPECTED, rows, CALM)] == [1, 0]


def test_a_lost_effect_is_noticed() -> None:
    assert found([row(CHARGE, "a")])[SHIP] == (0, ("order-1",), (), (), False)


@pytest.mark.parametrize("key", ["c", None])
def test_a_second_effect_is_noticed(key: str | None) -> None:
    assert found([*CALM, row(CHARGE, key)])[CHARGE] == (1, (), ("order-1",), (), False)


def test_an_effect_without_a_key_is_noticed() -> None:
    assert found([row(CHARGE, None), row(SHIP, "b")])[CHARGE] == (1, (), ("order-1",), (), False)


@pytest.mark.parametrize(
    "wrong",
    [
        row(CHARGE, "a", body={"cents": 6, "label": "l"}),
        row(CHARGE, "a", subject="order-9"),
    ],
)
def test_a_wrong_effect_is_noticed(wrong: Row) -> None:
    _, _, _, names, ok = found([wrong, row(SHIP, "b")])[CHARGE]
    assert (names, ok) == ((wrong.subject,), False)


def test_a_key_used_for_two_things_is_noticed() -> None:
    conflict = row(CHARGE, "a", repeated=True, conflict=True)
    assert found([*CALM, conflict])[CHARGE] == (1, (), (), ("order-1",), False)


def test_an_effect_that_nobody_expected_is_noticed() -> None:
    assert found([*CALM, row("/other", "x")])["/other"] == (1, (), (), ("order-1",), False)


def test_results_must_be_there_and_right() -> None:
    right = {"order-1": {"cents": 5, "label": "x", "begun": "now"}}
    reference = {"order-1": {"cents": 5, "label": "y", "begun": "then"}}
    assert check_results(["order-1"], right, reference, []).ok
    assert check_results(["order-1"], {}, reference, []).different == ("order-1",)
    wrong = {"order-1": {"cents": 6, "label": "x"}}
    assert check_results(["order-1"], wrong, reference, []).different == ("order-1",)


def test_a_random_number_that_was_drawn_again_is_noticed() -> None:
    result = {"order-1": {"label": "l"}}
    assert check_results(["order-1"], result, result, CALM).ok
    again = [row(CHARGE, "a"), row(SHIP, "b", label="another")]
    assert check_results(["order-1"], result, result, again).relabelled == ("order-1",)


def test_the_ledger_gives_each_key_one_effect(tmp_path: Any) -> None:
    ledger = Ledger(tmp_path / "ledger")
    first = ledger.witness(CHARGE, "o", "key", {"cents": 1})
    again = ledger.witness(CHARGE, "o", "key", {"cents": 1})
    other = ledger.witness(CHARGE, "o", "key", {"cents": 2})
    keyless = [ledger.witness(CHARGE, "o", None, {}) for _ in range(2)]
    assert [(r.repeated, r.conflict) for r in (first, again, other, *keyless)] == [
        (False, False),
        (True, False),
        (True, True),
        (False, False),
        (False, False),
    ]
    assert read_ledger(tmp_path / "ledger") == [first, again, other, *keyless]


def test_the_shop_is_the_same_everywhere() -> None:
    order = order_named("order-1")
    assert order == order_named("order-1") != order_named("order-2")
    effects = effects_of_order("order-1")
    assert len(effects) == len(order.lines) + 2 == len(set(effects))
    for line in order.lines:
        body = {"order": "order-1", "item": line.item, "quantity": line.quantity}
        subject, answer = answer_to(RESERVE, body)
        assert (RESERVE, subject) in effects
        assert answer["reserved"] == line.quantity
    assert effects_of_topic("tides") == [(SUMMARIZE, "tides")]
    assert answer_to(SUMMARIZE, {"topic": "tides"}) == ("tides", {"words": summary_words("tides")})
    assert pages_of("tides")[0] == "/pages/tides/1"


def verdict(rows: list[Row]) -> Verdict:
    results = check_results(["order-1"], {"order-1": {}}, {"order-1": {}}, rows)
    recoveries = (Recovery(2, 30, 20, 0.25, 0.5), Recovery(2, 30, 20, None, None))
    return Verdict(check_effects(EXPECTED, rows, CALM), results, recoveries, seed=7)


def test_the_report_tells_a_good_end() -> None:
    repeated = row(CHARGE, "a", repeated=True)
    lines = list(report_lines(verdict([*CALM, repeated, repeated]), Ink(), 100))
    assert lines[-1] == (
        "PASSED: killed 2 times; all 2 effects happened exactly once, all 1 results are right."
    )
    assert "/payments/charge  order-1 (2x)" in lines
    assert [line.split()[:4] for line in lines if line.startswith("   1")] == [
        ["1", "2", "30", "20"]
    ]
    assert "killed before" in lines[-3]
    assert max(map(len, lines)) <= 100


def test_the_report_tells_a_bad_end() -> None:
    bad = verdict([row(CHARGE, "a"), row(CHARGE, "c")])
    lines = list(report_lines(bad, Ink(), 100))
    assert lines[-1].startswith("FAILED: after 2 kills")
    assert "TWICE /payments/charge order-1" in lines
    assert "LOST /shipping/ship order-1" in lines
    values = report_values(bad)
    assert (values["passed"], values["effects"][0]["twice"]) == (False, ["order-1"])

"""Every example gives the same when it is killed and started again as when it is left alone."""

from __future__ import annotations

import json
import random
import re
import runpy
from typing import TYPE_CHECKING

import pytest

from examples.crashing import EXAMPLES, complete_lines, run, run_killed, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 3


@pytest.fixture
def dice(fuzz_seed: int, request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{fuzz_seed} {request.node.name}")


def stores(tmp_path: Path) -> tuple[dict[str, str], dict[str, str]]:
    return {"GOLEM_STORE": str(tmp_path / "calm")}, {"GOLEM_STORE": str(tmp_path / "crashed")}


def last_line(output: str) -> str:
    return output.rstrip("\n").rpartition("\n")[2]


def test_p2_quickstart_keeps_its_throws(tmp_path: Path, dice: random.Random) -> None:
    _, crashed = stores(tmp_path)
    outputs = run_killed("quickstart.py", crashed, KILLS, dice, most_bytes=60)
    result = json.loads(last_line(outputs[-1]).removeprefix("result: "))
    assert len(result) == 10
    throws = [re.fullmatch(r"throw (\d+) of 10: (\d)", line) for line in complete_lines(outputs)]
    shown = [(int(throw[1]), int(throw[2])) for throw in throws if throw]
    assert shown
    assert all(result[number - 1] == eyes for number, eyes in shown)
    assert run("quickstart.py", crashed) == f"result: {result}\n"


def test_p2_counter_counts_each_key_once(tmp_path: Path, dice: random.Random) -> None:
    calm, crashed = stores(tmp_path)
    outputs = run_killed("counter.py", crashed, KILLS, dice, most_bytes=80)
    assert last_line(outputs[-1]) == last_line(run("counter.py", calm)) == "total: 210"
    sums = {f"a + {n} = {n * (n + 1) // 2}" for n in range(1, 21)}
    assert set(complete_lines(outputs)) <= sums | {"total: 210"}


def test_p2_fan_out_finds_the_same(tmp_path: Path, dice: random.Random) -> None:
    calm, crashed = stores(tmp_path)
    undisturbed = run("fan_out.py", calm)
    outputs = run_killed("fan_out.py", crashed, KILLS, dice, most_bytes=60)
    assert last_line(outputs[-1]) == last_line(undisturbed) == "warmest: Bergen"
    degrees = {line.partition(",")[0] for line in undisturbed.splitlines()}
    assert {line.partition(",")[0] for line in complete_lines(outputs)} <= degrees


def test_p2_reserving_and_charging_happen_once_per_order(
    tmp_path: Path, dice: random.Random
) -> None:
    _, crashed = stores(tmp_path)
    outputs = run_killed("reserve_and_charge.py", crashed, KILLS, dice, most_bytes=120)
    assert last_line(outputs[-1]) == "done"
    done = sorted(path.name for path in (tmp_path / "crashed-outside").glob("*.json"))
    for service in ("bank", "warehouse"):
        assert sum(name.startswith(service) for name in done) == 3, "P3: one key per effect"
    payouts = [name.split("-")[1] for name in done if name.startswith("payout")]
    assert len(payouts) == len(set(payouts)), "P3: idempotence off, at most once"


def test_p2_a_trip_is_booked_or_cancelled(tmp_path: Path, dice: random.Random) -> None:
    calm, crashed = stores(tmp_path)
    outputs = run_killed("trip.py", crashed, KILLS, dice, most_bytes=60)
    whole = run("trip.py", calm)
    assert outputs[-1] == whole
    assert whole.splitlines()[-3:] == [
        "cancelled: hotel for Bob",
        "cancelled: flight for Bob",
        "no trip: no car left for Bob",
    ]


def test_p2_each_label_is_printed_once(tmp_path: Path, dice: random.Random) -> None:
    calm, crashed = stores(tmp_path)
    whole = run("label_printer.py", calm)
    assert "Gus: job 7" in whole.splitlines()
    outputs = run_killed("label_printer.py", crashed, KILLS, dice, most_bytes=60)
    assert last_line(outputs[-1]) == last_line(whole)
    assert set(complete_lines(outputs)) <= set(whole.splitlines())
    spool = tmp_path / "crashed-labels"
    assert len(list(spool.glob("*.label"))) == 7, "P3: one key per label"


def test_p3_each_salary_is_paid_once(tmp_path: Path, dice: random.Random) -> None:
    calm, crashed = stores(tmp_path)
    whole = run("ledger_transfer.py", calm)
    assert last_line(whole) == "5 asked, 4 paid, 10000 cents in the bank"
    outputs = run_killed("ledger_transfer.py", crashed, KILLS, dice, most_bytes=120)
    assert last_line(outputs[-1]) == last_line(whole), "P3: exactly once"
    assert set(complete_lines(outputs)) <= set(whole.splitlines())


def test_a_flaky_supplier_is_asked_again(tmp_path: Path) -> None:
    calm, _ = stores(tmp_path)
    assert run("flaky_supplier.py", calm).splitlines() == [
        "screws: 42 in stock",
        "nails: 35 in stock",
        "glue: unknown, the supplier of glue does not answer",
        "candles: unknown, nobody makes candles any more",
    ]


@pytest.fixture
def model(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The fake model as a process that outlives its clients: its URL, and what it was asked."""
    asked = tmp_path / "asked"
    with (
        asked.open("wb") as log,
        start("fake_llm.py", {}, "0", stderr=log.fileno()) as server,
    ):
        assert server.stdout is not None
        yield server.stdout.readline().decode().strip(), asked
        server.kill()


def test_p3_a_story_is_told_to_its_end(
    tmp_path: Path, dice: random.Random, model: tuple[str, Path]
) -> None:
    url, asked = model
    provider = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    _, crashed = stores(tmp_path)
    outputs = run_killed("llm_stream.py", crashed | provider, 2, dice, most_bytes=120)
    story = runpy.run_path(str(EXAMPLES / "fake_llm.py"))["STORY"]
    assert last_line(outputs[-1]) == f"result: {story}"
    assert set(asked.read_text().splitlines()) == {"asked with key 'story about durability'"}

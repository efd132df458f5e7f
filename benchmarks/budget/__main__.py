"""``python -m benchmarks.budget``: count the hot paths and compare with the recorded budget.

Exits with 1 if something takes more than it may, and with 0 and the reason if it cannot tell here.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict

from benchmarks.budget.counting import Counts, count_everything
from benchmarks.budget.ledger import BUDGET, compared, dumps, loads
from benchmarks.report import aligned

if TYPE_CHECKING:
    from benchmarks.budget.ledger import Line


def main() -> int:
    options = _options()
    budget = None if options.record else loads(options.budget.read_text())
    if budget is not None and budget.python != (here := _python(options)):
        print(f"not judged: the budget is for Python {budget.python}, and this is {here}")
        return 0
    counts = (
        Counts(**json.loads(options.counts.read_text())) if options.counts else count_everything()
    )
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(counts), indent=1) + "\n")
    for reason in counts.skipped:
        print(f"not counted: {reason}")
    if budget is None:
        if counts.skipped:
            print("nothing was recorded: a budget that lacks something would not guard it")
            return 1
        options.budget.write_text(dumps(counts))
        return 0
    return _judge(compared(budget, counts))


def _judge(lines: list[Line]) -> int:
    print("\n".join(aligned([("", "budget", "counted", ""), *map(_row, lines)], {0, 3})))
    broken = [line for line in lines if line.is_broken]
    if broken:
        print(
            f"\n{len(broken)} counts are not within their budget. Find what has become dearer; or, if it is"
            " worth that, run `python -m benchmarks.budget --record` and say why in the commit"
        )
    elif any(line.verdict for line in lines):
        print(
            "\nSome are less than their budget: `python -m benchmarks.budget --record` keeps that"
        )
    return 1 if broken else 0


def _row(line: Line) -> tuple[str, ...]:
    return line.name, _number(line.budget), _number(line.counted), line.verdict


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}".removesuffix(".00")


def _python(options: argparse.Namespace) -> str:
    if options.counts:
        return str(json.loads(options.counts.read_text())["python"])
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--record", action="store_true", help="make what is counted the budget")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was counted there")
    parser.add_argument(
        "--counts", type=Path, metavar="FILE", help="take what --json wrote, and count nothing"
    )
    parser.add_argument(
        "--budget", type=Path, default=BUDGET, metavar="FILE", help="another budget (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

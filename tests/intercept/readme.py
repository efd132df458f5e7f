"""The README's table of interceptors, made from `golem_sdk.intercept.table`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.table import TABLE
from proof.report import with_section
from proof.suites import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from golem_sdk.intercept.interceptor import Interceptor, Replaced

__all__ = ["MARKS", "README", "renewed", "table"]

README = ROOT / "README.md"
MARKS = (
    "<!-- what `python tests/write_interceptors.py` writes, begin -->\n",
    "<!-- what `python tests/write_interceptors.py` writes, end -->\n",
)


def table(rows: Iterable[Interceptor] = TABLE) -> str:
    """One row for each interceptor, in Markdown."""
    head = [
        "| for | tested with | functions, and what a call of them becomes | limits |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *map(_line, rows)]) + "\n"


def renewed(readme: str) -> str:
    """The README with the table as it must be.

    Raises:
        ValueError: it does not have the two marks.
    """
    return with_section(readme, table(), MARKS)


def _line(row: Interceptor) -> str:
    whose = f"Python: {row.name}" if row.library == PYTHON else f"`{row.library}`"
    tested = " to ".join(dict.fromkeys(row.tested))
    alike = groupby(row.replaces, lambda replaced: replaced.treatments)
    functions = "<br>".join(
        f"{', '.join(map(_functions, each))}: *{' or '.join(it.value for it in treatments)}*"
        for treatments, each in alike
    )
    return f"| {whose} | {tested} | {functions or 'none'} | {row.limits} |"


def _functions(replaced: Replaced) -> str:
    first, *others = replaced.names
    return ", ".join([f"`{replaced.owner}.{first}`", *(f"`.{name}`" for name in others)])

"""The README's table of interceptors is the one that the code has."""

from __future__ import annotations

import pytest

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment
from golem_sdk.intercept.table import TABLE
from intercept.readme import MARKS, README, renewed, table


def test_the_readme_shows_the_table() -> None:
    readme = README.read_text()
    assert renewed(readme) == readme, "run: python tests/write_interceptors.py"


def test_every_function_and_limit_is_in_it() -> None:
    shown = table()
    for row in TABLE:
        assert row.limits in shown
        for replaced in row.replaces:
            first, *others = replaced.names
            assert f"`{replaced.owner}.{first}`" in shown
            assert all(f"`.{name}`" in shown for name in others)


def test_a_row() -> None:
    row = Interceptor(
        name="shop",
        library="paper_shop",
        tested=("1", "2"),
        replaces=(
            Replaced("shop", "buy sell", (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE)),
            Replaced("shop", "shut", Treatment.REFUSED),
            Replaced("shop.Till", "rob", Treatment.REFUSED),
        ),
        limits="not on Sundays",
    )
    assert table([row]).splitlines()[2] == (
        "| `paper_shop` | 1 to 2 | `shop.buy`, `.sell`: *read-remote or write-remote*<br>`shop.shut`, "
        "`shop.Till.rob`: *refused*"
        " | not on Sundays |"
    )


def test_without_marks_nothing_is_written() -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed(f"{MARKS[0]}no end")

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.cli.output import (
    Ink,
    cell_width,
    pad,
    print_json,
    screen_width,
    shorten,
    shorten_middle,
    table,
    visible,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer, 日本", "größer, 日本"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028end", "line\\u2028end"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_visible_shows_what_could_act(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_text_is_inert(text: str) -> None:
    shown = visible(text)
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert not set(shown) & set("\n\r\t\x0b\x0c\x1b\x85\u2028\u2029")
    shown.encode()


@given(ANY_TEXT.map(visible), st.integers(min_value=1, max_value=40))
def test_shortened_text_fits(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_width(short) <= width
    assert short == text or short.endswith("…")


@given(ANY_TEXT.map(visible), st.integers(min_value=0, max_value=40))
def test_padding_fills_cells(text: str, more: int) -> None:
    width = cell_width(text) + more
    assert cell_width(pad(text, width)) == cell_width(pad(text, width, right=True)) == width


def test_shorten_middle_keeps_both_ends() -> None:
    assert (
        shorten_middle("POST http://shop.example/payments/charge", 22) == "POST ht…ayments/charge"
    )
    assert shorten_middle("short", 22) == "short"


def test_table_is_aligned_and_only_one_column_gives_way() -> None:
    rows = [["a" * 50, "1", "x"], ["日本", "22", "yy"]]
    lines = table(("NAME", "N", "WORD"), rows, width=30, elastic=0, right=(1,))
    assert lines == [
        "NAME                   N  WORD",
        "aaaaaaaaaaaaaaaaaaa…   1  x",
        "日本                  22  yy",
    ]
    assert max(map(cell_width, lines)) <= 30


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Ink(Terminal())("x", "red", "bold") == "\x1b[31;1mx\x1b[0m"
    assert Ink(Terminal())("x") == "x"
    assert Ink(io.StringIO())("x", "red") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Ink(Terminal())("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Ink(Terminal())("x", "red") == "x"


def test_width_is_a_hundred_unless_somebody_knows_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert screen_width(io.StringIO()) == 100
    monkeypatch.setenv("COLUMNS", "150")
    assert screen_width(io.StringIO()) == 150
    monkeypatch.setenv("COLUMNS", "3")
    assert screen_width(sys.__stdout__) == 40


def test_json_is_inert(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "\x1b[2J\u202e"})
    assert capsys.readouterr().out == '{\n  "text": "\\u001b[2J\\u202e"\n}\n'

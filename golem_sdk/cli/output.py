"""What commands print: inert text, aligned tables, JSON, YAML.

Everything that comes out of a store was written by somebody else. `visible` makes it inert: no control,
format or bidirectional character reaches the terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CommandError",
    "Ink",
    "cell_width",
    "counted",
    "pad",
    "print_json",
    "print_yaml",
    "screen_width",
    "shorten",
    "shorten_middle",
    "table",
    "visible",
]

_PLAIN_WIDTH = 100
_NARROWEST = 8
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class CommandError(Exception):
    """A command cannot do what was asked; its text says why, in a line.

    Attributes:
        status: the exit status: 1 it failed, 2 it was called wrongly.
    """

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def visible(text: str) -> str:
    r"""The text with every character that could act on a terminal shown as an escape.

    >>> visible("a\x1b[2Jb\u202ec\n")
    'a\\x1b[2Jb\\u202ec\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 agent``, ``2 agents``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cell_width(text: str) -> int:
    """How many terminal cells the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis, in at most ``width`` cells."""
    if cell_width(text) <= width:
        return text
    kept, room = [], width - 1
    for character in text:
        room -= _character_width(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def shorten_middle(text: str, width: int) -> str:
    """The text, or its beginning, an ellipsis and its end, in about ``width`` characters."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled up with spaces to ``width`` cells; ``right`` moves it to the right edge."""
    space = " " * (width - cell_width(text))
    return space + text if right else text + space


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    elastic: int,
    right: Sequence[int] = (),
) -> list[str]:
    """Aligned lines of at most ``width`` cells, headers first.

    Args:
        headers: one word per column.
        rows: cells; their text has to be inert already.
        width: cells per line.
        elastic: number of the column that gives way when a line is too long.
        right: numbers of the columns that are aligned to the right.
    """
    widths = [max(map(cell_width, column)) for column in zip(headers, *rows, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    if excess > 0:
        widths[elastic] = max(_NARROWEST, widths[elastic] - excess)
    lines = []
    for row in (headers, *rows):
        cells = [
            pad(shorten(cell, size), size, right=column in right)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def screen_width(stream: TextIO | None = None) -> int:
    """Cells per line: the terminal's, or COLUMNS, or 100 where the output goes elsewhere."""
    stream = stream or sys.stdout
    if stream.isatty() or "COLUMNS" in os.environ:
        return max(40, shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns)
    return _PLAIN_WIDTH


def print_json(value: object) -> None:
    """Print plain data as JSON; all characters outside ASCII are escaped, so it is inert, too."""
    print(json.dumps(value, indent=2))


def print_yaml(value: object) -> None:
    """Print plain data as YAML; texts are written as in JSON, which YAML understands and which is inert."""
    print("\n".join(_yaml_lines(value)))


def _yaml_lines(value: object) -> list[str]:
    match value:
        case dict() if value:
            return [
                line
                for key, item in value.items()
                for line in _yaml_item(f"{json.dumps(str(key))}:", item, "  ")
            ]
        case list() if value:
            return [line for item in value for line in _yaml_item("-", item, "  ")]
    return [json.dumps(value)]


def _yaml_item(head: str, item: object, indent: str) -> list[str]:
    lines = _yaml_lines(item)
    if isinstance(item, dict | list) and item:
        return [head, *(indent + line for line in lines)]
    return [f"{head} {lines[0]}"]


class Ink:
    """Colours text for a terminal, and leaves it alone elsewhere or where NO_COLOR is set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdout
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.colourful = stream.isatty() and not plain

    def __call__(self, text: str, *styles: str) -> str:
        """The text in these styles (bold, dim, red, green, yellow, cyan)."""
        if not self.colourful or not styles:
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

"""From a file's text to findings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.lint.module import Module
from golem_sdk.lint.rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from golem_sdk.lint.module import Part

__all__ = ["Finding", "check"]

_NOQA = re.compile(r"#\s*noqa\b(?::\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?", re.IGNORECASE)


@frozen(order=True)
class Finding:
    """Something in agent code that cannot be repeated by replay.

    Attributes:
        line, column: where, from 1.
        code: of the rule.
        message: what, in which function, and what replay makes of it.
        fix: what to write instead.
    """

    line: int
    column: int
    code: str
    message: str
    fix: str


def check(text: str, rules: Iterable[Rule] = RULES) -> list[Finding]:
    """What the rules find in the text of a module, in the order of its lines.

    Raises:
        SyntaxError: it is no Python; also where it is nested too deeply.
    """
    try:
        tree = ast.parse(text)
        parts = Module(tree).parts()
        found = {each for rule in rules for part in parts for each in _findings(rule, part)}
    except (ValueError, RecursionError, MemoryError) as error:  # zero bytes; no end of parentheses
        raise SyntaxError(str(error) or "it is nested too deeply") from None
    if not found:
        return []
    silenced = _silenced(text)
    return sorted(each for each in found if not _is_silenced(each, silenced.get(each.line)))


def _findings(rule: Rule, part: Part) -> Iterator[Finding]:
    for node, what in rule.check(part):
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        message = f"{what} in {part.name}(): {rule.why}"
        yield Finding(line, column, rule.code, message, rule.fix)


def _silenced(text: str) -> dict[int, str]:
    """By line: the codes after ``# noqa:``, or ``""`` for all."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _NOQA.search(token.string)):
            found[token.start[0]] = (match["codes"] or "").upper()
    return found


def _is_silenced(finding: Finding, codes: str | None) -> bool:
    return codes is not None and (not codes or finding.code in re.split(r"[,\s]+", codes))

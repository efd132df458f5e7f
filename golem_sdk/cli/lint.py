"""``golem lint``: what replay could not repeat, found in the text of agents before they run."""

from __future__ import annotations

import argparse
import os
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict

from golem_sdk.cli.output import CommandError, Ink, print_json, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from golem_sdk.lint.check import Finding
    from golem_sdk.lint.rules import Rule

__all__ = ["add_lint_command"]

_WRONG = 2
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
_DESCRIPTION = """\
Reads Python files, without running them, and looks for what agents may not do: side effects that are not
journaled, and decisions that another process would take otherwise. Looked at are functions and classes with
@agent and what they mention of the same module; other modules are not followed. `golem lint --rules` lists
the rules; `# noqa: GLM003` at the end of a line silences one there.

Exit status 0: nothing was found; 1: something was; 2: called wrongly, or a file is no readable Python."""


def add_lint_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lint``."""
    parser = commands.add_parser(
        "lint",
        help="find in the text of agents what replay could not repeat",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or directories")
    parser.add_argument("--select", type=_codes, metavar="CODES", help="only these: GLM001,GLM004")
    parser.add_argument("--ignore", type=_codes, metavar="CODES", default=[], help="all but these")
    parser.add_argument("--rules", action="store_true", help="list the rules")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_lint)


def _codes(text: str) -> list[str]:
    return [each.strip().upper() for each in text.split(",") if each.strip()]


def _lint(options: argparse.Namespace) -> int:
    rules = _chosen(options.select, options.ignore)
    if options.rules:
        _print_rules(rules, options.format)
        return 0
    if not options.paths:
        raise CommandError("say which files or directories: golem lint PATH...", status=_WRONG)
    findings: list[tuple[Path, Finding]] = []
    unread: list[tuple[Path, str]] = []
    count = 0
    for path in _files(options.paths):
        count += 1
        found = _checked(path, rules)
        if isinstance(found, str):
            unread.append((path, found))
        else:
            findings += [(path, each) for each in found]
    if options.format == "json":
        _print_json(findings, unread, count)
    else:
        _print_text(findings, count)
    for path, why in unread:
        print(f"golem: {visible(str(path))}: {visible(why)}", file=sys.stderr)
    return _WRONG if unread else int(bool(findings))


def _chosen(select: list[str] | None, ignore: list[str]) -> list[Rule]:
    from golem_sdk.lint.rules import RULES

    known = {rule.code for rule in RULES}
    if unknown := sorted({*(select or ()), *ignore} - known):
        raise CommandError(
            f"there is no rule {', '.join(unknown)}; golem lint --rules lists them", status=_WRONG
        )
    return [r for r in RULES if (select is None or r.code in select) and r.code not in ignore]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The given files, and the Python files below the given directories; each once."""
    seen = set()
    for path in paths:
        if not path.exists():
            raise CommandError(f"there is no {path}", status=_WRONG)
        try:
            files = [*_below(path)] if path.is_dir() else [path]
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}", status=_WRONG) from None
        for file in files:
            if (place := os.path.realpath(file)) not in seen:
                seen.add(place)
                yield file


def _below(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            others = path.name.startswith(".") or path.name in _SKIPPED
            if not others and not path.is_symlink() and not (path / "pyvenv.cfg").exists():
                yield from _below(path)
        elif path.suffix == ".py":
            yield path


def _checked(path: Path, rules: Sequence[Rule]) -> list[Finding] | str:
    """What is found in a file, or why it cannot be read."""
    from golem_sdk.lint.check import check

    try:
        with tokenize.open(path) as file:  # it says itself in which encoding it is
            text = file.read()
        return check(text, rules)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        return f"it is no Python of this version{where}: {error.msg}"
    except (OSError, UnicodeError) as error:
        return f"it cannot be read: {error}"


# --- what is printed ------------------------------------------------------------------------------


def _print_text(findings: Sequence[tuple[Path, Finding]], count: int) -> None:
    ink = Ink()
    for path, each in findings:
        place = f"{visible(str(path))}:{each.line}:{each.column}"
        print(f"{ink(place, 'bold')}: {ink(each.code, 'red')} {visible(each.message)}")
        print(f"    fix: {visible(each.fix)}")
    files = f"{count} file{'s' * (count != 1)}"
    found = f"{len(findings)} finding{'s' * (len(findings) != 1)}" if findings else "nothing found"
    print(f"{found} in {files}")


def _print_json(
    findings: Sequence[tuple[Path, Finding]], unread: Sequence[tuple[Path, str]], count: int
) -> None:
    print_json(
        {
            "files": count,
            "findings": [{"path": str(path), **asdict(each)} for path, each in findings],
            "unreadable": [{"path": str(path), "error": why} for path, why in unread],
        }
    )


def _print_rules(rules: Sequence[Rule], form: str) -> None:
    if form == "json":
        names = ("code", "finds", "why", "fix", "bad", "good")
        print_json([{name: getattr(rule, name) for name in names} for rule in rules])
        return
    ink = Ink()
    for rule in rules:
        print(f"{ink(rule.code, 'bold')}  {rule.finds}")
        print(f"        why: {rule.why}")
        print(f"        fix: {rule.fix}")

"""``golem doctor --libraries``: what is intercepted here, and what is not and why."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from golem_sdk.cli.output import Ink, print_json, table, visible

if TYPE_CHECKING:
    from golem_sdk.doctor.libraries import Patched

__all__ = ["look_at_libraries"]

_WIDTH = 110
_NOTHING = "not intercepted: nothing that agents do through it is recorded"


def look_at_libraries(form: str) -> int:
    """Print it; gives the exit status: 1 if something is not intercepted that should be."""
    from golem_sdk.doctor.libraries import patched

    found, others = patched(), _uncovered()
    if form == "json":
        print_json({"libraries": [_values(each) for each in found], "not_intercepted": others})
    else:
        _print(found, others)
    return int(any(each.problems for each in found))


def _print(found: tuple[Patched, ...], others: dict[str, str]) -> None:
    rows = [
        [each.library.name, each.library.installed or "", _tested(each), _state(each)]
        for each in found
    ]
    rows += [[name, number, "", _NOTHING] for name, number in others.items()]
    cells = [[visible(cell) for cell in row] for row in rows]
    headers = ["library", "here", "tested with", "agents' calls"]
    print("\n".join(table(headers, cells, width=_WIDTH, elastic=3)))
    ink = Ink()
    for each in found:
        for problem in each.problems:
            print(ink(f"warning: {visible(problem)}", "yellow"))


def _state(each: Patched) -> str:
    if each.library.installed is None:
        return "not installed"
    if not each.functions:
        return "not intercepted: see below"
    count = (
        f"intercepted, {len(each.functions)} function{'s' * (len(each.functions) != 1)} replaced"
    )
    return f"{count}; see below" if each.problems else count


def _tested(each: Patched) -> str:
    return " to ".join(dict.fromkeys(each.library.tested))


def _uncovered() -> dict[str, str]:
    """Other libraries that are installed here and talk to the outside, each with its version."""
    from golem_sdk.lint.names import UNCOVERED

    homes = packages_distributions()
    found = {}
    for package in UNCOVERED:
        if find_spec(package) is not None:
            name = homes.get(package, [package])[0]
            found[name] = _version(name)
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _values(each: Patched) -> dict[str, Any]:
    library = each.library
    return {
        "name": library.name,
        "installed": library.installed,
        "tested": list(library.tested),
        "is_tested": library.is_tested,
        "interceptors": library.interceptors,
        "functions": list(each.functions),
        "problems": list(each.problems),
    }

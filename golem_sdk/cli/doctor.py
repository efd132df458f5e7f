"""``golem doctor``: how a store is, what is damaged in it, and saving the rest into a new one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from golem_sdk.app import store_path
from golem_sdk.cli.libraries import look_at_libraries
from golem_sdk.cli.output import CommandError, Ink, counted, pad, print_json, visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from golem_sdk.doctor.findings import Findings
    from golem_sdk.doctor.health import Health
    from golem_sdk.doctor.libraries import Library
    from golem_sdk.doctor.repair import Repair

__all__ = ["add_doctor_command"]

_LABEL = 12
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def add_doctor_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor``."""
    parser = commands.add_parser("doctor", help="say how a store is; find damage, save the rest")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--verify", action="store_true", help="read everything; list what is wrong, agent by agent"
    )
    what.add_argument(
        "--repair", type=Path, metavar="NEW_STORE", help="save what is whole into a new store"
    )
    what.add_argument(
        "--libraries",
        action="store_true",
        help="import the libraries that are installed here, and say what is intercepted of them",
    )
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="default: GOLEM_STORE, or .golem here"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    if options.libraries:
        return look_at_libraries(options.format)
    path = store_path(options.store)
    if not path.exists():
        raise CommandError(f"there is no store at {path}")
    if options.verify:
        return _verify(path, options.format)
    if options.repair is not None:
        return _repair(path, options.repair, options.format)
    return _look(path, options.format)


# --- golem doctor ---------------------------------------------------------------------------------


def _look(path: Path, form: str) -> int:
    from golem_sdk.doctor.health import look_after

    health = look_after(path)
    if form == "json":
        print_json({"store": str(path), **_health_values(health)})
        return 1 if health.warnings else 0
    ink = Ink()
    print(ink(f"store {visible(str(path))}", "bold"))
    for label, text in _health_lines(health):
        print(f"  {pad(label, _LABEL)}{visible(text)}")
    for head in health.parked:
        print(
            ink(f"  parked: {visible(head.agent_id)}: {visible(_line(head.record.error))}", "red")
        )
    for warning in health.warnings:
        print(ink(f"  warning: {visible(warning)}", "yellow"))
    return 1 if health.warnings else 0


def _health_lines(health: Health) -> list[tuple[str, str]]:
    owner = health.owner
    runs = "nobody has it open"
    if owner is not None:
        runs = f"pid {owner.get('pid', '?')} on {owner.get('host', '?')}, since {owner.get('start', '?')}"
    agents = ", ".join(f"{count} {status}" for status, count in sorted(health.agents.items()))
    return [
        ("versions", ", ".join(f"{name} {number}" for name, number in health.versions.items())),
        *_library_lines(health.libraries),
        ("size", f"{_size(health.size_bytes)}; {_size(health.free_bytes)} free on its disk"),
        ("owner", runs),
        ("readers", f"{len(health.readers)}, and {len(health.dead_readers)} that died"),
        ("agents", agents or "none"),
        (
            "invocations",
            f"{health.waiting} accepted and not finished, {health.scheduled} scheduled",
        ),
    ]


def _library_lines(libraries: Sequence[Library]) -> list[tuple[str, str]]:
    here = [each for each in libraries if each.installed]
    lines = [("intercepts", ", ".join(f"{each.name} {each.installed}" for each in here))]
    if absent := [each.name for each in libraries if not each.installed]:
        lines.append(("not here", ", ".join(absent)))
    lines += [
        ("not tested", f"{each.name} {each.installed}; tested was {' to '.join(each.tested)}")
        for each in here
        if not each.is_tested
    ]
    return lines


def _health_values(health: Health) -> dict[str, Any]:
    values = asdict(health, recurse=False)
    values["libraries"] = [asdict(each) for each in health.libraries]
    values["parked"] = [
        {"agent_id": head.agent_id, "error": head.record.error} for head in health.parked
    ]
    return values


# --- golem doctor --verify ------------------------------------------------------------------------


def _verify(path: Path, form: str) -> int:
    from golem_sdk.doctor.examine import examine
    from golem_sdk.doctor.health import opened

    with opened(path, thoroughly=True) as store:
        findings = examine(store)
    if form == "json":
        print_json({"store": str(path), **_findings_values(findings)})
    else:
        _print_findings(findings)
    return 0 if findings.is_sound else 1


def _print_findings(findings: Findings) -> None:
    ink = Ink()
    records = sum(findings.counts.values())
    _print_problems(findings, ink)
    for agent in findings.agents.values():
        for problem in agent.complaints:
            print(ink(f"{visible(agent.name)}: {visible(problem)}", "red"))
    damaged = sum(1 for agent in findings.agents.values() if agent.complaints)
    agents = counted(len(findings.agents), "agent")
    print(f"{agents}, {records} records read; {_which(damaged, 'is', 'are')} damaged")
    if not findings.is_sound:
        print(
            "Restore the store from a backup, or save what is whole: golem doctor --repair NEW_STORE"
        )


def _print_problems(findings: Findings, ink: Ink) -> None:
    for problem in findings.problems:
        print(ink(f"the store: {visible(problem)}", "red"))
    if findings.structure:
        print(ink(f"its pages: {visible(findings.structure)}", "red"))


def _findings_values(findings: Findings) -> dict[str, Any]:
    return {
        "sound": findings.is_sound,
        "records": sum(findings.counts.values()),
        "problems": findings.problems,
        "structure": findings.structure,
        "agents": [
            {
                "agent_id": agent.name,
                "whole_entries": agent.last,
                "runs": not agent.cut,
                "problems": agent.complaints,
            }
            for agent in findings.agents.values()
        ],
    }


# --- golem doctor --repair ------------------------------------------------------------------------


def _repair(old: Path, new: Path, form: str) -> int:
    from golem_sdk.doctor.repair import repair

    done = repair(old, new)
    if form == "json":
        left = [{"agent_id": whose, "what": what} for whose, what in done.left_behind]
        print_json({"store": str(new), **_findings_values(done.findings), "left_behind": left})
    else:
        _print_repair(old, new, done)
    return 0 if done.findings.is_sound else 1


def _print_repair(old: Path, new: Path, done: Repair) -> None:
    ink = Ink()
    _print_problems(done.findings, ink)
    for agent in done.findings.agents.values():
        for problem in agent.problems:
            print(ink(f"{visible(agent.name)}: {visible(problem)}", "yellow"))
        if agent.cut:
            kept = f"entries 1 to {agent.last} are kept" if agent.last else "nothing of it is kept"
            print(ink(f"{visible(agent.name)} is set aside: {visible(agent.cut)}; {kept}", "red"))
    for whose, what in done.left_behind:
        print(f"left behind: {visible(whose)}{': ' if whose else ''}{visible(what)}")
    goes_on = _which(done.agents, "that goes", "that go")
    print(f"{visible(str(new))} holds {goes_on} on", end="")
    aside = f"{len(done.parked)} that {'is' if len(done.parked) == 1 else 'are'} set aside"
    print(f" and {aside}" if done.parked else "", end="")
    print(f". {visible(str(old))} was not changed")
    _print_ways_on(new, done)


def _print_ways_on(new: Path, done: Repair) -> None:
    """The commands that have agents go on from what is left of them, for whoever accepts that."""
    left = [agent for agent in done.parked if agent.way_back]
    if left:
        print(
            "An agent would do again what it did since. Who accepts that drops its last entries, too:"
        )
    for agent in left:
        words = ["golem", "agent", "revert", agent.name, "--to-index", str(agent.way_back)]
        print(f"  {visible(shlex.join([*words, '--store', str(new)]))}")


def _which(count: int, one: str, several: str) -> str:
    return f"{counted(count, 'agent')} {one if count == 1 else several}"


def _line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"

"""Which files were run with no mutant left unexplained, and in which state each of them was then."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import date  # attrs classes are resolved at run time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mutation.forks import SURVIVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mutation.listed import Listed
    from mutation.run import Campaign, Key

__all__ = [
    "RECORD",
    "Clean",
    "add_to_record",
    "clean_files",
    "digest",
    "is_recorded",
    "read_record",
    "told",
]

RECORD = Path(__file__).parent / "record.toml"
_HEAD = """\
# Files whose every mutant was run, and killed or listed. Written by `--record`, never by hand: see README.md.
"""


@frozen
class Clean:
    """What came of a file whose survivors are all listed.

    Attributes:
        source: SHA-256 of the file as it was run, in hexadecimal.
        mutants: how many there were; as many as ``killed`` and ``listed`` are together.
        killed: by a test, or by running longer than a test may.
        listed: survivors.
        on: when the last of them was run.
    """

    source: str
    mutants: int
    killed: int
    listed: int
    on: date


def digest(path: Path) -> str:
    """What tells the states of a file apart."""
    return sha256(path.read_bytes()).hexdigest()


def clean_files(campaign: Campaign, listed: Listed, today: date) -> dict[str, Clean]:
    """Those of a run's files of which every mutant has a verdict, and every survivor a reason.

    A file is not clean either as long as the list has an entry for it that does not apply (any more).
    """
    mutants = Counter(mutant.file for mutant in campaign.mutants)
    reached: dict[str, list[tuple[Key, bool]]] = {file: [] for file in campaign.sources}
    for mutant, verdict in campaign.verdicts:
        reached[mutant.file].append((mutant.key, verdict.status == SURVIVED))
    clean = {}
    for file, verdicts in reached.items():
        survivors = [key for key, survived in verdicts if survived]
        entries = {key for key in listed.reasons if key[0] == file}
        if len(verdicts) == mutants[file] and set(survivors) == entries:
            counts = (len(verdicts), len(verdicts) - len(survivors), len(survivors))
            clean[file] = Clean(campaign.sources[file], *counts, today)
    return clean


def read_record(path: Path = RECORD) -> dict[str, Clean]:
    """The record, by file; empty where there is none."""
    written = tomllib.loads(path.read_text()) if path.exists() else {}
    return {file: Clean(**entry) for file, entry in written.items()}


def is_recorded(record: Mapping[str, Clean], file: str, source: str) -> bool:
    """Whether the file was run clean as it is."""
    return file in record and record[file].source == source


def add_to_record(path: Path, root: Path, clean: Mapping[str, Clean]) -> dict[str, Clean]:
    """Write what was found clean beside what is recorded of other files of the package."""
    record = {
        file: entry
        for file, entry in sorted({**read_record(path), **clean}.items())
        if (root / file).exists()
    }
    path.write_text(
        _HEAD + "".join(f'"{file}" = {_written(entry)}\n' for file, entry in record.items())
    )
    return record


def _written(entry: Clean) -> str:
    counts = f"mutants = {entry.mutants}, killed = {entry.killed}, listed = {entry.listed}"
    return f'{{ source = "{entry.source}", {counts}, on = {entry.on} }}'


def told(record: Mapping[str, Clean], sources: Mapping[str, str]) -> list[str]:
    """What is to be run, and what has come of the rest: a line for each file, and the sum of them."""
    lines = []
    total: Counter[str] = Counter()
    for file, source in sources.items():
        entry = record.get(file)
        if entry is None:
            lines.append(f"{file}: not run yet")
        elif not is_recorded(record, file, source):
            lines.append(f"{file}: has changed since {entry.on}")
        else:
            counts = {"mutants": entry.mutants, "killed": entry.killed, "listed": entry.listed}
            total.update(counts, files=1)
            lines.append(f"{file}: " + _counted(counts) + f" on {entry.on}")
    done = total.pop("files", 0)
    return [*lines, f"{done} of {len(sources)} files are run: {_counted(total) or 'no mutant'}"]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())

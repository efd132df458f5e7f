"""The mutants that no test can kill, each with its reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutation.mutants import Mutant

__all__ = ["LIST", "Listed", "read_list"]

LIST = Path(__file__).parent / "equivalent.toml"


@frozen
class Listed:
    """Entries by the key of their mutant, each with its reason."""

    reasons: dict[tuple[str, str, str, str], str]

    def without_mutant(self, mutants: Iterable[Mutant]) -> list[str]:
        """Entries of the mutants' files that name no mutant: the code has changed."""
        keys, files = {mutant.key for mutant in mutants}, {mutant.file for mutant in mutants}
        return [_told(key) for key in self.reasons if key[0] in files and key not in keys]

    def killed(self, survived: dict[tuple[str, str, str, str], bool]) -> list[str]:
        """Entries of mutants that a test has killed."""
        return [_told(key) for key in self.reasons if survived.get(key) is False]


def read_list(path: Path = LIST) -> Listed:
    """Read the list.

    Raises:
        ValueError: an entry lacks something, or is there twice.
    """
    reasons: dict[tuple[str, str, str, str], str] = {}
    for entry in tomllib.loads(path.read_text()).get("mutant", []):
        key = (entry["file"], entry["function"], entry["before"], entry["after"])
        if key in reasons or not entry["reason"].strip():
            raise ValueError(f"no reason, or listed twice: {_told(key)}")
        reasons[key] = entry["reason"]
    return Listed(reasons)


def _told(key: tuple[str, str, str, str]) -> str:
    file, function, before, after = key
    return f"{file} {function or '(module)'}\n    - {before}\n    + {after}"

"""A fuzzer that is led by coverage: ``PYTHONPATH=.:tests python -m hostile.atheris_target [corpus]``.

Needs atheris (``pip install atheris``, CPython with libFuzzer); says so and does nothing where it is missing.
The first byte chooses the reader, the others are what it reads. A crash file replays the same way:
``... hostile.atheris_target crash-...``. ``--seeds DIRECTORY`` writes valid bytes to begin with.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hostile.seeds import SEEDS
from hostile.targets import TARGETS, attack

__all__ = ["corpus", "main", "one_input"]

_NAMES = sorted(TARGETS)


def one_input(data: bytes) -> None:
    """What the fuzzer calls.

    Raises:
        WrongError: a reader failed otherwise than by a documented error.
    """
    if data:
        attack(TARGETS[_NAMES[data[0] % len(_NAMES)]], data[1:])


def corpus() -> list[bytes]:
    """Valid inputs of every reader."""
    return [bytes([_NAMES.index(name)]) + data for name in _NAMES for data in SEEDS[name]]


def main(arguments: list[str]) -> int:
    """Fuzz until stopped; gives the exit status."""
    if arguments[1:2] == ["--seeds"]:
        directory = Path(arguments[2])
        directory.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(corpus()):
            (directory / f"seed-{number:03}").write_bytes(data)
        return 0
    if find_spec("atheris") is None:
        print("atheris is not installed: nothing was fuzzed; `pytest tests/hostile` needs it not")
        return 0
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

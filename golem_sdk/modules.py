"""The names of modules, as they are stored: a script has the name under which others would import it.

What ``python shop.py`` has recorded can then be taken up by a program that says ``import shop``, and the
other way round: both call the script's functions and classes ``shop....``, not ``__main__....``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["find_module", "lasting_name"]

_SCRIPTS = ("__main__", "__mp_main__")


def lasting_name(module: str) -> str:
    """The name to store for a module: its own, or if it is the program that runs, that of its file."""
    return _script_name(module) if module in _SCRIPTS else module


def find_module(name: str) -> ModuleType | None:
    """The module with this stored name among those imported by now. Imports nothing."""
    found = sys.modules.get(name)
    if found is None:
        script = next((each for each in _SCRIPTS if _script_name(each) == name), "")
        found = sys.modules.get(script)
    return found


def _script_name(module: str) -> str:
    """The module's own name where there is no file, or where another module has the file's name."""
    script = sys.modules.get(module)
    spec, file = getattr(script, "__spec__", None), getattr(script, "__file__", None)
    if spec is not None:  # python -m package.module
        name = str(spec.name)
    elif file:
        name = Path(file).stem
    else:
        return module
    return module if sys.modules.get(name, script) is not script else name

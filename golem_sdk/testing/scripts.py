"""The steps that hypothesis prints, as a test that can be put into a file and run."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from typing import TYPE_CHECKING

from golem_sdk import testing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["as_test"]

_STATE = "state"


def as_test(machine: type, program: Iterable[str]) -> str:
    """A test that runs the program on a state machine.

    Args:
        machine: the state machine's class; what the program names is looked for in its module.
        program: lines of Python, in which the state machine is called ``state``.
    """
    lines = [f"{_STATE} = {machine.__name__}()", *program, f"{_STATE}.teardown()"]
    body = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", machine.__name__).lower()
    imports = "\n".join(sorted(set(_imports(machine, "\n".join(lines)))))
    return f"As a test by itself:\n\n{imports}\n\n\ndef test_{name}():\n{body}\n"


def _imports(machine: type, source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # something in it does not print as code
        return
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    given = {node.id for node in names if isinstance(node.ctx, ast.Store)} | {*dir(builtins)}
    module = sys.modules[machine.__module__]
    for name in sorted({node.id for node in names} - given):
        if name in testing.__all__:
            yield f"from golem_sdk.testing import {name}"
        elif hasattr(module, name):
            yield f"from {machine.__module__} import {name}"
        elif name in sys.modules:
            yield f"import {name}"

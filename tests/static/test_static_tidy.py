"""House style that no linter knows: sizes, reasons beside exceptions, nothing left lying about."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from static.source_tree import CODE_DIRECTORIES, python_files, relative, text_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.static

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 59
# Raised limits: file, or file::function -> lines. The reason stands on the line.
RAISED: dict[str, int] = {}

# Spelled in two halves, so that this file may pass its own test.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE = re.compile(
    r"(?<![\w.$}])/(?:wo"
    r"rk|ro"
    r"ot|ho"
    r"me|Us"
    r"ers|fa"
    r"rm)/"
    r"|https?://[^\s\"']*(?:py"
    r"pi|python"
    r"hosted|npm"
    r"js|deb"
    r"ian\.org)"
)
SILENCED = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?"
    r"|type:\s*ignore(?:\[[^\]]*\])?"
    r"|pragma:[\w ]+)"
)
REASON = re.compile(r"\s+(?:#\s*)?\w+\W+\w+")

# K1: nothing stored or received is ever executed.
EXECUTING_MODULES = {"dill", "cloudpickle", "jsonpickle", "marshal", "pickle", "shelve"}
EXECUTING_CALLS = {"eval", "exec", "execfile"}
EXECUTING_METHODS = {("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}

CODE = python_files(*CODE_DIRECTORIES)
PACKAGE = python_files("golem_sdk")
TESTS = python_files("tests")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function in a file; decorators do not count."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def executing_code(tree: ast.Module) -> Iterator[int]:
    """Lines that import or call something that can turn data into running code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                if any(name.name.split(".")[0] in EXECUTING_MODULES for name in names):
                    yield node.lineno
            case ast.ImportFrom(module=str(module)):
                if module.split(".")[0] in EXECUTING_MODULES:
                    yield node.lineno
            case ast.Call(func=ast.Name(id=name)) if name in EXECUTING_CALLS:
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                if (module, name) in EXECUTING_METHODS:
                    yield node.lineno


def without_reason(source: str) -> Iterator[int]:
    """Lines that silence a checker and do not say why."""
    for line, comment in comments(source):
        silenced = list(SILENCED.finditer(comment))
        if silenced and not REASON.match(comment, silenced[-1].end()):
            yield line


def agent_types(tree: ast.Module) -> Iterator[str]:
    """Names of the agent types that a file defines with ``@agent``, wherever in it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Name(id="agent") | ast.Attribute(attr="agent"):
                    yield node.name
                case ast.Call(func=ast.Name(id="agent") | ast.Attribute(attr="agent")):
                    given = {keyword.arg: keyword.value for keyword in decorator.keywords}
                    name = given.get("name", ast.Constant(node.name))
                    if isinstance(name, ast.Constant):
                        yield str(name.value)


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= RAISED.get(relative(path), MAX_FILE_LINES)


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_functions_stay_short(path: Path) -> None:
    long = {
        name: lines
        for name, lines in functions(path)
        if lines > RAISED.get(f"{relative(path)}::{name}", MAX_FUNCTION_LINES)
    }
    assert not long


def test_raised_limits_are_needed() -> None:
    sizes = {relative(path): len(path.read_text().splitlines()) for path in CODE}
    for path in CODE:
        for name, lines in functions(path):
            key = f"{relative(path)}::{name}"
            sizes[key] = max(lines, sizes.get(key, 0))
    limits = {key: MAX_FUNCTION_LINES if "::" in key else MAX_FILE_LINES for key in RAISED}
    assert [key for key in RAISED if sizes.get(key, 0) <= limits[key]] == []


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_every_silenced_check_says_why(path: Path) -> None:
    assert list(without_reason(path.read_text())) == []


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_every_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_k1_package_never_executes_data(path: Path) -> None:
    assert list(executing_code(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", text_files(), ids=relative)
def test_nothing_unfinished_and_no_machine_is_named(path: Path) -> None:
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNFINISHED.search(line) or MACHINE.search(line)
    ]
    assert found == []


def test_agent_types_of_all_tests_have_names_of_their_own() -> None:
    # They are loaded together, and a process knows each type by its name.
    homes: dict[str, list[str]] = {}
    for path in TESTS:
        for name in set(agent_types(ast.parse(path.read_text()))):
            homes.setdefault(name, []).append(relative(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("@agent\nclass A: ...", ["A"]),
        ("@golem_sdk.agent\nasync def a(): ...", ["a"]),
        ("def f():\n    @agent(name='b')\n    def a(): ...", ["b"]),
        ("@agent()\ndef a(): ...", ["a"]),
        ("@agent(name=f())\ndef a(): ...\n@other\ndef b(): ...", []),
    ],
)
def test_the_search_for_agent_types_finds_them(source: str, names: list[str]) -> None:
    assert list(agent_types(ast.parse(source))) == names


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = 1  # noqa: A001  # the name of what it keeps", []),
        ("x = f()  # type: ignore[misc]  # the stub is wrong", []),
        ("x = f()  # type: ignore[misc]  # noqa: B002  # the stub is wrong", []),
        ("x = f()  # type: ignore[misc]  # noqa: B002", [1]),
        ("x = 1  # noqa: A001, B002", [1]),
        ("x = 1  # noqa", [1]),
        ("x = 1  # noqa: A001  #", [1]),
        ("\nx = f()  # type: ignore[misc]", [2]),
        ("x = 1  # pragma: no cover", [1]),
        ("x = 'a # noqa in a string'", []),
    ],
)
def test_the_search_for_reasons_finds_them(source: str, lines: list[int]) -> None:
    assert list(without_reason(source)) == lines


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal as m",
        "from shelve import open",
        "def f(x):\n    return eval(x)",
        "exec('1')",
        "yaml.load(text)",
    ],
)
def test_the_search_for_executing_code_finds_it(source: str) -> None:
    assert list(executing_code(ast.parse(source))) != []


def test_the_search_for_executing_code_lets_the_rest_pass() -> None:
    assert list(executing_code(ast.parse("json.loads(x); re.compile(x); model.eval()"))) == []

"""The mutation run finds what no test notices, and its list of reasons cannot rot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import golem_sdk
from mutation.command import ROOMS, all_mutants
from mutation.listed import LIST, read_list
from mutation.mutants import changed_functions, mutants_of
from mutation.record import RECORD, digest, read_record

pytestmark = pytest.mark.once

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = Path(golem_sdk.__file__).parent

PLANTED = '''
"""Each line but one is looked at by the tests."""
LIMIT = 3
UNSEEN = 7
def checked(number: int) -> bool:
    return number < LIMIT
def unchecked(number: int) -> int:
    return number + 1
def unrun() -> None:
    print("x")
'''
TEST = """
from planted.room import code
def test_checked() -> None:
    assert code.checked(2) is True
    assert code.checked(3) is False
def test_unchecked() -> None:
    assert code.unchecked(12) is not None
"""
DISTURBED = """
import sys
from planted.room import code
def test_alone() -> None:
    code.unchecked(12)
    assert "test_disturbing" not in sys.modules
"""
DISTURBING = """
import sys
sys.modules["test_disturbing"] = sys
def test_nothing() -> None:
    pass
"""
REWRITTEN = """
import pytest
pytest.register_assert_rewrite("planted")  # as pytest does with a package that has a plugin
"""
ENTRY = """
[[mutant]]
file = "room/code.py"
function = "{}"
before = {!r}
after = {!r}
reason = "planted"
"""


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants_of("f.py", source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", [("a = b < c", "a = b <= c")]),
        ("a = b is None", [("a = b is None", "a = b is not None")]),
        ("a = b and c", [("a = b and c", "a = b or c")]),
        ("a = not b", [("a = not b", "a = b")]),
        ("a = True", [("a = True", "a = False")]),
        ("a = 3", [("a = 3", "a = 4")]),
        ("a = 'x'", [("a = 'x'", "a = 'xXX'")]),
        ("if a:\n    b()", [("if a:", "if not a:")]),
        ("def f():\n    a()", [("a()", "pass")]),
        ("def f():\n    raise A('x', 1)", [("raise A('x', 1)", "pass")]),
        ("def f():\n    return a + b", [
            ("return a + b", "return None"),
            ("return a + b", "return a - b"),
        ]),
        ("def f():\n    self.a = b", [("self.a = b", "pass")]),
        ("def f():\n    a += b", [("a += b", "a -= b")]),
        ("while a:\n    break", [("while a:", "while not a:"), ("break", "continue")]),
        ("try:\n    a\nexcept B:\n    c", [("except B:", "except ():")]),
        ("match a:\n    case B():\n        c", [("case B():", "case B() if False:")]),
        ("a = [b for b in c if d]", [("a = [b for b in c if d]", "a = [b for b in c if not d]")]),
        ("def f(a=1): pass", [("def f(a=1):", "def f(a=2):")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_mutants_of_each_kind(source: str, expected: list[tuple[str, str]]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""docs"""',
        "def f(a: 'x' = None) -> 'y': 'docs'",
        "a: 'x'",
        "A = Callable[['x'], None]",
        "__all__ = ['a']",
        "if TYPE_CHECKING:\n    a = 1",
        "a = 'a text with blanks'",
        "a = f'x{1}'",
        "assert a < 1",
        "@a(1)\ndef f(): ...",
        "def f():\n    a = b",
    ],
)
def test_what_says_nothing_of_behaviour_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_of_a_long_statement_the_changed_part_is_told() -> None:
    names = ", ".join(f"name_{i}" for i in range(99))
    ((before, after),) = changes(f"a = [{names}, 1, {names}]")
    assert (
        before
        == "…94, name_95, name_96, name_97, name_98, 1, name_0, name_1, name_2, name_3, name_4…"
    )
    assert after == before.replace(" 1,", " 2,")


def test_a_mutated_function_is_told_by_its_name_and_line() -> None:
    (mutant,) = mutants_of("f.py", "class A:\n    def f(self):\n        g()\n")
    assert (mutant.function, mutant.at_import, mutant.lines[0]) == ("A.f", False, 3)
    before = compile(mutant.tree, "f.py", "exec")
    changed = changed_functions(before, mutant.code("f.py"))
    assert changed is not None
    assert list(changed) == [("A.f", 2)]
    assert compile(mutant.tree, "f.py", "exec") == before, "the tree is as it was"


def planted(
    directory: Path, entries: str = "", *options: str, source: str = PLANTED
) -> subprocess.CompletedProcess[str]:
    """Run the command over a package of one file."""
    room = directory / "planted" / "room"
    room.mkdir(parents=True, exist_ok=True)
    (room.parent / "__init__.py").touch()
    (room / "__init__.py").touch()
    (room / "code.py").write_text(source)
    (directory / "test_planted.py").write_text(TEST)
    (directory / "conftest.py").write_text(REWRITTEN)
    (directory / "test_disturbed.py").write_text(DISTURBED)
    (directory / "test_other.py").write_text(DISTURBING)
    (directory / "listed.toml").write_text(entries)
    command = [sys.executable, "-m", "mutation", "room", "--package", "planted"]
    tests = ["test_planted.py", "test_disturbed.py", "test_other.py"]
    files = ["--tests", *tests, "--list", "listed.toml", "--record-file", "record.toml"]
    return subprocess.run(
        [*command, *files, *options],
        cwd=directory,
        env={"PYTHONPATH": f"{TESTS}:{directory}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_planted_mutants_are_killed_and_survivors_found(tmp_path: Path) -> None:
    found = planted(tmp_path)
    survivors = [line for line in found.stdout.splitlines() if line.startswith("survived: ")]
    assert sorted(line.split()[1:] for line in survivors) == [
        ["room/code.py:10", "unrun"],
        ["room/code.py:10", "unrun"],
        ["room/code.py:4", "(module)"],
        ["room/code.py:8", "unchecked"],
        ["room/code.py:8", "unchecked"],
    ], found.stdout + found.stderr
    assert "fails where all tests are loaded: test_disturbed.py::test_alone" in found.stdout
    assert "0 listed, 5 unexplained" in found.stdout
    assert found.returncode == 1


def survivors_listed() -> str:
    mutants = mutants_of("room/code.py", PLANTED)
    return "".join(
        ENTRY.format(mutant.function, mutant.before, mutant.after)
        for mutant in mutants
        if mutant.function == "unrun"
        or mutant.before == "UNSEEN = 7"
        or (mutant.function == "unchecked" and mutant.after != "return None")
    )


def test_a_file_is_recorded_when_all_is_explained_and_then_run_only_if_it_has_changed(
    tmp_path: Path,
) -> None:
    unexplained = planted(tmp_path, "", "--record")
    assert "room/code.py: not run yet\n" in unexplained.stdout
    assert "room/code.py" not in read_record(tmp_path / "record.toml")
    listed = survivors_listed()

    idle = planted(
        tmp_path, listed + ENTRY.format("checked", "gone", "None"), "--record", "--resume"
    )
    assert idle.returncode == 1
    assert "room/code.py" not in read_record(tmp_path / "record.toml")

    explained = planted(tmp_path, listed, "--record", "--resume")
    counts = "9 mutants, 4 killed, 5 listed"
    assert "room/code.py: " + counts in explained.stdout, explained.stdout + explained.stderr
    assert f"2 of 2 files are run: {counts}\n" in explained.stdout
    results = tmp_path / ".mutation/results.jsonl"
    assert len(results.read_text().splitlines()) == 9 + 5 + 5, "but what was killed"
    record = read_record(tmp_path / "record.toml")
    assert record["room/code.py"].source == digest(tmp_path / "planted/room/code.py")

    again = planted(tmp_path, listed, "--changed")
    assert again.returncode == 0
    assert "survived" not in again.stdout

    source = PLANTED + "# changed\n"
    (tmp_path / "planted/room/code.py").write_text(source)
    changed = planted(tmp_path, listed, "--status", source=source)
    assert "room/code.py: has changed since 20" in changed.stdout
    assert "1 of 2 files are run: 0 mutants" in changed.stdout, "the other one is as it was"
    anew = planted(tmp_path, listed, "--changed", "--resume", "--record", source=source)
    assert counts in anew.stdout
    source_of = [json.loads(line)["source"] for line in results.read_text().splitlines()]
    assert source_of.count(digest(tmp_path / "planted/room/code.py")) == 9, "none is taken over"


def test_entries_that_no_longer_apply_are_errors(tmp_path: Path) -> None:
    gone = ENTRY.format("unchecked", "return gone", "return None")
    killed = ENTRY.format("checked", "return number < LIMIT", "return None")
    found = planted(tmp_path, gone + killed)
    assert "there is no such mutant: room/code.py unchecked\n    - return gone" in found.stdout
    assert "a test kills it: room/code.py checked\n    - return number < LIMIT" in found.stdout


@pytest.mark.static
def test_every_listed_mutant_exists() -> None:
    keys = {mutant.key for mutant in all_mutants(PACKAGE, ROOMS)}
    assert [key for key in read_list(LIST).reasons if key not in keys] == []


@pytest.mark.static
def test_the_record_agrees_with_the_mutants_and_the_list() -> None:
    reasons = read_list(LIST).reasons
    for file, entry in read_record(RECORD).items():
        if (PACKAGE / file).exists() and digest(PACKAGE / file) == entry.source:
            keys = [mutant.key for mutant in all_mutants(PACKAGE, [file])]
            assert entry.mutants == len(keys) == entry.killed + entry.listed, file
            assert {key for key in reasons if key[0] == file} <= set(keys), file
            assert (entry.listed > 0) == any(key[0] == file for key in reasons), file

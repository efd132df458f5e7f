"""``golem doctor`` tells of the libraries that are intercepted."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest

from cli.shelf import fill
from golem_sdk.cli.command_line import run_command_line
from golem_sdk.doctor import libraries as room
from golem_sdk.doctor.libraries import Library, libraries
from golem_sdk.intercept.table import TABLE, versions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> str:
    fill(tmp_path / "store")
    return str(tmp_path / "store")


@pytest.fixture
def other_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of httpx there is one from the future, httpx2 is not installed."""

    def found(name: str) -> str:
        if name == "httpx2":
            raise PackageNotFoundError(name)
        return "99.1" if name == "httpx" else version(name)

    monkeypatch.setattr(room, "version", found)


def test_every_library_of_the_table() -> None:
    found = {library.name: library for library in libraries()}
    assert list(found) == list(dict.fromkeys(row.library for row in TABLE))
    assert found["httpx"] == Library(
        "httpx", version("httpx"), ("0.27", "0.28"), True, {"httpx": versions()["httpx"]}
    )
    assert found["python"].installed == platform.python_version()
    assert found["python"].interceptors.keys() >= {"clock", "entropy"}


@pytest.mark.usefixtures("other_versions")
def test_what_is_missing_or_was_not_tested(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "--store", store]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("intercepts python 3.") and "httpx 99.1" in line for line in lines)
    assert any(line.startswith("not here ") and "httpx2" in line for line in lines)
    assert "not tested httpx 99.1; tested was 0.27 to 0.28" in lines


@pytest.mark.usefixtures("other_versions")
def test_the_same_for_programs(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "--store", store, "--format", "json"]) == 0
    told = {each["name"]: each for each in json.loads(capsys.readouterr().out)["libraries"]}
    assert told["httpx"]["installed"] == "99.1"
    assert not told["httpx"]["is_tested"]
    assert told["httpx"]["interceptors"] == {"httpx": 1}
    assert told["httpx2"]["installed"] is None


def test_none_of_them_is_imported() -> None:
    script = (
        "import sys\n"
        "from golem_sdk.doctor.libraries import libraries\n"
        "assert libraries()\n"
        "assert not {'httpx', 'httpx2', 'openai', 'anthropic'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# --- golem doctor --libraries ---------------------------------------------------------------------


def told_of(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, Any]:
    """What is said of each library, without any store."""
    assert run_command_line(["doctor", "--libraries", "--format", "json"]) == status
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_what_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    told = {each["name"]: each for each in told_of(capsys)["libraries"]}
    assert list(told) == list(dict.fromkeys(row.library for row in TABLE))
    for name, each in told.items():
        listed = {function for row in TABLE if row.library == name for function in row.functions}
        assert each["problems"] == []
        assert set(each["functions"]) <= listed
        assert bool(each["functions"]) == (each["installed"] is not None)
    assert "httpx.HTTPTransport.handle_request" in told["httpx"]["functions"]
    assert {"time.time", "os.urandom"} <= {*told["python"]["functions"]}


@pytest.mark.usefixtures("other_versions")
def test_it_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "--libraries"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "library here tested with agents' calls"
    assert "httpx2 2 not installed" in lines
    [python] = [line for line in lines if line.startswith("python ")]
    assert python.startswith(f"python {platform.python_version()} 3.11 to 3.13 intercepted, ")
    assert python.endswith(" functions replaced")
    assert any(
        line.startswith("requests ") and line.endswith(" 1 function replaced") for line in lines
    )


def test_why_something_is_not_intercepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(module: object) -> None:
        raise AttributeError("no transport\x1b")

    import_module("httpx")
    adapter = import_module("golem_sdk.intercept.httpx")
    monkeypatch.setattr(adapter, "httpx_patches", fails)
    monkeypatch.setitem(sys.modules, "requests", None)
    assert run_command_line(["doctor", "--libraries"]) == 1
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(
        line.startswith("httpx 0") and line.endswith("not intercepted: see below") for line in lines
    )
    assert any(
        line.startswith("warning: httpx of httpx 0") and "no transport" in line for line in lines
    )
    assert any(line.startswith("warning: requests cannot be imported: ") for line in lines)
    assert "\x1b" not in out
    told = {each["name"]: each for each in told_of(capsys, 1)["libraries"]}
    assert told["httpx"]["functions"] == []
    assert "Install a version that golem_sdk was tested with" in told["httpx"]["problems"][0]


def test_a_version_that_was_not_tested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("httpx"), "__version__", "99.1")
    told = {each["name"]: each for each in told_of(capsys, 1)["libraries"]}
    assert told["httpx"]["functions"]
    assert "httpx 99.1 is not a version" in told["httpx"]["problems"][0]


def test_other_libraries_that_are_not_intercepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("golem_sdk.lint.names.UNCOVERED", ["attr", "no_such_client"])
    assert told_of(capsys)["not_intercepted"] == {"attrs": version("attrs")}
    assert run_command_line(["doctor", "--libraries"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"attrs {version('attrs')} not intercepted: nothing that agents do through it" in said

"""``golem doctor`` tells of the libraries that are intercepted."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

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
    assert "not here httpx2" in lines
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

"""What `pip install` gets: every module, the types marker and the licence."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from static.source_tree import python_files, relative, run_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.static
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    finished = run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {relative(path) for path in python_files("golem_sdk")}
    assert modules | {"golem_sdk/py.typed"} == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)

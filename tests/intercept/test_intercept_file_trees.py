"""Trees of files: compared, packed, in formats of Python itself, and reached by links."""

from __future__ import annotations

import filecmp
import os
import shutil
import tarfile
import wave
from pathlib import Path
from typing import Any
from xml.dom import minidom
from xml.etree import ElementTree

import pytest

from golem_sdk import workspace
from intercept.replaying import run


def test_formats_of_python_itself(tmp_path: Path) -> None:
    """Their modules open what agent code names: that is its own doing."""
    tree, sound = tmp_path / "tree.xml", tmp_path / "sound"

    def body() -> list[Any]:
        ElementTree.ElementTree(ElementTree.Element("root")).write(tree)
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 1, 8000, 0, "NONE", ""))
            file.writeframes(b"frames")
        with wave.open(str(sound), "rb") as file:
            said = [ElementTree.parse(tree).getroot().tag, file.readframes(9)]
        root = minidom.parse(str(tree)).documentElement
        return [*said, root.tagName if root else None]

    def spoil() -> None:
        tree.unlink()
        sound.unlink()

    runs = run(body, between=spoil)
    assert runs.live == runs.replayed == ["root", b"frames", "root"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")
def test_archives_are_made_and_unpacked(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf").write_text("green")

    def body() -> list[Any]:
        names = [
            shutil.make_archive(str(tmp_path / kind), kind, tmp_path / "tree")
            for kind in ("zip", "gztar", "tar")
        ]
        with tarfile.open(tmp_path / "gztar.tar.gz", "r|gz") as archive:
            streamed = [member.name for member in archive]
        for name in names:
            shutil.unpack_archive(name, f"{name}.out")
        return [streamed, [os.listdir(f"{name}.out") for name in names]]

    runs = run(body, between=lambda: shutil.rmtree(tmp_path))
    assert runs.live == runs.replayed == [[".", "./leaf"], [["leaf"]] * 3]
    assert not tmp_path.exists()


def test_comparing_files_is_one_call(tmp_path: Path) -> None:
    """`filecmp` remembers, for the whole process, what it has compared."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same")

    def body() -> list[Any]:
        one, other = tmp_path / "one", tmp_path / "other"
        return [
            filecmp.cmp(one / "file", other / "file", shallow=False),
            filecmp.cmpfiles(one, other, ["file", "no"], shallow=False),
            filecmp.dircmp(one, other).same_files,
        ]

    runs = run(body)
    assert runs.live == runs.replayed == [True, (["file"], [], ["no"]), ["file"]]
    assert runs.calls.count("filecmp.cmp") == 4
    assert "open" not in runs.calls


@pytest.mark.parametrize("relative", [False, True])
def test_links_lead_out_of_it(relative: bool, tmp_path: Path) -> None:
    """What is written by way of one is written outside: not once more in replay."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "log").write_text("zero ")

    def body() -> list[Any]:
        place = workspace()
        target = Path(os.path.relpath(tmp_path, place)) if relative else tmp_path
        (place / "way").symlink_to(target)
        (place / "further").symlink_to("way/shelf")
        (place / "file").symlink_to(target / "log")
        (place / "circle").symlink_to("circle")
        for name in ("file", "way/log", "further/one", "way/shelf/two"):
            with (place / name).open("a") as file:
                file.write(f"{name} ")
        os.mkdir(place / "further" / "made")
        with pytest.raises(OSError, match="symbolic links"):
            (place / "circle").read_text()
        os.unlink(place / "file")
        return sorted(os.listdir(place))

    runs = run(body)
    assert runs.live == runs.replayed == ["circle", "further", "way"]
    found = sorted(tmp_path.rglob("*"))
    assert {
        str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
        for path in found
    } == {
        "log": b"zero file way/log ",
        "shelf": None,
        "shelf/made": None,
        "shelf/one": b"further/one ",
        "shelf/two": b"way/shelf/two ",
    }

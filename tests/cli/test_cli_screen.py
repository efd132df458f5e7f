from __future__ import annotations

import io
import re
from random import Random

import pytest

from golem_sdk.cli.demo.director import kill_points
from golem_sdk.cli.demo.scene import Scene, WorkerState
from golem_sdk.cli.demo.screen import PlainScreen, TerminalScreen, screen_for
from golem_sdk.cli.demo.shop import effects_of_order, pages_of, summary_words
from golem_sdk.cli.output import cell_width

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "100"), ("LINES", "40")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def scene() -> Scene:
    return Scene.of(["order-1", "order-2"], ["tides"], kills=3)


def play(scene: Scene, name: str, steps: int) -> None:
    for endpoint, subject in effects_of_order(name)[:steps]:
        scene.saw_request({"event": "effect", "endpoint": endpoint, "subject": subject})


def test_an_order_progresses_with_its_effects(scene: Scene) -> None:
    order = scene.agents["order-1"]
    assert order.progress == 0
    play(scene, "order-1", 1)
    once = order.progress
    play(scene, "order-1", 1)
    assert 0 < order.progress == once < 1
    play(scene, "order-1", 100)
    assert order.progress == pytest.approx(0.999)
    scene.finished("order-1")
    assert order.progress == 1
    assert [view.name for view in scene.unfinished] == ["order-2", "tides"]
    assert scene.effects == set(effects_of_order("order-1"))


def test_research_progresses_with_pages_and_words(scene: Scene) -> None:
    tides = scene.agents["tides"]
    for path in pages_of("tides"):
        scene.saw_request({"event": "read", "path": path})
    assert tides.progress == pytest.approx(0.5)
    scene.saw_request({"event": "word", "topic": "tides", "count": 1})
    before = tides.progress
    assert tides.note == summary_words("tides")[0]
    scene.saw_request({"event": "word", "topic": "tides", "count": 1})
    assert tides.progress == before > 0.5


def test_strangers_do_not_matter(scene: Scene) -> None:
    scene.saw_request({"event": "read", "path": "/pages/lighthouses/1"})
    scene.saw_request({"event": "word", "topic": "lighthouses", "count": 1})
    scene.saw_request({"event": "something else"})
    scene.said("nobody: hello")
    scene.said("no colon")
    assert scene.progress == 0


def test_kills_leave_marks_on_the_unfinished(scene: Scene) -> None:
    play(scene, "order-1", 1)
    scene.finished("order-2")
    scene.killed()
    assert scene.agents["order-1"].kills == [scene.agents["order-1"].progress]
    assert scene.agents["order-2"].kills == []
    assert (scene.kills, scene.state) == (1, WorkerState.KILLED)


def frame(output: str) -> list[str]:
    """The lines that were drawn last."""
    *lines, _ = CONTROL.sub("", re.split(r"\x1b\[\d+A", output)[-1]).split("\n")
    return [line.removeprefix("\r") for line in lines]


@pytest.mark.parametrize("columns", [60, 80, 100, 250])
def test_the_picture_fits_and_is_inert(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    screen = TerminalScreen(stream)
    scene.said("order-1: \x1b[2J\u202eevil " + "x" * 300)
    scene.killed()
    scene.pid, scene.state, scene.replaying = 4_194_304, WorkerState.REPLAYING, 99_999
    screen.news(scene, 1.0, "kill -9 17: " + "y" * 300, "red")
    screen.draw(scene, 2.0)
    screen.close()
    lines = frame(stream.getvalue())
    assert len(lines) == 7
    assert any('fulfil_order("order-1") ╳' in line for line in lines)  # noqa: RUF001  # as drawn
    assert max(map(cell_width, lines)) <= columns
    assert "\u202e" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h")


def test_the_picture_is_redrawn_in_place(scene: Scene) -> None:
    stream = Terminal()
    screen = TerminalScreen(stream)
    screen.draw(scene, 0.0)
    drawn = stream.getvalue().count("\n")
    screen.draw(scene, 0.001)  # too early for another frame
    assert stream.getvalue().count("\n") == drawn
    screen.draw(scene, 1.0)
    assert f"\x1b[{drawn}A" in stream.getvalue()


def test_plain_lines_where_there_is_no_terminal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(screen_for(Terminal(), 3), TerminalScreen)
    assert isinstance(screen_for(io.StringIO(), 3), PlainScreen)
    assert isinstance(screen_for(Terminal(), 300), PlainScreen)
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(screen_for(Terminal(), 3), PlainScreen)
    stream = io.StringIO()
    screen = PlainScreen(stream)
    screen.draw(scene, 1.0)
    screen.news(scene, 1.5, "killed", "red")
    screen.said(2.0, "order-1: \x1b[2J")
    screen.close()
    assert stream.getvalue() == "  1.50 s  killed\n  2.00 s      order-1: \\x1b[2J\n"


def test_kills_are_spread_over_the_run() -> None:
    points = kill_points(5, Random(1))
    assert points == sorted(points)
    assert [int((point - 0.03) / 0.94 * 5) for point in points] == [0, 1, 2, 3, 4]
    assert kill_points(0, Random(1)) == []
    assert points != kill_points(5, Random(2))

"""The demo's picture: redrawn in place on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Protocol, TextIO

from golem_sdk.cli.demo.scene import AgentView, Scene, WorkerState
from golem_sdk.cli.output import Ink, cell_width, pad, shorten, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PlainScreen", "Screen", "TerminalScreen", "screen_for"]

_FRAME_S = 0.08
_WOUND = "╳"  # noqa: RUF001  # drawn, not read
_MOST_NEWS = 6
_LEAST_WIDTH = 60
_STYLE = {
    WorkerState.STARTING: "yellow",
    WorkerState.REPLAYING: "yellow",
    WorkerState.LIVE: "cyan",
    WorkerState.KILLED: "red",
    WorkerState.DONE: "green",
}


class Screen(Protocol):
    """Shows a scene and its news."""

    @property
    def pause_s(self) -> float:
        """How long the worker should stay dead, so that it can be seen, in seconds."""
        ...

    def draw(self, scene: Scene, elapsed_s: float) -> None:
        """Show the scene as it is now."""
        ...

    def news(self, scene: Scene, elapsed_s: float, text: str, style: str) -> None:
        """Tell something that has happened to the worker."""
        ...

    def said(self, elapsed_s: float, line: str) -> None:
        """Pass on a line of an agent's own."""
        ...

    def close(self) -> None:
        """Leave the cursor below the picture. Idempotent."""
        ...


def screen_for(stream: TextIO, height: int) -> Screen:
    """The picture if there is a terminal with enough room for ``height`` agents, else plain lines."""
    size = shutil.get_terminal_size()
    roomy = size.lines >= height + _MOST_NEWS + 5 and size.columns >= _LEAST_WIDTH
    drawable = "utf" in (stream.encoding or "").lower() and os.environ.get("TERM") != "dumb"
    if stream.isatty() and roomy and drawable and not os.environ.get("NO_COLOR"):
        return TerminalScreen(stream)
    return PlainScreen(stream)


class PlainScreen:
    """A line for everything that happens, as it happens."""

    pause_s = 0.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def draw(self, scene: Scene, elapsed_s: float) -> None:
        """Nothing: only news are shown."""

    def news(self, scene: Scene, elapsed_s: float, text: str, style: str) -> None:
        """A line with the time."""
        print(f"{elapsed_s:6.2f} s  {text}", file=self._stream, flush=True)

    def said(self, elapsed_s: float, line: str) -> None:
        """An indented line with the time."""
        print(f"{elapsed_s:6.2f} s      {visible(line)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to leave."""


class TerminalScreen:
    """A few lines that are drawn over and over."""

    pause_s = 0.35

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ink = Ink(stream)
        self._news: list[str] = []
        self._drawn = 0
        self._next_s = 0.0
        self._write("\x1b[?25l")

    def draw(self, scene: Scene, elapsed_s: float) -> None:
        """Redraw, if the last time is long enough ago."""
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + _FRAME_S
        self._redraw(scene, elapsed_s)

    def news(self, scene: Scene, elapsed_s: float, text: str, style: str) -> None:
        """Add to the news below the agents, and redraw."""
        stamp = self._ink(f"{elapsed_s:6.2f} s", "dim")
        self._news.append(f"{stamp}  {self._ink(shorten(text, _columns() - 12), style)}")
        self._redraw(scene, elapsed_s)

    def said(self, elapsed_s: float, line: str) -> None:
        """Nothing: the scene knows the last line of each agent."""

    def close(self) -> None:
        """Show the cursor again, below the picture."""
        self._write("\x1b[?25h")
        self._drawn = 0

    def _redraw(self, scene: Scene, elapsed_s: float) -> None:
        lines = list(self._lines(scene, elapsed_s, _columns()))
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._write(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._drawn = len(lines)

    def _lines(self, scene: Scene, elapsed_s: float, width: int) -> Iterator[str]:
        yield self._worker_line(scene, elapsed_s, width)
        yield ""
        names = max(cell_width(view.agent_id) for view in scene.agents.values())
        for view in scene.agents.values():
            yield self._agent_line(view, scene.state, names, width)
        legend = f"{'':{names}} {_WOUND} it was here when its process was killed"
        yield self._ink(shorten(legend, width) if scene.kills else "", "dim")
        yield from self._news[-_MOST_NEWS:]

    def _worker_line(self, scene: Scene, elapsed_s: float, width: int) -> str:
        doing = scene.state.value
        if scene.state is WorkerState.REPLAYING:
            doing += f" {scene.replaying} entries"
        who, state = f"worker {scene.pid:<8}", pad(f"● {doing}", 23)
        effects, kills = len(scene.effects), scene.kills
        long = (
            f"{elapsed_s:4.1f} s   effects {effects} of {scene.expected_effects}"
            f"   oplog {scene.entries} entries   killed {kills} of {scene.planned_kills}"
        )
        short = f"{elapsed_s:4.1f} s  effects {effects}  entries {scene.entries}  kills {kills}"
        room = width - len(who) - len(state)
        facts = long if len(long) <= room else shorten(short, room)
        return f"{who}{self._ink(state, _STYLE[scene.state], 'bold')}{facts}"

    def _agent_line(self, view: AgentView, state: WorkerState, names: int, width: int) -> str:
        style = "green" if view.done else _STYLE[state]
        cells = max(12, min(40, (width - names) // 2 - 8))
        room = width - names - cells - 18
        note = "" if view.done else visible(view.note)
        if cell_width(note) > room:  # the end of it is the news
            note = "…" + note[len(note) - room + 1 :]
        mark = self._ink("✓", "green") if view.done else " "
        count = self._ink(f"{view.entries:4d} entries", "dim")
        name = pad(view.agent_id, names)
        return f"{name} {self._bar(view, cells, style)} {mark}{count}  {self._ink(note, 'dim')}"

    def _bar(self, view: AgentView, cells: int, style: str) -> str:
        filled = round(view.progress * cells)
        wounds = {min(int(progress * cells), cells - 1) for progress in view.kills}
        return "".join(
            self._ink(_WOUND, "red", "bold")
            if cell in wounds
            else self._ink("━", style)
            if cell < filled
            else self._ink("─", "dim")
            for cell in range(cells)
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _columns() -> int:
    return shutil.get_terminal_size().columns

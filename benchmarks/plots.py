"""``python -m benchmarks --plot FILE.json DIRECTORY``: the curves as pictures, each as PNG and as SVG.

matplotlib is imported by this only (``pip install 'golem_sdk[bench]'``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable  # attrs classes are resolved at run time
from importlib import import_module
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["plot"]

_COLOUR: Final = "#20639b"
_NUMBER: Final = "{x:,.10g}"


@frozen
class _Picture:
    """One of them.

    Attributes:
        curve: whose points it shows.
        value: from a size and the seconds for all of it to what is drawn.
        is_rate: it is drawn on a linear scale from zero; costs are drawn on a logarithmic one.
    """

    file: str
    curve: str
    title: str
    x: str
    y: str
    value: Callable[[int, float], float]
    is_rate: bool = False


_PICTURES: Final = (
    _Picture(
        "throughput",
        "in flight",
        "Throughput against concurrency",
        "callers, each of which waits for its one-step workflow",
        "workflows per second",
        lambda size, taken_s: size / taken_s,
        is_rate=True,
    ),
    _Picture(
        "recovery",
        "entries replayed",
        "Recovery against history",
        "entries in the oplog of the agent",
        "milliseconds until it is loaded",
        lambda size, taken_s: taken_s * 1e3,
    ),
    _Picture(
        "payload",
        "payload",
        "Cost of a step against its payload",
        "bytes that the step gives",
        "milliseconds until it is on disk",
        lambda size, taken_s: taken_s * 1e3,
    ),
)


def plot(file: Path, directory: Path) -> list[Path]:
    """Draw what the file has curves for; gives the files that were written."""
    told: dict[str, Any] = json.loads(file.read_text())
    curves = {curve["name"]: curve["taken_s"] for curve in told.get("curves", ())}
    pictures = [picture for picture in _PICTURES if picture.curve in curves]
    if not pictures:
        sys.exit(f"{file} has no curves: `python -m benchmarks curves --json {file}` makes some")
    try:
        matplotlib = import_module("matplotlib")
    except ImportError:
        sys.exit("plots need matplotlib: pip install 'golem_sdk[bench]'")
    matplotlib.use("agg")  # no window, wherever it runs
    directory.mkdir(parents=True, exist_ok=True)
    return [
        path
        for picture in pictures
        for path in _draw(picture, curves[picture.curve], told["machine"], directory)
    ]


def _draw(
    picture: _Picture, points: list[tuple[int, list[float]]], machine: str, directory: Path
) -> list[Path]:
    pyplot = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    sizes = [size for size, _ in points]
    values = [sorted(picture.value(size, taken_s) for taken_s in all_s) for size, all_s in points]
    axes.fill_between(
        sizes, *zip(*map(_middle, values), strict=True), color=_COLOUR, alpha=0.2, lw=0
    )
    axes.plot(sizes, list(map(median, values)), "o-", color=_COLOUR)
    axes.set(xscale="log", xlabel=picture.x, ylabel=picture.y)
    axes.xaxis.set_major_formatter(_NUMBER)
    if picture.is_rate:
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
        is_short = max(map(max, values)) < 10 * min(map(min, values))
        axes.yaxis.set_minor_formatter(_NUMBER if is_short else "")
    axes.yaxis.set_major_formatter(_NUMBER)
    axes.set_title(picture.title, loc="left", weight="bold")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    rounds = len(points[0][1])
    figure.supxlabel(
        f"median and middle half of {rounds} rounds; {machine}",
        size=7,
        color="gray",
        ha="right",
        x=0.99,
    )
    paths = [directory / f"{picture.file}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return paths


def _middle(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high

"""The scatter picture of flatness and the robust generalization gap, with names beside its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.layout import Page, compose_freely
from landscape.analysis.point_names import add_names, arrange_names
from landscape.analysis.style import COLOURS, MARKERS
from landscape.analysis.wording import POINTS
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from landscape.analysis.association import Point

MOST_NAMES = 15
"""Points that each have a name; of more, only the last of each run has one."""

MOST_FINAL_NAMES = 20
"""Runs whose last points have names; more have the legend alone."""

SMALLEST, LARGEST = 14.0, 60.0
"""Areas of the first and the last epoch, in square typographic points."""

SIZE_OF_ALL = 42.0
"""Where all points are of one epoch."""

METHOD_COLOURS, METHOD_MARKERS = (*COLOURS, "#7f7f7f"), (*MARKERS, "<")
"""One more of each than for curves: eight methods are often compared."""

COURSE: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.35, "zorder": 2, "label": "_"}


def draw_association(axes: Axes, points: Sequence[Point], *, flatness: str = "flatness", unit: str = "nats") -> Axes:
    """Draw the gap over flatness: a colour and marker for each method, larger for later epochs, ringed for the last.

    Checkpoints of one run are joined in the order of their epochs. Up to `MOST_NAMES` points each have a name; of more,
    the last one of each run has the run's. Without methods every run has a colour.

    Args:
        axes: to draw on.
        points: at least one.
        flatness: what was measured, for example `rise(0.5)`.
        unit: of that number; empty for none.

    Raises:
        InputError: no point with finite numbers.
    """
    shown = [point for point in points if np.isfinite(point.flatness) and np.isfinite(point.gap)]
    if not shown:
        raise InputError("a scatter picture needs at least one checkpoint with finite numbers, got none.")
    epochs = [point.epoch for point in shown]
    runs: dict[str, list[Point]] = {}
    for point in sorted(shown, key=lambda point: point.epoch):
        runs.setdefault(point.run, []).append(point)
    groups = list(dict.fromkeys(_group(point) for point in shown))
    for course in runs.values():
        colour, _ = _look(groups.index(_group(course[0])))
        axes.plot([p.flatness for p in course], [_percent(p) for p in course], color=colour, **COURSE)
    for number, group in enumerate(groups):
        mine = [point for point in shown if _group(point) == group]
        colour, marker = _look(number)
        axes.scatter(
            [p.flatness for p in mine], [_percent(p) for p in mine], s=[_area(p.epoch, epochs) for p in mine],
            color=colour, marker=marker, edgecolors=["black" if p.is_final else "white" for p in mine],
            linewidths=[1.0 if p.is_final else 0.5 for p in mine], zorder=3, label=group,
        )  # fmt: skip
    axes.margins(0.08)
    axes.set_xlabel(f"{flatness} ({unit})" if unit else flatness)
    axes.set_ylabel(f"robust generalization gap, train minus test ({POINTS})")
    named = _named(shown)
    add_names(axes, [(p.flatness, _percent(p)) for p in named], [_name(p, shown) for p in named])
    return axes


def association_figure(
    points: Sequence[Point],
    *,
    flatness: str = "flatness",
    unit: str = "nats",
    caption: str = "",
    title: str | None = None,
) -> Figure:
    """`draw_association` as a figure with a legend above and a caption below.

    Args:
        points: as there.
        flatness: as there.
        unit: as there.
        caption: what was measured and how, and the coefficients; followed by how to read the picture.
        title: a line above the legend.

    Raises:
        InputError: no point with finite numbers.
    """
    panels: list[Axes] = []

    def draw(figure: Figure) -> None:
        panels.append(draw_association(figure.subplots(), points, flatness=flatness, unit=unit))

    page = Page(width=8.5, panel_height=5.2, caption=f"{caption} {_reading(points)}".strip(), title=title)
    figure = compose_freely(page, draw)
    figure.draw_without_rendering()
    arrange_names(panels[0])
    return figure


def _reading(points: Sequence[Point]) -> str:
    """How to read the picture, in sentences."""
    sentences = ["Each point is a checkpoint"]
    if len({point.epoch for point in points}) > 1:
        sentences[0] += ", larger for a later epoch"
    if len({point.run for point in points}) < len(points):
        sentences[0] += ", joined within its run"
    if any(point.is_final for point in points) and not all(point.is_final for point in points):
        sentences[0] += "; the last one of a run has a black rim"
    return f"{sentences[0]}. The gap contains train accuracy; an association says nothing about causes."


def _named(points: Sequence[Point]) -> list[Point]:
    if len(points) <= MOST_NAMES:
        return list(points)
    final = [point for point in points if point.is_final]
    return final if len(final) <= MOST_FINAL_NAMES else []


def _name(point: Point, points: Sequence[Point]) -> str:
    return point.name if len(points) <= MOST_NAMES else point.run


def _group(point: Point) -> str:
    return point.method or point.run


def _look(number: int) -> tuple[str, str]:
    """Colour and marker of group `number`; all pairs of the two are used before one comes again."""
    colour = METHOD_COLOURS[number % len(METHOD_COLOURS)]
    return colour, METHOD_MARKERS[(number + number // len(METHOD_COLOURS)) % len(METHOD_MARKERS)]


def _area(epoch: int, epochs: Sequence[int]) -> float:
    first, last = min(epochs), max(epochs)
    return SIZE_OF_ALL if first == last else SMALLEST + (LARGEST - SMALLEST) * (epoch - first) / (last - first)


def _percent(point: Point) -> float:
    return 100.0 * point.gap

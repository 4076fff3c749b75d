"""Learning curves: a quantity on training and test examples over the epochs, and the gap between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.layout import Page, compose
from landscape.analysis.run_history import RunGroup, how_measured
from landscape.analysis.style import COLOURS, MARKERS, SPLIT_LINES, epoch_ticks
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from landscape.analysis.run_history import Numbers

NEUTRAL = "#555555"

BEST: dict[str, Any] = {"linestyle": "none", "markersize": 9.0, "markerfacecolor": "none", "markeredgewidth": 1.7}
"""Hollow, because the best epochs of two runs may lie in one place."""

FLATTEST = 0.05
"""Smallest range of a column, as a share of its values."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that a history holds for both splits.

    Attributes:
        title: its name.
        column: what follows `train_` and `test_` in the names of columns.
        unit: of the shown numbers.
        scale: factor from stored to shown numbers.
        is_error: whether one minus the column is shown.
        lower_is_better: whether test minus train is the gap, and not train minus test.
    """

    title: str
    column: str
    unit: str = "%"
    scale: float = 100.0
    is_error: bool = False
    lower_is_better: bool = False

    def of(self, group: RunGroup, split: str) -> Numbers:
        """(runs, epochs) of the shown numbers on a split."""
        values = group.values(f"{split}_{self.column}")
        return self.scale * (1 - values if self.is_error else values)

    def gap(self, group: RunGroup) -> Numbers:
        """(runs, epochs) of how much worse test is than train, in the same unit."""
        difference = self.of(group, "train") - self.of(group, "test")
        return -difference if self.lower_is_better else difference


def _quantities(kind: str) -> dict[str, Quantity]:
    accuracy = f"{kind}_accuracy"
    return {
        f"{kind}-accuracy": Quantity(title=f"{kind} accuracy", column=accuracy),
        f"{kind}-error": Quantity(title=f"{kind} error", column=accuracy, is_error=True, lower_is_better=True),
        f"{kind}-loss": Quantity(
            title=f"{kind} loss", column=f"{kind}_loss", unit="nats", scale=1.0, lower_is_better=True
        ),
    }


QUANTITIES = {**_quantities("robust"), **_quantities("natural")}
"""What `--column` takes, besides the names of columns of a history."""


def history_figure(
    groups: Sequence[RunGroup], columns: Sequence[str] = ("robust-accuracy",), *, title: str | None = None
) -> Figure:
    """Learning curves of one or several groups of runs.

    A quantity of both splits has two panels, its curves and its gap; any other column of a history has one.

    Args:
        groups: what to draw, each in a colour of its own; the band of several runs is +- one standard deviation.
        columns: names in `QUANTITIES`, or columns of the histories.
        title: a line above the legend.

    Raises:
        InputError: no group, no column, or a column that a run does not have.
    """
    if not groups or not columns:
        raise InputError("a figure of learning curves needs at least one run and one column.")
    # Pairs first, so that a gap stands beside its curves.
    panels = [(column, gap) for column in columns if column in QUANTITIES for gap in (False, True)]
    panels += [(column, False) for column in columns if column not in QUANTITIES]
    for group in groups:
        for column, _ in panels:
            if column not in QUANTITIES:
                group.values(column)

    def draw(figure: Figure, grid: Any) -> None:
        for axes, panel in zip(grid.flat, [*panels, *[None] * (grid.size - len(panels))], strict=True):
            if panel is None:
                axes.set_visible(False)
                continue
            _draw_panel(axes, groups, *panel)
        if any(column in QUANTITIES for column in columns):
            _name_lines(grid[0, 0])

    page = Page(
        rows=-(-len(panels) // 2), panel_height=3.6, caption=_caption(groups, columns), title=title, share_y=False
    )
    return compose(page, draw)


def _draw_panel(axes: Axes, groups: Sequence[RunGroup], column: str, gap: bool) -> None:
    for position, group in enumerate(groups):
        colour, marker = COLOURS[position % len(COLOURS)], MARKERS[position % len(MARKERS)]
        if column not in QUANTITIES:
            _draw_line(axes, group, group.values(column), colour, label=group.label)
        elif gap:
            _draw_line(axes, group, QUANTITIES[column].gap(group), colour, label=group.label)
        else:
            for split in ("train", "test"):
                values = QUANTITIES[column].of(group, split)
                label = group.label if split == "train" else "_"
                _draw_line(axes, group, values, colour, label=label, linestyle=SPLIT_LINES[split])
            _mark_best(axes, group, QUANTITIES[column].of(group, "test"), colour, marker)
    for epoch in sorted({drop for group in groups for run in group.runs for drop in run.drops}):
        axes.axvline(epoch, color=NEUTRAL, linewidth=1.1, linestyle=(0, (1, 2.5)), zorder=1.2)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(epoch_ticks())
    axes.margins(x=0.02)
    _name_panel(axes, column, gap)


def _draw_line(
    axes: Axes, group: RunGroup, values: Numbers, colour: str, *, label: str, linestyle: Any = "solid"
) -> None:
    measured = np.isfinite(values).any(axis=0)
    epochs, shown = group.epochs[measured], values[:, measured]
    count = np.isfinite(shown).sum(axis=0)
    mean = np.nanmean(shown, axis=0)
    several = count > 1
    if several.any():
        deviation = np.nanstd(shown[:, several], axis=0, ddof=1)
        lower, upper = mean[several] - deviation, mean[several] + deviation
        axes.fill_between(epochs[several], lower, upper, color=colour, alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(epochs, mean, color=colour, linestyle=linestyle, linewidth=1.6, label=label, zorder=2)
    # One point is no line, and a line past epochs that were not evaluated does not show those that were.
    if len(epochs) == 1 or not measured.all():
        axes.plot(epochs, mean, color=colour, marker=".", markersize=7, linestyle="none", zorder=2)


def _mark_best(axes: Axes, group: RunGroup, values: Numbers, colour: str, marker: str) -> None:
    for run, numbers in zip(group.runs, values, strict=True):
        epoch = run.column("epoch")[run.best]
        height = numbers[np.searchsorted(group.epochs, epoch)]
        axes.plot(epoch, height, marker=marker, color=colour, zorder=4, **BEST)


def _name_lines(axes: Axes) -> None:
    for split, line in SPLIT_LINES.items():
        axes.plot([], [], color=NEUTRAL, linestyle=line, label=f"{split} examples")
    axes.plot([], [], color=NEUTRAL, marker="o", label="best epoch", **BEST)


def _name_panel(axes: Axes, column: str, gap: bool) -> None:
    if column not in QUANTITIES:
        axes.set_title(column.replace("_", " "))
        _scale(axes, column)
        return
    quantity = QUANTITIES[column]
    if not gap:
        axes.set_title(quantity.title)
        axes.set_ylabel(f"{quantity.title} ({quantity.unit})")
        return
    order = "test minus train" if quantity.lower_is_better else "train minus test"
    axes.set_title(f"gap in {quantity.title}")
    axes.set_ylabel(f"{order} ({'points' if quantity.unit == '%' else quantity.unit})")
    axes.axhline(0.0, color=NEUTRAL, linewidth=0.9, zorder=1)


def _scale(axes: Axes, column: str) -> None:
    low, high = axes.get_ylim()
    if column == "lr":
        # A last rate of 0 has no place on a logarithmic axis; the others have.
        axes.set_yscale("log", nonpositive="mask")
        # The style of this package draws no formulas, and the ticks of a logarithmic axis are some.
        axes.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, position: "")
    elif high - low < FLATTEST * abs(high):
        # Rounding is no curve.
        centre = (low + high) / 2
        axes.set_ylim(centre - FLATTEST * abs(centre), centre + FLATTEST * abs(centre))
        axes.ticklabel_format(axis="y", useOffset=False)


def _caption(groups: Sequence[RunGroup], columns: Sequence[str]) -> str:
    runs = [run for group in groups for run in group.runs]
    both_splits = any(column in QUANTITIES for column in columns)
    sentences = [how_measured(runs)] if both_splits else []
    if any(len(group.runs) > 1 for group in groups):
        sentences.append("Lines are means over runs that differ in their seed alone, bands one standard deviation.")
    if both_splits:
        chosen = " or ".join(sorted({run.selected_on for run in runs}))
        sentences.append(f"Best epoch: the highest robust accuracy on {chosen} examples.")
    if both_splits and not all(np.isfinite(run.column("test_robust_accuracy")).all() for run in runs):
        sentences.append("Dots: the epochs that were evaluated.")
    if any(run.drops for run in runs):
        sentences.append("Dotted lines: the learning rate drops.")
    if both_splits and any(run.is_log for run in runs):
        sentences.append(
            "Published logs measure training examples in training mode, augmented, and under AWP at w + v, so their "
            "gap is not the one of the trained weights."
        )
    return " ".join(sentence for sentence in sentences if sentence)

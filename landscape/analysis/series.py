"""The curves of one training run, epoch by epoch, parted where the run was best or where its gap opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.captions import alpha_label, series_caption, value_label
from landscape.analysis.layout import Page, compose
from landscape.analysis.plots import draw_mean
from landscape.analysis.samples import require_line
from landscape.analysis.settings import split_of
from landscape.analysis.style import SPLIT_LINES, Curve, epoch_ticks
from landscape.errors import InputError
from landscape.training.history import Row, read_history, selecting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from landscape.surfaces.surface import Surface

COLOUR_RANGE = (0.0, 0.9)
"""Part of the colour scale: its light end cannot be seen on white."""

BEST_LINE: dict[str, Any] = {"color": "black", "linewidth": 2.2, "zorder": 4}

OTHER_LINE: dict[str, Any] = {"linewidth": 1.6, "label": "_"}
"""Not in the legend: the colour bar names these epochs."""


_Drawn = tuple[int, Curve]


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Where the panels of a series part.

    Attributes:
        epoch: shown on both sides.
        name: what happened then, in words.
        best_epoch: the epoch with the highest robust accuracy on test examples.
    """

    epoch: int
    name: str
    best_epoch: int


def find_parting(run: Path, split_at: str = "best") -> Parting:
    """Where the series of a run folder parts, from its history.

    Args:
        run: the run folder.
        split_at: `best`, or `gap:G` for the first epoch at which train minus test robust accuracy is at least G.

    Raises:
        InputError: another text, or a gap that the run never reached.
        TrainingError: the history is missing, damaged or without an evaluation.
    """
    threshold = _threshold(split_at)
    rows = [row for row in read_history(run / "history.csv") if row["test_robust_accuracy"] is not None]
    if not rows:
        raise InputError(f"the history of {run} has no evaluation yet, so its best epoch is not known.")
    best = max(rows, key=selecting)  # the first of several, as the trainer keeps it
    best_epoch = int(best["epoch"] or 0)
    if threshold is None:
        return Parting(epoch=best_epoch, name="best", best_epoch=best_epoch)
    # Accuracies are counts over n: 0.5 - 0.4 is a gap of 0.1, whatever their binary fractions say.
    opened = [int(row["epoch"] or 0) for row in rows if _gap(row) >= threshold - 1e-9]
    if not opened:
        largest = max(map(_gap, rows))
        raise InputError(f"the robust gap of {run} reaches {largest:.3f} at most; name a smaller one than {split_at}.")
    return Parting(epoch=opened[0], name=f"robust gap {threshold:g} reached", best_epoch=best_epoch)


def series_figure(
    surfaces: Sequence[Surface],
    epochs: Sequence[int],
    *,
    parting: Parting,
    quantity: str = "loss",
    title: str | None = None,
) -> Figure:
    """Mean curves of one run, coloured by epoch: up to the parting on the left, from it on the right.

    The upper row shows g(alpha), the lower one g(alpha) - g(0); all panels share one y range. Where the parting is the
    first or the last epoch there is one group: g(alpha) on the left, g(alpha) - g(0) on the right. The best epoch is
    black. Where an epoch was measured on both splits, train is solid and test dashed.

    Args:
        surfaces: of each epoch one, or one for each split; in any order.
        epochs: their epochs.
        parting: where the panels part.
        quantity: one of `names.QUANTITIES`.
        title: a line above the legend.

    Raises:
        InputError: no surface, a surface over a plane, another number of epochs, an epoch twice on one split, or an
            unknown quantity.
    """
    _check(surfaces, epochs)
    both = len({split_of(surface) for surface in surfaces}) > 1
    scale = _colour_scale(epochs)
    drawn = [
        (epoch, _curve(surface, epoch, scale, both))
        for epoch, surface in sorted(zip(epochs, surfaces, strict=True), key=lambda pair: pair[0])
    ]
    groups = _groups(drawn, parting)

    def draw(figure: Figure, panels: Any) -> None:
        grid = panels if len(groups) > 1 else panels.T  # rows: g(alpha), then g(alpha) - g(0)
        for row, centred in zip(grid, (False, True), strict=True):
            for axes, (name, shown) in zip(row, groups, strict=True):
                for epoch, curve in shown:
                    line = BEST_LINE if epoch == parting.best_epoch else OTHER_LINE
                    draw_mean(axes, curve, quantity=quantity, centred=centred, band=0.0, **line)
                if len(groups) > 1 and not centred:
                    axes.set_title(name)
                axes.tick_params(labelbottom=axes in panels[-1], labelleft=axes is row[0])
            row[0].set_ylabel(value_label(quantity, surfaces, centred=centred))
        for axes in panels[-1]:
            axes.set_xlabel(alpha_label(surfaces))
        _colour_bar(figure, panels, scale)

    heading = title if len(groups) > 1 else ", ".join(filter(None, [title, groups[0][0]]))
    caption = series_caption(surfaces, [f"epoch {epoch}" for epoch in epochs])
    return compose(Page(rows=len(groups), panel_height=3.5, caption=caption, title=heading), draw)


def _groups(drawn: Sequence[_Drawn], parting: Parting) -> list[tuple[str, list[_Drawn]]]:
    """The epochs of each side of the parting with their title; one group if one side holds no other epoch."""
    moment = f"epoch {parting.epoch} ({parting.name})"
    before = [pair for pair in drawn if pair[0] <= parting.epoch]
    after = [pair for pair in drawn if pair[0] >= parting.epoch]
    if len(before) == len(drawn):
        return [(f"up to {moment}", before)]
    if len(after) == len(drawn):
        return [(f"from {moment}", after)]
    return [(f"up to {moment}", before), (f"from {moment}", after)]


def _threshold(split_at: str) -> float | None:
    """The gap G of `gap:G`; None for `best`."""
    if split_at == "best":
        return None
    kind, _, number = split_at.partition(":")
    try:
        threshold = float(Fraction(number))
    except (ValueError, ZeroDivisionError):
        threshold = 0.0
    if kind != "gap" or not 0 < threshold <= 1:
        raise InputError(f"a series parts at best or at gap:G with G in (0, 1], got {split_at!r}.")
    return threshold


def _gap(row: Row) -> float:
    return (row["train_robust_accuracy"] or 0.0) - (row["test_robust_accuracy"] or 0.0)


def _check(surfaces: Sequence[Surface], epochs: Sequence[int]) -> None:
    if not surfaces:
        raise InputError("a figure needs at least one surface, got none.")
    if len(epochs) != len(surfaces):
        raise InputError(f"{len(surfaces)} surfaces need as many epochs, got {len(epochs)}.")
    if len({(epoch, split_of(surface)) for epoch, surface in zip(epochs, surfaces, strict=True)}) < len(epochs):
        raise InputError(f"a series has every epoch once for each split, got {', '.join(map(str, sorted(epochs)))}.")
    for surface in surfaces:
        require_line(surface)


def _curve(surface: Surface, epoch: int, scale: Any, both: bool) -> Curve:
    from matplotlib.colors import to_hex

    split = split_of(surface) or ""
    return Curve(
        surface=surface,
        label=f"epoch {epoch}, best" + (f" ({split})" if both else ""),
        colour=to_hex(scale.to_rgba([epoch])[0]),
        linestyle=SPLIT_LINES.get(split, "solid") if both else "solid",
        marker="None",
    )


def _colour_scale(epochs: Sequence[int]) -> Any:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(*COLOUR_RANGE, 256)))
    first, last = min(epochs), max(epochs)
    return ScalarMappable(Normalize(first, max(last, first + 1)), colours)


def _colour_bar(figure: Figure, panels: Any, scale: Any) -> None:
    figure.colorbar(scale, ax=panels, label="epoch", ticks=epoch_ticks(), aspect=20 * len(panels), pad=0.01)

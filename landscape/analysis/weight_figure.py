"""The picture of the weights of several checkpoints: a panel for each layer, or one for all (AWP paper, Fig. 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.layout import Page, compose_freely, shortened
from landscape.analysis.style import COLOURS, LINE_STYLES
from landscape.analysis.weight_histograms import Layer, LayerHistogram
from landscape.analysis.wording import counted
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 40
"""More cannot be read on one page; WRN-34-10 has 35 kernels and matrices."""

NUM_COLUMNS = 4

MOST_FILLED = 3
"""Histograms that are filled; more of them would cover one another."""

LONGEST_TITLE = 34

SERIES_COLOURS = (0.0, 0.88)
"""Part of the colour scale of a series: its light end cannot be seen on white."""


def draw_histograms(
    axes: Axes, layer: Layer, *, counts: bool = False, log: bool = False, colours: Sequence[str] | None = None
) -> Axes:
    """Draw the histograms of one layer over one another, each as an outline.

    Args:
        axes: to draw on.
        layer: what to draw.
        counts: how many weights lie in a bin, rather than their density.
        log: logarithmic in the vertical direction.
        colours: of the checkpoints by their order; None for colours that differ most.

    Raises:
        InputError: as many colours as checkpoints are needed.
    """
    if colours is not None and len(colours) < len(layer.histograms):
        raise InputError(f"{len(layer.histograms)} checkpoints need as many colours, got {len(colours)}.")
    for number, one in enumerate(layer.histograms):
        colour = colours[number] if colours is not None else COLOURS[number % len(COLOURS)]
        line = "solid" if colours is not None else LINE_STYLES[number % len(LINE_STYLES)]
        heights = _heights(layer, one, counts)
        shown = np.where(heights > 0, heights, np.nan) if log else heights
        if len(layer.histograms) <= MOST_FILLED and not log:
            axes.stairs(heights, layer.edges, fill=True, color=colour, alpha=0.15, linewidth=0, label="_")
        axes.stairs(shown, layer.edges, color=colour, linestyle=line, linewidth=1.2, label=one.checkpoint)
    if log:
        axes.set_yscale("log")
        # The style of this package draws no formulas, and the ticks of a logarithmic axis are some.
        axes.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, position: "")
    else:
        axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    return axes


def weight_figure(
    layers: Sequence[Layer], *, counts: bool = False, log: bool = False, series: bool = False, title: str | None = None
) -> Figure:
    """The figure of `landscape weights`: a panel for each layer, with one legend.

    Args:
        layers: at most `MOST_PANELS`.
        counts: as in `draw_histograms`.
        log: as in `draw_histograms`.
        series: whether the checkpoints are epochs of one run, so that their colours follow one another.
        title: a line above the legend.

    Raises:
        InputError: no layer, or too many.
    """
    if not layers:
        raise InputError("a figure of weights needs at least one layer, got none.")
    if len(layers) > MOST_PANELS:
        raise InputError(
            f"a figure has room for {MOST_PANELS} layers, got {len(layers)}; choose with --layers REGEX, or draw them "
            "--together."
        )
    columns = min(NUM_COLUMNS, len(layers))
    rows = math.ceil(len(layers) / columns)
    checkpoints = list(dict.fromkeys(one.checkpoint for layer in layers for one in layer.histograms))
    colours = _colours(checkpoints, series)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        for number, axes in enumerate(panels.flat):
            if number >= len(layers):
                axes.set_visible(False)
                continue
            layer = layers[number]
            own = None if colours is None else [colours[one.checkpoint] for one in layer.histograms]
            draw_histograms(axes, layer, counts=counts, log=log, colours=own)
            _name(axes, layer, first=number % columns == 0, counts=counts, small=columns > 2)
            if number >= len(layers) - columns:
                axes.set_xlabel("weight")

    page = Page(
        width=max(5.5, 2.6 * columns), panel_height=3.8 if columns < 3 else 2.1, rows=rows,
        caption=_caption(layers, log), title=title,
    )  # fmt: skip
    return compose_freely(page, draw)


def _heights(layer: Layer, one: LayerHistogram, counts: bool) -> Any:
    return one.counts.astype(np.float64) if counts else layer.density(one)


def _name(axes: Axes, layer: Layer, *, first: bool, counts: bool, small: bool) -> None:
    size = 8.0 if small else 10.5
    axes.set_title(shortened(layer.name, LONGEST_TITLE), fontsize=size)
    if first:
        axes.set_ylabel("weights per bin" if counts else "density (1 / weight)")
    if small:
        axes.tick_params(labelsize=7.5)
        axes.locator_params(axis="x", nbins=4)


def _colours(checkpoints: Sequence[str], series: bool) -> dict[str, str] | None:
    """A colour for each epoch of a series; None for colours that differ most."""
    import matplotlib
    from matplotlib.colors import to_hex

    if not series:
        return None
    scale = matplotlib.colormaps["viridis"](np.linspace(*SERIES_COLOURS, len(checkpoints)))
    return {name: to_hex(colour) for name, colour in zip(checkpoints, scale, strict=True)}


def _caption(layers: Sequence[Layer], log: bool) -> str:
    total = {one.num_weights for layer in layers for one in layer.histograms[:1]}
    bins = counted(len(layers[0].edges) - 1, "bin")
    size = f"{min(total)} weights" if len(total) == 1 else f"{min(total)} to {max(total)} weights"
    each = " in each" if len(layers) > 1 else ""
    sentences = [
        f"{counted(len(layers), 'panel')} of {size}; {bins}{each}, the same for all checkpoints and symmetric about 0, "
        "and no weight lies outside."
    ]
    if log:
        sentences.append("Empty bins have no line.")
    if any(one.num_not_finite for layer in layers for one in layer.histograms):
        sentences.append("NaN and infinite weights are left out.")
    return " ".join(sentences)

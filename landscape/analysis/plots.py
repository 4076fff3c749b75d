"""Curves drawn on axes that the caller made; size, style, legend and saving are the caller's (see `figures`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.captions import FEW_CURVES, alpha_label, value_label
from landscape.analysis.directions import direction_name, has_named_directions
from landscape.analysis.marks import draw_marks
from landscape.analysis.samples import centre_values, require_line
from landscape.analysis.statistics import summarize_curve
from landscape.analysis.style import Curve, direction_looks, style_curves
from landscape.analysis.wording import quantity_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.surfaces.surface import Surface

BAND = 0.18
"""Opacity of the bands."""

THIN: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.4, "zorder": 2}

NAMED: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.9, "zorder": 2.5, "markerfacecolor": "white"}

PALE = 0.4
"""Opacity of the named lines of a curve that has the colour of an earlier one, as both splits of a checkpoint have."""

NEUTRAL = "#555555"
"""Of what a legend says about the lines of several curves."""


def plot_curves(
    axes: Axes,
    surfaces: Surface | Sequence[Surface],
    labels: Sequence[str] | None = None,
    quantity: str = "loss",
    centred: bool = False,
) -> Axes:
    """Draw the curves of surfaces: a thin line for each direction, their mean, and the 95 % t-interval of the mean.

    The interval is over directions, for the measured examples, and cut off where no value can lie; with fewer than
    three directions there is none. It does not widen the y range, which is that of the lines. Of more than three
    surfaces only the means are drawn. Points that are missing or not finite are left out. Every mean carries its
    label, and so do eigenvectors, principal components and other directions that are no random sample: call
    `axes.legend()` for a legend. A single direction is its own mean.

    Args:
        axes: where to draw.
        surfaces: one surface or several, along one direction at a time.
        labels: what to call them; their own labels by default.
        quantity: `loss`, `robust-error`, `natural-loss` or `natural-error`; errors are drawn in percent.
        centred: draw g(alpha) - g(0) instead of g(alpha), where g(0) is the measured centre.

    Returns:
        The axes.

    Raises:
        InputError: no surface, a surface over a plane, another number of labels, or a quantity that is unknown or was
            not measured.
    """
    several = list(surfaces) if isinstance(surfaces, Sequence) else [surfaces]
    return draw_curves(axes, style_curves(several, labels), quantity=quantity, centred=centred)


def draw_curves(axes: Axes, curves: Sequence[Curve], *, quantity: str = "loss", centred: bool = False) -> Axes:
    """As `plot_curves`, with colours, lines and markers of the caller's choice.

    Raises:
        InputError: a surface over a plane, or a quantity that is unknown or was not measured.
    """
    surfaces = [curve.surface for curve in curves]
    scale = quantity_words(quantity, surfaces).scale
    spread = len(curves) <= FEW_CURVES
    for curve in curves:
        draw_mean(axes, curve, quantity=quantity, centred=centred, band=BAND if spread else 0.0)
        draw_marks(axes, curve, quantity=quantity, scale=scale, centred=centred)
    # Thin lines lie below all means, so that no checkpoint hides another's mean, and follow them in the legend.
    for number, curve in enumerate(curves if spread else ()):
        second = any(curve.colour == other.colour for other in curves[:number])
        look = {"alpha": PALE} if second else {}
        _draw_directions(axes, curve, quantity, scale, centred, alone=len(curves) == 1, **look)
    axes.set_xlabel(alpha_label(surfaces))
    axes.set_ylabel(value_label(quantity, surfaces, centred=centred))
    return axes


def draw_mean(axes: Axes, curve: Curve, *, quantity: str, centred: bool, band: float = BAND, **line: Any) -> Axes:
    """Draw the mean of one curve, with its band of that opacity; `line` overrides settings of the line."""
    summary, words = summarize_curve(curve.surface, quantity), quantity_words(quantity, [curve.surface])
    scale, shift = words.scale, summary.centre if centred else 0.0
    if band:
        low, high = (scale * (np.clip(end, words.lowest, words.highest) - shift) for end in (summary.low, summary.high))
        limits = axes.dataLim.frozen()
        axes.fill_between(summary.alpha, low, high, color=curve.colour, alpha=band, linewidth=0, zorder=2.2)
        axes.dataLim.set(limits)  # a wide band does not flatten the curves
    look = {
        "color": curve.colour,
        "linestyle": curve.linestyle,
        "marker": curve.marker,
        "markersize": 3.6,
        "linewidth": 1.9,
        # Matplotlib leaves labels with a leading underscore out of legends.
        "label": f" {curve.label}" if curve.label.startswith("_") else curve.label,
        "zorder": 3,
    }
    axes.plot(summary.alpha, scale * (summary.mean - shift), **(look | line))
    return axes


def _draw_directions(
    axes: Axes, curve: Curve, quantity: str, scale: float, centred: bool, *, alone: bool, **line: Any
) -> None:
    require_line(curve.surface)
    lines, alpha = scale * curve.surface.mean(quantity), curve.surface.grid.alpha
    if len(lines) == 1:
        return
    lines = lines - (scale * float(centre_values(curve.surface, quantity).mean()) if centred else 0.0)
    if not has_named_directions(curve.surface):
        for values in lines:
            axes.plot(alpha, values, color=curve.colour, **THIN)
        return
    looks = direction_looks(len(lines), curve.colour, alone=alone)
    for number, values, look in zip(curve.surface.direction_ids, lines, looks, strict=True):
        name = direction_name(curve.surface, int(number), measured=alone)
        axes.plot(alpha, values, label=name if alone else "_", **(NAMED | look | line))
        if not alone:  # the legend's line is of no curve's colour, because all curves share it
            axes.plot([], [], label=name, **(NAMED | look | {"color": NEUTRAL}))

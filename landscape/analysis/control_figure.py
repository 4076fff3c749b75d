"""The figure of the control: curves on the fly and on fixed examples, and the gap between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.captions import alpha_label, curves_caption
from landscape.analysis.control import Control, gap_curve
from landscape.analysis.layout import Page, compose
from landscape.analysis.plots import BAND, draw_curves
from landscape.analysis.style import COLOURS, LINE_STYLES, MARKERS
from landscape.analysis.wording import quantity_words
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = (
    "Right: on the fly minus fixed, mean over directions and examples; band: 95 % interval at each node, paired over "
    "directions and examples, none with fewer than 3 random directions."
)


def control_figure(controls: Sequence[Control], *, quantity: str = "loss", title: str | None = None) -> Figure:
    """Both curves of every pair on the left (solid: on the fly, dashed: fixed), their gap on the right.

    Args:
        controls: what to draw; `control.find_controls` finds them among curves.
        quantity: `loss` or `robust-error`.
        title: a line above the legend.

    Raises:
        InputError: no pair, or a quantity that is unknown or was not measured.
    """
    if not controls:
        raise InputError("the figure of the control needs one checkpoint measured on the fly and fixed, got none.")
    styled = [_styled(control, place) for place, control in enumerate(controls)]
    curves = [curve for control in styled for curve in (control.on_the_fly, control.fixed)]
    surfaces = [curve.surface for curve in curves]

    def draw(figure: Figure, panels: Any) -> None:
        left, right = panels[0]
        draw_curves(left, curves, quantity=quantity)
        for control in styled:
            draw_gap(right, control, quantity=quantity)
        words = quantity_words(quantity, surfaces)
        right.set_xlabel(alpha_label(surfaces))
        right.set_ylabel(f"{words.title}, on the fly − fixed ({words.unit_of_differences})")

    caption = f"{curves_caption(surfaces, [curve.label for curve in curves], quantity)} {GAP}"
    return compose(Page(caption=caption, title=title, share_y=False), draw)


def draw_gap(axes: Axes, control: Control, *, quantity: str = "loss") -> Axes:
    """Draw the gap of one pair with its band, in the colour of its curve on the fly."""
    found, curve = gap_curve(control, quantity), control.on_the_fly
    scale = quantity_words(quantity, [curve.surface]).scale
    known = np.isfinite(found.low)
    axes.fill_between(
        found.alpha,
        scale * found.low,
        scale * found.high,
        where=known.tolist(),
        color=curve.colour,
        alpha=BAND,
        linewidth=0,
    )
    axes.plot(found.alpha, scale * found.mean, color=curve.colour, marker=curve.marker, markersize=3.6, linewidth=1.9)
    return axes


def _styled(control: Control, place: int) -> Control:
    """One colour and marker for both curves of a pair; the line says which is which."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    fresh, fixed = (
        replace(curve, colour=colour, marker=marker, linestyle=line)
        for curve, line in zip((control.on_the_fly, control.fixed), LINE_STYLES, strict=False)
    )
    return replace(control, on_the_fly=fresh, fixed=fixed)

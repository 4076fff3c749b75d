"""The figure of planes: contours and reliefs of g and of |g - g(0, 0)|, with one colour scale for all panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.captions import settings_caption
from landscape.analysis.contours import colours_of, draw_contour, draw_relief, shown_values
from landscape.analysis.directions import HESSIAN, PRINCIPAL, kind_of, marks_of
from landscape.analysis.layout import Page, compose_freely, settled, shortened
from landscape.analysis.levels import Beyond, Levels, Wanted, choose_levels
from landscape.analysis.loss_words import losses_of
from landscape.analysis.marks import draw_plane_marks, is_inside
from landscape.analysis.planes import Plane, require_plane
from landscape.analysis.wording import listed, quantity_words
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from landscape.analysis.wording import QuantityWords

Floats = npt.NDArray[np.float64]

MOST_PANELS = 4
"""More planes than these would be too small to read on one page."""

PANEL_WIDTH, PANEL_HEIGHT = 3.3, 3.2
"""Inches."""

COLOUR_BAR_WIDTH = 1.3
"""Inches."""

NARROWEST = 8.0
"""Inches of a figure, for its caption."""

LONGEST_TITLE = 32

MOST_TICKS = 11

FORMULAS = {False: "g(α, β)", True: "|g(α, β) − g(0, 0)|"}


def plane_figure(
    planes: Sequence[Plane], *, quantity: str = "loss", levels: Wanted = "auto", title: str | None = None
) -> Figure:
    """The figure of `landscape plot-2d`: each plane's g and |g - g(0, 0)|, as contours and as reliefs below them.

    All panels share levels, colours and heights, so that planes of several checkpoints are compared by eye.

    Args:
        planes: one to four; `planes.planes_of` makes them of surfaces.
        quantity: one of `names.QUANTITIES`.
        levels: `auto`, `paper`, `log`, or increasing numbers.
        title: a line above the panels.

    Raises:
        InputError: no plane or more than four, planes of several losses, levels that do not fit, or a quantity that is
            unknown or not measured.
    """
    require_panels(len(planes))
    for plane in planes:
        require_plane(plane.surface)
    words = quantity_words(quantity, [plane.surface for plane in planes])
    _require_one_loss(planes, quantity)
    values = {
        centred: [shown_values(plane, quantity, words.scale, centred=centred) for plane in planes]
        for centred in (False, True)
    }
    every = [*values[False], *values[True]]
    chosen = choose_levels(every, words, levels)
    beyond = chosen.beyond(every)
    rows, columns = (2, 2 * len(planes)) if len(planes) <= 2 else (4, len(planes))

    def draw(figure: Figure) -> None:
        panels = figure.add_gridspec(rows, columns)
        for block, centred in enumerate((False, True)):
            top, left = (0, block * len(planes)) if rows == 2 else (2 * block, 0)
            for position, (plane, shown) in enumerate(zip(planes, values[centred], strict=True)):
                flat = figure.add_subplot(panels[top, left + position])
                flat.set_title(f"{shortened(plane.label, LONGEST_TITLE)}\n{FORMULAS[centred]}")
                draw_contour(flat, plane, shown, chosen, beyond)
                paint = colours_of(chosen, beyond)
                draw_plane_marks(
                    flat, plane.surface, quantity=quantity, scale=words.scale, centred=centred, paint=paint
                )
                relief: Any = figure.add_subplot(panels[top + 1, left + position], projection="3d")
                _finish_relief(draw_relief(relief, plane, shown, chosen, beyond), chosen, every)
        _colour_bar(figure, chosen, beyond, words)

    page = Page(
        width=max(columns * PANEL_WIDTH + COLOUR_BAR_WIDTH, NARROWEST),
        panel_height=PANEL_HEIGHT,
        rows=rows,
        caption=planes_caption(planes, chosen, every),
        title=title,
    )
    return settled(compose_freely(page, draw))


def require_panels(count: int) -> None:
    """Refuse more planes than a figure holds, before anything is computed.

    Raises:
        InputError: none, or more than four.
    """
    if not 1 <= count <= MOST_PANELS:
        raise InputError(f"a figure holds 1 to {MOST_PANELS} planes, got {count}; draw fewer of them at a time.")


def _require_one_loss(planes: Sequence[Plane], quantity: str) -> None:
    losses = {words.title for words in losses_of([plane.surface for plane in planes])}
    if quantity.endswith("loss") and len(losses) > 1:
        raise InputError(
            f"one colour scale holds one loss, got {' and '.join(sorted(losses))}; draw them by themselves."
        )


def planes_caption(planes: Sequence[Plane], levels: Levels, values: Sequence[Floats]) -> str:
    """Caption: what contours, colours and heights are, then every setting with the cosines, and what is masked."""
    shown = levels.lines if len(levels.lines) <= 6 else (*levels.lines[:2], "...", levels.lines[-1])
    highest = max((float(np.nanmax(part)) for part in values if np.isfinite(part).any()), default=-np.inf)
    cut = f"; higher values (up to {highest:.4g}) have one colour and are cut off" if highest > levels.edges[-1] else ""
    masked = "Grey with a cross: masked. " if any(not np.isfinite(part).all() for part in values) else ""
    dots = "Small dots: measured nodes; values between them are interpolated. "
    interpolated = dots if any(plane.interpolated.any() for plane in planes) else ""
    drawn = (
        f"Contours, colours and heights: {listed(shown)} ({levels.origin}), the same in all panels{cut}. "
        f"Plus: the centre. {interpolated}{masked}α and β are {_units(planes)}."
    )
    if any(marks_of(plane.surface) for plane in planes):
        drawn += (
            " Diamonds: other checkpoints, in or beside the plane, in the colours of the values at their own weights."
        )
    beyond = [mark.name for plane in planes for mark in marks_of(plane.surface) if not is_inside(mark, plane.surface)]
    if beyond:
        drawn += f" Beyond the picture, and not drawn: {listed(list(dict.fromkeys(beyond)))}."
    labels = _labels(planes)
    return f"{drawn} {settings_caption([surface for surface, _ in labels], [label for _, label in labels])}"


def _units(planes: Sequence[Plane]) -> str:
    """What the two axes count."""
    if all(kind_of(plane.surface) in (PRINCIPAL, HESSIAN) for plane in planes):
        return "distances along the two directions"
    return "multiples of the two directions"


def _labels(planes: Sequence[Plane]) -> list[tuple[Any, str]]:
    """Each surface once, with the label of its first plane."""
    found: dict[int, tuple[Any, str]] = {}
    for plane in planes:
        found.setdefault(id(plane.surface), (plane.surface, plane.label))
    return list(found.values())


def _finish_relief(axes: Any, levels: Levels, values: Sequence[Floats]) -> None:
    """One range of heights for all reliefs, ticks in the shown unit, and quiet walls."""
    heights = np.concatenate([levels.height(part).ravel() for part in values])
    finite = heights[np.isfinite(heights)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if levels.lowest == 0 and not levels.logarithmic:
        low = 0.0
    axes.set_zlim(low, high if high > low else low + 1.0)
    if levels.logarithmic:
        ticks = _some(levels.lines, 6)
        axes.set_zticks(np.log10(ticks), [f"{tick:g}" for tick in ticks])
        axes.set_zlim(low, high if high > low else low + 1.0)
    axes.set_box_aspect(None, zoom=1.1)
    axes.view_init(elev=28, azim=-60)
    axes.tick_params(labelsize=8, pad=-1)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(_few_ticks())


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, prune="both")  # two axes meet in a corner, where their labels would


def _colour_bar(figure: Figure, levels: Levels, beyond: Beyond, words: QuantityWords) -> None:
    from matplotlib.cm import ScalarMappable

    colours, norm = colours_of(levels, beyond)
    bar = figure.colorbar(
        ScalarMappable(norm=norm, cmap=colours),
        ax=figure.axes,
        ticks=_some(levels.edges, MOST_TICKS),
        format="%g",
        aspect=40,
        shrink=0.8,
        extendfrac="auto",
    )
    bar.ax.grid(False)
    bar.minorticks_off()
    bar.set_label(f"{words.title}, {words.unit}" if words.unit == "%" else f"{words.title} ({words.unit})")


def _some(numbers: Sequence[float], most: int) -> list[float]:
    """At most `most` of the numbers, evenly."""
    return list(numbers[:: -(-len(numbers) // most)])

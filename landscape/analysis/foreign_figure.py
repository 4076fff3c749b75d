"""The figure of imported surfaces: means that another tool computed, with a caption that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.layout import Page, compose
from landscape.analysis.style import COLOURS, MARKERS, SPLIT_LINES
from landscape.errors import InputError
from landscape.surfaces.foreign import NAMES, TOOL, ForeignSurface
from landscape.surfaces.surface import DONE, MISSING, NOT_FINITE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"loss": "loss (as that tool computed it)", "acc": "error (%)"}

NUM_LEVELS = 15


def foreign_figure(surfaces: Sequence[ForeignSurface]) -> Figure:
    """Loss and error of imported surfaces side by side: curves overlaid, or one plane as contours.

    Raises:
        InputError: no surface, lines and planes together, or several planes.
    """
    if not surfaces:
        raise InputError("a figure needs at least one surface, got none.")
    planes = [surface for surface in surfaces if surface.grid.beta is not None]
    if planes and len(surfaces) > 1:
        raise InputError("imported planes are drawn one at a time; name one file.")
    caption = " ".join([*(_origin(surface) for surface in surfaces), _MEANING, *_masked(surfaces)])
    if planes:
        return _plane_figure(planes[0], caption)
    return _curve_figure(surfaces, caption)


_MEANING = (
    f"Foreign: computed by {TOOL}, which records means only. Model, data, number of examples, directions and their "
    "normalization are not known here; no band, interval or comparison can be made."
)


def _curve_figure(surfaces: Sequence[ForeignSurface], caption: str) -> Figure:
    def draw(figure: Figure, panels: Any) -> None:
        for axes, kind in zip(panels[0], TITLES, strict=True):
            for position, surface in enumerate(surfaces):
                _draw_curves(axes, surface, kind, position, several=len(surfaces) > 1)
            axes.set_xlabel("x (units of that tool's direction)")
            axes.set_ylabel(TITLES[kind])
            if not axes.lines:
                _leave_empty(axes)

    return compose(Page(caption=caption, share_y=False, title=None if len(surfaces) > 1 else surfaces[0].label), draw)


def _draw_curves(axes: Axes, surface: ForeignSurface, kind: str, position: int, *, several: bool) -> None:
    for split, line in SPLIT_LINES.items():
        if f"{split}_{kind}" in surface.means:
            axes.plot(
                surface.grid.alpha,
                values_of(surface, f"{split}_{kind}"),
                color=COLOURS[position % len(COLOURS)],
                linestyle=line,
                marker=MARKERS[position % len(MARKERS)],
                markersize=3.6,
                label=f"{surface.label} ({split})" if several else split,
            )


def _plane_figure(surface: ForeignSurface, caption: str) -> Figure:
    splits = [split for split in SPLIT_LINES if any(name.startswith(split) for name in surface.means)]

    def draw(figure: Figure, panels: Any) -> None:
        for column, kind in enumerate(TITLES):
            names = [f"{split}_{kind}" for split in splits if f"{split}_{kind}" in surface.means]
            scale = _levels([values_of(surface, name) for name in names])
            for row, split in enumerate(splits):
                axes = panels[row][column]
                if f"{split}_{kind}" not in names or scale is None:
                    _leave_empty(axes)
                    continue
                values = np.ma.masked_invalid(values_of(surface, f"{split}_{kind}").T)
                drawn = axes.contourf(surface.grid.alpha, surface.grid.beta, values, levels=scale, cmap="viridis")
                figure.colorbar(drawn, ax=axes, use_gridspec=False)
                axes.set_title(f"{split} {TITLES[kind]}")
                axes.locator_params(nbins=5)
                axes.set_xlabel("x (units of that tool's direction)")
                axes.set_ylabel("y (likewise)")
                axes.set_aspect("equal")

    return compose(Page(caption=caption, rows=len(splits), share_y=False, title=surface.label), draw)


def values_of(surface: ForeignSurface, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The values to draw: losses, or errors in percent; NaN where missing or not finite."""
    values = 100.0 - surface.means[name] if name.endswith("acc") else surface.means[name]
    return np.where(surface.status[name] == DONE, values, np.nan)


def foreign_numbers(surface: ForeignSurface) -> dict[str, Any]:
    """Everything that is known, as plain JSON values; None where a mean is missing or not finite."""
    means = {name: np.where(surface.status[name] == DONE, surface.means[name], np.nan) for name in surface.means}
    return {
        "label": surface.label,
        "foreign": True,
        "tool": TOOL,
        "source": surface.source,
        "digest": surface.digest,
        "grid": surface.grid.to_spec(),
        **{name: _plain(values.tolist()) for name, values in means.items()},
    }


def foreign_sentences(surfaces: Sequence[ForeignSurface]) -> list[str]:
    """Where the surfaces are from, what they lack, and the value nearest to the origin and the range of each mean."""
    lines = [_MEANING]
    for surface in surfaces:
        lines.append(_origin(surface))
        for name in surface.means:
            known = surface.means[name][surface.status[name] == DONE]
            spread = f"{known.min():.4g} to {known.max():.4g}" if known.size else "nothing"
            lines.append(f"  {name}: {spread}, {known.size} of {surface.means[name].size} points")
    return lines


def _levels(values: Sequence[Any]) -> Any:
    """Contour levels over all panels of one quantity; None if there is nothing to draw."""
    known = np.concatenate([part[np.isfinite(part)] for part in values]) if values else np.zeros(0)
    if not known.size:
        return None
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(NUM_LEVELS).tick_values(float(known.min()), float(known.max()))


def _leave_empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not in the file", ha="center", va="center", transform=axes.transAxes, color="#555555")
    axes.set_axis_off()


def _origin(surface: ForeignSurface) -> str:
    return f"{surface.label}: imported from {surface.source} (sha256 {surface.digest[:12]})."


def _masked(surfaces: Sequence[ForeignSurface]) -> list[str]:
    sentences = []
    for surface in surfaces:
        counts: dict[str, list[str]] = {}
        for name in (name for name in NAMES if name in surface.status):
            status = surface.status[name]
            missing, bad = int((status == MISSING).sum()), int((status == NOT_FINITE).sum())
            if missing or bad:
                counts.setdefault(f"{missing} missing and {bad} not finite of {status.size} points", []).append(name)
        sentences += [f"Masked in {surface.label} ({', '.join(names)}): {count}." for count, names in counts.items()]
    return sentences


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if np.isfinite(value) else None

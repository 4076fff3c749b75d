"""The figure of overlaid curves, and how figures are saved; neither pyplot nor matplotlib's settings are touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.analysis.captions import curves_caption
from landscape.analysis.layout import DPI, Page, compose, own_style
from landscape.analysis.plots import draw_curves
from landscape.analysis.samples import require_line
from landscape.analysis.style import Curve
from landscape.errors import InputError
from landscape.files import written_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"metadata": {"Software": None}},
    ".pdf": {"metadata": {"Creator": None, "Producer": None, "CreationDate": None}},
    ".svg": {"metadata": {"Date": None, "Creator": None}},
}
"""File formats by suffix. Without dates and versions the same numbers give the same bytes."""


def curve_figure(curves: Sequence[Curve], *, quantity: str = "loss", title: str | None = None) -> Figure:
    """The figure of `landscape plot-1d`: g(alpha) and g(alpha) - g(0) side by side on one y range.

    Args:
        curves: what to draw; `style.style_curves` makes them of surfaces.
        quantity: one of `names.QUANTITIES`.
        title: a line above the legend.

    Raises:
        InputError: no curve, a surface over a plane, or a quantity that is unknown or was not measured.
    """
    if not curves:
        raise InputError("a figure needs at least one curve, got none.")
    surfaces, labels = [curve.surface for curve in curves], [curve.label for curve in curves]
    for surface in surfaces:
        require_line(surface)

    def draw(figure: Figure, panels: Any) -> None:
        for axes, centred in zip(panels[0], (False, True), strict=True):
            draw_curves(axes, curves, quantity=quantity, centred=centred)
            axes.tick_params(labelleft=True)

    return compose(Page(caption=curves_caption(surfaces, labels, quantity), title=title), draw)


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure atomically as PNG, PDF or SVG, by the suffix of `path`; the same figure gives the same bytes.

    Raises:
        InputError: another suffix.
        FileError: the file cannot be written.
    """
    target = Path(path)
    require_figure_suffix(target)
    with written_atomically(target) as temporary, own_style():
        figure.savefig(temporary, format=target.suffix.lower()[1:], dpi=DPI, **FORMATS[target.suffix.lower()])
    return target


def require_figure_suffix(path: Path) -> None:
    """Refuse a file name that no picture can have, before anything is computed.

    Raises:
        InputError: the suffix is not .png, .pdf or .svg.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"a figure is written as .png, .pdf or .svg, got {path.name!r}; give --out one of these suffixes."
        )

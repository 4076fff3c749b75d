"""Planes drawn on axes that the caller made: contours, and reliefs in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import plane_labels
from landscape.analysis.levels import Beyond, Levels, Wanted, choose_levels
from landscape.analysis.marks import covered_places
from landscape.analysis.planes import Plane, axes_of, planes_of
from landscape.analysis.wording import quantity_words
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import BoundaryNorm, Colormap

    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

COLOURS = "viridis"
"""Grows lighter evenly, for colour-blind readers and in grey too."""

MASKED = "#d0d0d0"
"""Ground of what has no number."""

LABEL_SIZE = 8.0

LABEL_MARGIN, LABEL_DISTANCE, LABEL_ROOM, MARK_DISTANCE = 0.09, 0.16, 0.034, 0.08
"""Shares of the panel: from a number to the border, to other numbers and the centre, to the neighbouring lines, and to
marks of other checkpoints with their names and path."""

CROSS: dict[str, Any] = {"marker": "x", "color": "black", "markersize": 4, "zorder": 4}
"""Of nodes without a number."""

DOT: dict[str, Any] = {
    "marker": "o", "color": "white", "markersize": 1.8, "markeredgecolor": "black", "markeredgewidth": 0.4, "zorder": 3,
}  # fmt: skip
"""Of the measured nodes of a plane that has interpolated ones."""

LIGHT = 0.45
"""Luminance from which a ground takes black lines, below it white ones."""


def plot_contour(
    axes: Axes,
    surface: Surface,
    quantity: str = "loss",
    centred: bool = False,
    plane: int = 0,
    levels: Wanted = "auto",
) -> Axes:
    """Draw one plane of a surface as filled, labelled contours of g(alpha, beta), alpha to the right.

    The levels are those of Fig. 6 of Wu et al. (2020) where they fit; beyond the last one the colour stays the same.
    Nodes that are missing or not finite are grey and marked with a small cross, the centre with a white plus. On a
    refined plane small dots mark the measured nodes; values between them are interpolated. The two axes have one scale
    where they have one range. For a colour bar call `axes.figure.colorbar(axes.collections[0], ax=axes)`.

    Args:
        axes: where to draw.
        surface: a surface over planes.
        quantity: `loss`, `robust-error`, `natural-loss` or `natural-error`; errors are drawn in percent.
        centred: draw |g(alpha, beta) - g(0, 0)| instead, where g(0, 0) is the measured centre.
        plane: which of the surface's planes.
        levels: `auto`, `paper`, `log`, or increasing numbers.

    Returns:
        The axes.

    Raises:
        InputError: the surface is not over planes or has not so many, the levels do not fit, or the quantity is unknown
            or was not measured.
    """
    planes = planes_of([surface])
    if not 0 <= plane < len(planes):
        raise InputError(f"the surface has planes 0 to {len(planes) - 1}, got {plane}.")
    words = quantity_words(quantity, [surface])
    values = shown_values(planes[plane], quantity, words.scale, centred=centred)
    return draw_contour(axes, planes[plane], values, choose_levels([values], words, levels))


def shown_values(plane: Plane, quantity: str, scale: float, *, centred: bool) -> Floats:
    """(A, B) numbers to draw: `scale` times g, or times |g - g(0, 0)|; NaN where there is none."""
    mean = plane.mean(quantity)
    return scale * (np.abs(mean - plane.centre(quantity)) if centred else mean)


def colours_of(levels: Levels, beyond: Beyond) -> tuple[Colormap, BoundaryNorm]:
    """The colours between levels; `beyond` as in `Levels.beyond`, whose sides have colours of their own."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    colours = colormaps[COLOURS]
    return colours, BoundaryNorm(list(levels.edges), colours.N, extend=beyond)


def draw_contour(axes: Axes, plane: Plane, values: Floats, levels: Levels, beyond: Beyond | None = None) -> Axes:
    """Draw (A, B) values of a plane; `beyond`: on which sides the values of all panels leave the levels."""
    alpha, beta = axes_of(plane)
    shown: Any = np.ma.masked_invalid(values.T)  # matplotlib wants rows along the vertical axis
    outside = beyond or levels.beyond([values])
    colours, norm = colours_of(levels, outside)
    axes.set_facecolor(MASKED)
    if min(values.shape) > 1 and not shown.mask.all():
        axes.contourf(alpha, beta, shown, levels=list(levels.edges), cmap=colours, norm=norm, extend=outside)
        _draw_lines(axes, plane, shown, levels, (colours, norm))
    _mark(axes, (alpha, beta), ~np.isfinite(values), **CROSS)
    _mark(axes, (alpha, beta), plane.measured & plane.interpolated.any(), **DOT)
    axes.set(xlim=(alpha[0], alpha[-1]), ylim=(beta[0], beta[-1]))
    if alpha[0] <= 0 <= alpha[-1] and beta[0] <= 0 <= beta[-1]:
        axes.plot(0, 0, marker="+", color="black", markersize=9, markeredgewidth=3.4, zorder=5, clip_on=False)
        axes.plot(0, 0, marker="+", color="white", markersize=7.5, markeredgewidth=1.4, zorder=6, clip_on=False)
    axes.set_aspect("equal" if (alpha[0], alpha[-1]) == (beta[0], beta[-1]) else "auto")
    axes.grid(False)
    first, second = plane_labels(plane.surface, plane.directions)
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    return axes


def draw_relief(axes: Any, plane: Plane, values: Floats, levels: Levels, beyond: Beyond | None = None) -> Any:
    """Draw (A, B) values as a surface over the plane, cut off at the last level, in the colours of the contours.

    Args:
        axes: axes of matplotlib with `projection="3d"`.
        plane: where the values are from.
        values: what `shown_values` gives.
        levels: colours and height.
        beyond: on which sides the values of all panels leave the levels.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    alpha, beta = axes_of(plane)
    colours, norm = colours_of(levels, beyond or levels.beyond([values]))
    corners = np.stack([*np.meshgrid(alpha, beta, indexing="ij"), levels.height(values)], axis=-1)
    # Each mesh by itself, because a hole in a whole surface draws artefacts.
    quads = np.stack([corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], axis=2).reshape(-1, 4, 3)
    middles = (values[:-1, :-1] + values[1:, :-1] + values[1:, 1:] + values[:-1, 1:]).ravel() / 4
    whole = np.isfinite(middles)
    if whole.any():
        faces = Poly3DCollection(
            list(quads[whole]), facecolors=colours(norm(middles[whole])), edgecolors=(0, 0, 0, 0.25), linewidths=0.3
        )
        axes.add_collection3d(faces)
    axes.set(xlim=(alpha[0], alpha[-1]), ylim=(beta[0], beta[-1]))
    axes.set_xlabel("α", labelpad=-3)
    axes.set_ylabel("β", labelpad=-3)
    return axes


def _draw_lines(axes: Axes, plane: Plane, shown: Any, levels: Levels, paint: tuple[Any, Any]) -> None:
    """Contour lines, black or white by their ground, some with their number."""
    alpha, beta = axes_of(plane)
    crossed = [line for line in levels.lines if shown.min() < line < shown.max()]
    if not crossed:
        return
    inks = [_ink(line, paint) for line in crossed]
    lines = axes.contour(alpha, beta, shown, levels=crossed, colors=inks, linewidths=0.8)
    size = np.array([alpha[-1] - alpha[0], beta[-1] - beta[0]])
    corner = np.array([alpha[0], beta[0]])
    paths = [(np.asarray(path.vertices) - corner) / size for path in lines.get_paths()]
    for place in _label_places(paths, -corner / size, (covered_places(plane.surface) - corner) / size):
        axes.clabel(lines, fontsize=LABEL_SIZE, fmt="%g", inline_spacing=2, manual=[tuple(corner + size * place)])


def _label_places(paths: list[Floats], centre: Floats, covered: Floats) -> list[Floats]:
    """Where lines carry their number: at most one place on each, with room around, as shares of the panel.

    Args:
        paths: (V, 2) vertices of each level's line, in order of the levels.
        centre: (2,) where the centre is marked.
        covered: (M, 2) places of other marks; none for M = 0.
    """
    places: list[Floats] = []
    for index, path in enumerate(paths):
        free = path[((path > LABEL_MARGIN) & (path < 1 - LABEL_MARGIN)).all(axis=1)]
        others = [line for line in paths[max(index - 1, 0) : index + 2] if line is not path and len(line)]
        room = np.min([_distances(free, line) for line in others], axis=0) if others else np.ones(len(free))
        far = _distances(free, np.array([centre, *places]))
        usable = (room > LABEL_ROOM) & (far > LABEL_DISTANCE) & (_distances(free, covered) > MARK_DISTANCE)
        if usable.any():
            places.append(free[int(np.argmax(np.where(usable, room, -1.0)))])
    return places


def _distances(points: Floats, others: Floats) -> Floats:
    """(n,) distance of each point to the nearest of the others."""
    apart: Floats = np.linalg.norm(points[:, None] - others[None], axis=-1).min(axis=1, initial=np.inf)
    return apart


def _ink(line: float, paint: tuple[Any, Any]) -> str:
    colours, norm = paint
    red, green, blue, _ = colours(norm(np.nextafter(line, -np.inf)))
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > LIGHT else "white"


def _mark(axes: Axes, nodes: tuple[Floats, Floats], marked: npt.NDArray[np.bool_], **look: Any) -> None:
    """Mark the nodes where `marked` (A, B) is true."""
    rows, columns = np.nonzero(marked)
    if len(rows):
        axes.plot(nodes[0][rows], nodes[1][columns], linestyle="none", clip_on=False, **look)

"""Other checkpoints in a figure: where they lie along a line or in a plane, with the values of their own weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import PRINCIPAL, Mark, kind_of, marks_of
from landscape.analysis.layout import shortened
from landscape.analysis.samples import centre_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

    from landscape.analysis.style import Curve
    from landscape.surfaces.surface import Surface

NAME_ROOM = 0.16
"""Part of the horizontal range that a name takes; a mark that lies closer to a named one has no name."""

ROOM_FOR_NAMES = 0.12
"""Part of the vertical range that stays free above and below."""

PLANE_ROOM, NAME_HEIGHT, LETTER = 0.5, 0.08, 0.025
"""As `NAME_ROOM`, in the smaller panels of planes, where names may stand above one another; about a letter's width."""

STEPS = 40
"""Points that stand for a line where numbers of contours look for room."""

DIAMOND: dict[str, Any] = {"marker": "D", "s": 34, "edgecolors": "white", "linewidths": 0.8, "zorder": 4, "label": "_"}

PATH: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (1.2, 1.4)), "zorder": 3.5, "label": "_"}

OUTLINE: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 1.2, "zorder": 7, "clip_on": False}

NAME: dict[str, Any] = {"fontsize": 8.0, "zorder": 8, "color": "black"}

Floats = npt.NDArray[np.float64]

_Place = tuple[float, float, str]


def draw_marks(axes: Axes, curve: Curve, *, quantity: str, scale: float, centred: bool) -> Axes:
    """Draw a diamond for the checkpoint of a curve and for each other one that its surface shows; nothing without any.

    A path of checkpoints is joined by a dotted line: it is the projection of the path, and its values are the path's
    own, not those of the line that the curve runs along.
    """
    from matplotlib.text import Annotation

    centre = float(centre_values(curve.surface, quantity).mean())
    others = [(mark.position[0], mark.values.get(quantity, np.nan), mark.name) for mark in marks_of(curve.surface)]
    if not others:
        return axes
    shift = centre if centred else 0.0
    everything = [
        (at, scale * (value - shift), name) for at, value, name in (*others, (0.0, centre, curve.surface.label))
    ]
    places = [place for place in everything if np.isfinite(place[1])]
    x, y = [place[0] for place in places], [place[1] for place in places]
    if kind_of(curve.surface) == PRINCIPAL:
        axes.plot(x, y, color=curve.colour, **PATH)
    axes.scatter(x, y, color=curve.colour, **DIAMOND)
    axes.margins(y=ROOM_FOR_NAMES)
    nodes = curve.surface.grid.alpha
    room = NAME_ROOM * (nodes[-1] - nodes[0])
    taken = {text.xy for text in axes.texts if isinstance(text, Annotation)}  # both curves of two splits begin at 0, 0
    for at, value, name in _named(places, room):
        if (at, value) in taken:
            continue
        side = "left" if at < nodes[0] + room else "right" if at > nodes[-1] - room else "center"
        place = (at, value), ({"left": 2, "right": -2, "center": 0}[side], -15)
        axes.annotate(shortened(name), *place, textcoords="offset points", ha=side, path_effects=white_rim(), **NAME)
    return axes


def draw_plane_marks(
    axes: Axes, surface: Surface, *, quantity: str, scale: float, centred: bool, paint: tuple[Colormap, Normalize]
) -> Axes:
    """Draw a diamond for each other checkpoint of a plane, filled with the colour of its own value; a path is joined.

    A value is that of the checkpoint itself, not of the plane below it: where their colours differ, the checkpoint lies
    beside the plane. White: no value. A checkpoint beyond the picture has no diamond; the path leads out to it.

    Args:
        axes: of a contour picture, its limits set.
        surface: over planes.
        quantity: one of `names.QUANTITIES`.
        scale: factor from stored to shown numbers.
        centred: whether the picture shows |g - g(0, 0)|.
        paint: colours of the contours, and what gives numbers their place in them.
    """
    marks = marks_of(surface)
    centre = float(centre_values(surface, quantity).mean())
    if marks and kind_of(surface) == PRINCIPAL:
        x, y = zip(*(mark.position for mark in marks), (0.0, 0.0), strict=True)
        axes.plot(x, y, color="white", zorder=6.5, linewidth=2.2)
        axes.plot(x, y, color="black", zorder=6.6, linewidth=1.0)
    colours, norm = paint
    marks = [mark for mark in marks if is_inside(mark, surface)]
    for mark in marks:
        value = scale * mark.values.get(quantity, np.nan)
        shown = abs(value - scale * centre) if centred else value
        fill = colours(norm(shown)) if np.isfinite(shown) else "white"
        axes.plot(*mark.position, "D", markersize=7, color=fill, **OUTLINE)
    for place, right, up in _plane_names(surface):
        look: dict[str, Any] = {"ha": "left" if right else "right", "path_effects": white_rim(), **NAME}
        axes.annotate(
            shortened(place[2]), place[:2], (7 if right else -7, 6 if up else -10), textcoords="offset points", **look
        )
    return axes


def covered_places(surface: Surface) -> Floats:
    """(M, 2) points of a plane, close together, that the diamonds of `draw_plane_marks`, names and path cover."""
    marks = [mark for mark in marks_of(surface) if is_inside(mark, surface)]
    places = [np.array([mark.position]) for mark in marks]
    if marks_of(surface) and kind_of(surface) == PRINCIPAL:
        corners = [np.array(at) for at in (*(mark.position for mark in marks_of(surface)), (0.0, 0.0))]
        places += [np.linspace(start, end, STEPS) for start, end in itertools.pairwise(corners)]
    width, height = (float(np.ptp(nodes)) for nodes in _sides(surface))
    for (across, up, name), right, above in _plane_names(surface):
        length = min(PLANE_ROOM, LETTER * len(shortened(name))) * width
        middle = up + (NAME_HEIGHT / 2 if above else -NAME_HEIGHT / 2) * height
        places.append(np.linspace((across, middle), (across + length if right else across - length, middle), STEPS))
    return np.concatenate([np.empty((0, 2)), *places])


def _plane_names(surface: Surface) -> list[tuple[_Place, bool, bool]]:
    """Where marks of a plane have their names, and whether these run to the right and stand above: to the middle."""
    (left, right), (bottom, top) = ((min(nodes), max(nodes)) for nodes in _sides(surface))
    inside = [mark for mark in marks_of(surface) if is_inside(mark, surface)]
    places = [(mark.position[0], mark.position[1], mark.name) for mark in inside]
    return [
        (place, place[0] <= (left + right) / 2, place[1] <= (bottom + top) / 2)
        for place in _named(places, PLANE_ROOM * (right - left), NAME_HEIGHT * (top - bottom))
    ]


def is_inside(mark: Mark, surface: Surface) -> bool:
    """Whether another checkpoint lies within the nodes of a plane."""
    return all(min(nodes) <= at <= max(nodes) for at, nodes in zip(mark.position, _sides(surface), strict=False))


def _sides(surface: Surface) -> tuple[tuple[float, ...], ...]:
    return (surface.grid.alpha, *([] if surface.grid.beta is None else [surface.grid.beta]))


def white_rim() -> list[Any]:
    """A rim that keeps text readable on any colour."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def _named(places: Sequence[_Place], across: float, up: float = math.inf) -> Iterator[_Place]:
    """The places whose names do not cover one another: the checkpoint itself, then in order what is far enough."""
    named: list[_Place] = []
    for place in sorted(places, key=lambda place: place[0] != 0):
        if all(abs(place[0] - other[0]) > across or abs(place[1] - other[1]) > up for other in named):
            named.append(place)
            yield place

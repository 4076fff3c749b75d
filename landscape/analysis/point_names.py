"""Names beside the points of a scatter picture that cover neither one another nor other points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.layout import shortened
from landscape.analysis.marks import white_rim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

LONGEST_NAME = 28
"""Characters."""

REACHES = (6.0, 10.0, 18.0, 28.0, 40.0, 55.0)
"""Typographic points from a point to its name, the nearest first."""

NO_LEADER = 10.0
"""So near no line needs to lead to a name."""

NUM_SIDES = 16

CLEARANCE = 1.0
"""Typographic points that stay free around a name."""

COVERS_A_NAME, LEAVES_THE_AXES, COVERS_A_POINT = 1e6, 1e4, 1e2
"""What is worst about a place; a place further away costs its reach."""

NAME: dict[str, Any] = {"fontsize": 7.5, "color": "#222222", "zorder": 6, "annotation_clip": False}

LEADER: dict[str, Any] = {"arrowstyle": "-", "color": "#777777", "linewidth": 0.6, "shrinkA": 0.0, "shrinkB": 2.5}

Floats = npt.NDArray[np.float64]

ALONG = np.linspace(0.15, 0.7, 8)
"""Places on a leader, as shares of its way to the middle of the name, that other names should not cover."""


def add_names(axes: Axes, places: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write a name beside each place, in data coordinates, and find room for all with `arrange_names`."""
    for place, name in zip(places, names, strict=True):
        note = axes.annotate(
            shortened(name, LONGEST_NAME), place, (0.0, 0.0), textcoords="offset points", ha="center", va="center",
            arrowprops=dict(LEADER), path_effects=white_rim(), **NAME,
        )  # fmt: skip
        note.set_in_layout(False)
    arrange_names(axes)


def arrange_names(axes: Axes) -> None:
    """Move every name to the nearest place where it covers no other name, no point, and no edge of the axes.

    To be called again when the axes have their final size: names keep theirs, distances between points do not.
    """
    from matplotlib.text import Annotation

    points, taken = _points(axes), np.empty((0, 4))
    frame = np.array([axes.bbox.x0, axes.bbox.y0, axes.bbox.x1, axes.bbox.y1])
    for note in axes.texts:
        if isinstance(note, Annotation):
            place = _best(axes, note, points, taken, frame)
            note.set_position(tuple(place.offset))
            if note.arrow_patch is not None:
                note.arrow_patch.set_visible(len(place.leader) > 0)
            taken = np.concatenate([taken, place.box[None], place.leader])


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a name may stand: offset in typographic points, box (4,) and line that leads there (k, 4) in pixels."""

    offset: Floats
    box: Floats
    leader: Floats
    cost: float


def _best(axes: Axes, note: Annotation, points: Floats, taken: Floats, frame: Floats) -> _Place:
    """The place that costs least."""
    from matplotlib.text import Text

    scale = axes.figure.dpi / 72.0
    extent = Text.get_window_extent(note)  # of the text alone, without its leader
    half = np.array([extent.width, extent.height]) / 2
    own = axes.transData.transform(note.xy)
    found = []
    for reach, offset in _offsets(half, scale):
        box = np.concatenate([own + offset - half, own + offset + half])
        grown = box + CLEARANCE * scale * np.array([-1, -1, 1, 1])
        leader = np.tile(own + ALONG[:, None] * offset, 2) if reach > NO_LEADER else np.empty((0, 4))
        crossed = sum(_overlaps(part, taken) for part in leader)
        outside = box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]
        cost = reach + COVERS_A_NAME * _overlaps(grown, taken) + LEAVES_THE_AXES * outside
        cost += COVERS_A_POINT * (_overlaps(grown, points) + crossed)
        found.append(_Place(offset=offset / scale, box=grown, leader=leader, cost=cost))
    return min(found, key=lambda place: place.cost)


def _offsets(half: Floats, scale: float) -> Iterator[tuple[float, Floats]]:
    """Where the middle of a name may lie, in pixels from its point, in rings around it."""
    for reach in REACHES:
        for turn in 2 * np.pi * np.arange(NUM_SIDES) / NUM_SIDES:
            side = np.array([np.cos(turn), np.sin(turn)])
            yield reach, side * (reach * scale) + np.clip(1.5 * side, -1, 1) * half


def _overlaps(box: Floats, others: Floats) -> float:
    """How many of the other boxes (n, 4) a box meets."""
    apart = (others[:, 0] > box[2]) | (others[:, 2] < box[0]) | (others[:, 1] > box[3]) | (others[:, 3] < box[1])
    return float((~apart).sum())


def _points(axes: Axes) -> Floats:
    """(n, 4) boxes in pixels around all points of all scatters."""
    boxes = [np.empty((0, 4))]
    for scatter in axes.collections:
        centres = axes.transData.transform(np.ma.getdata(scatter.get_offsets()))
        radius = np.sqrt(scatter.get_sizes())[:, None] / 2 * axes.figure.dpi / 72.0  # type: ignore[attr-defined]  # of pixels
        boxes.append(np.concatenate([centres - radius, centres + radius], axis=1))
    return np.concatenate(boxes)

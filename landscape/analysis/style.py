"""How curves look: colours that colour-blind readers tell apart, and lines and markers that survive grey printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.analysis.settings import split_of
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito (2008) without its yellow, which vanishes on white."""

LINE_STYLES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1.2, 1.4)))

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

SPLIT_LINES: Mapping[str, Any] = {"train": LINE_STYLES[0], "test": LINE_STYLES[1]}

FIGURE_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "text.usetex": False,
    "text.parse_math": False,
    "path.simplify": False,
    # Text stays text in PDF; SVG ids depend on the picture alone.
    "pdf.fonttype": 42,
    "svg.hashsalt": "landscape",
    "savefig.bbox": None,
}
"""Settings of matplotlib for the figures of this package; used locally, never set globally."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A surface with the way it is drawn.

    Attributes:
        surface: a surface along one direction at a time.
        label: what legend and tables call it.
        colour: any colour of matplotlib.
        linestyle: any line style of matplotlib.
        marker: any marker of matplotlib, drawn at every node of the mean.
    """

    surface: Surface
    label: str
    colour: str
    linestyle: Any = "solid"
    marker: str = "o"


def style_curves(surfaces: Sequence[Surface], labels: Sequence[str] | None = None) -> tuple[Curve, ...]:
    """Give every surface its colour, line and marker.

    Surfaces of the same weights on different splits share colour and marker: train is solid, test is dashed, and the
    split is added to labels that are equal. Otherwise each surface has its own colour, line and marker.

    Raises:
        InputError: no surface, or another number of labels.
    """
    if not surfaces:
        raise InputError("a picture needs at least one surface, got none.")
    if labels is not None and len(labels) != len(surfaces):
        raise InputError(f"{len(surfaces)} surfaces need as many labels, got {len(labels)}.")
    both_splits = compares_splits(surfaces)
    names = _distinct(list(labels) if labels is not None else [surface.label for surface in surfaces], surfaces)
    owners = [surface.spec.get("weights") if both_splits else index for index, surface in enumerate(surfaces)]
    positions = {owner: position for position, owner in enumerate(dict.fromkeys(owners))}
    curves = []
    for surface, name, owner in zip(surfaces, names, owners, strict=True):
        position = positions[owner]
        line = (
            SPLIT_LINES.get(split_of(surface) or "", "solid")
            if both_splits
            else LINE_STYLES[position % len(LINE_STYLES)]
        )
        colour, marker = COLOURS[position % len(COLOURS)], MARKERS[position % len(MARKERS)]
        curves.append(Curve(surface=surface, label=name, colour=colour, linestyle=line, marker=marker))
    return tuple(curves)


def _distinct(labels: Sequence[str], surfaces: Sequence[Surface]) -> list[str]:
    """Labels that differ: equal ones get their split, if that does not help the start of their key, then a number."""
    splits = [f"{label} ({split_of(surface)})" for label, surface in zip(labels, surfaces, strict=True)]
    keys = [f"{label} [{surface.key[:8]}]" for label, surface in zip(labels, surfaces, strict=True)]
    counted = [f"{label} #{index}" for index, label in enumerate(labels, start=1)]
    names = []
    for index, label in enumerate(labels):
        same = [other for other, found in enumerate(labels) if found == label]
        candidates = [
            names_of for names_of in (labels, splits, keys) if len({names_of[other] for other in same}) == len(same)
        ]
        names.append((candidates or [counted])[0][index])
    return names


def compares_splits(surfaces: Sequence[Surface]) -> bool:
    """Whether some weights were measured on more than one split."""
    splits: dict[Any, set[str | None]] = {}
    for surface in surfaces:
        splits.setdefault(surface.spec.get("weights"), set()).add(split_of(surface))
    return any(len(found) > 1 for weights, found in splits.items() if weights is not None)

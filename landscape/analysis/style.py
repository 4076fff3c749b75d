"""How curves look: colours that colour-blind readers tell apart, and lines and markers that survive grey printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.analysis.loss_words import loss_words
from landscape.analysis.pairing import MEASURE_SETTINGS
from landscape.analysis.settings import attacks_apart, batchnorm_of, measured_as, split_of
from landscape.errors import InputError
from landscape.files import canonical_json

if TYPE_CHECKING:
    from matplotlib.ticker import MaxNLocator

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

    Surfaces of the same weights on different splits share colour and marker: train is solid, test is dashed. Otherwise
    each surface has its own colour, line and marker. Where splits differ, every label says its split; where some
    examples were attacked on the fly and others were not, or losses or BatchNorm policies differ, every label says that
    too.

    Raises:
        InputError: no surface, or another number of labels.
    """
    if not surfaces:
        raise InputError("a picture needs at least one surface, got none.")
    if labels is not None and len(labels) != len(surfaces):
        raise InputError(f"{len(surfaces)} surfaces need as many labels, got {len(labels)}.")
    both_splits = compares_splits(surfaces)
    names = _distinct(list(labels) if labels is not None else [surface.label for surface in surfaces], surfaces)
    # Of the same weights, measured in the same way: then only the split tells curves of one colour apart.
    owners = [_measured(surface) if both_splits else str(index) for index, surface in enumerate(surfaces)]
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
    """Labels that differ: with each part of `columns` where it differs, and `_additions` if need be."""
    columns = (
        [split_of(surface) or "split not recorded" for surface in surfaces],
        [measured_as(surface) for surface in surfaces],
        [loss_words(surface).name for surface in surfaces],
        [f"BatchNorm {batchnorm_of(surface)}" for surface in surfaces],
    )
    varying = [column for column in columns if len(set(column)) > 1]
    named = [
        f"{label} ({', '.join(parts)})" if parts else label for label, *parts in zip(labels, *varying, strict=True)
    ]
    names = list(named)
    for name in dict.fromkeys(named):
        same = [index for index, other in enumerate(named) if other == name]
        if len(same) > 1:
            for index, addition in zip(same, _additions([surfaces[index] for index in same]), strict=True):
                names[index] = f"{name} {addition}"
    return names


def _additions(surfaces: Sequence[Surface]) -> list[str]:
    """What tells surfaces of one name apart: their attacks, else the start of their keys, else numbers."""
    for found in (attacks_apart(surfaces), [surface.key[:8] for surface in surfaces]):
        if all(found) and len(set(found)) == len(found):
            return [f"[{text}]" for text in found]
    return [f"#{number}" for number in range(1, len(surfaces) + 1)]


def direction_looks(count: int, colour: str, *, alone: bool) -> list[dict[str, Any]]:
    """How the thin lines of named directions are drawn: no two of the first twelve alike, also without colours of four.

    Args:
        count: of directions.
        colour: of their curve, which they share unless it is `alone` in its figure: then it stays the mean's.
        alone: whether colours may tell directions apart.
    """
    free = [other for other in COLOURS if other != colour] if alone else [colour]
    looks = []
    for number in range(count):
        line, marker = LINE_STYLES[number % len(LINE_STYLES)], "None"
        if not alone and number >= len(LINE_STYLES):
            marker = MARKERS[number // len(LINE_STYLES) % len(MARKERS)]
        looks.append({"color": free[number % len(free)], "linestyle": line, "marker": marker, "markersize": 3.0})
    return looks


def epoch_ticks() -> MaxNLocator:
    """Whole epochs, some round number of them apart."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, steps=[1, 2, 5, 10])


def compares_splits(surfaces: Sequence[Surface]) -> bool:
    """Whether some weights were measured on more than one split."""
    splits: dict[Any, set[str | None]] = {}
    for surface in surfaces:
        splits.setdefault(surface.spec.get("weights"), set()).add(split_of(surface))
    return any(len(found) > 1 for weights, found in splits.items() if weights is not None)


def _measured(surface: Surface) -> str:
    """Weights and way of measuring as text; the same for both splits."""
    return canonical_json([surface.spec.get(name) for name in ("weights", *MEASURE_SETTINGS)])

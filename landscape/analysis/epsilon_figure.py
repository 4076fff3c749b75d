"""The weight x epsilon plane: the mean loss over how far the weights moved and how strong the attack was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.captions import alpha_label, averaged, masked_sentences, settings_line
from landscape.analysis.layout import Page, compose
from landscape.analysis.samples import require_line
from landscape.analysis.settings import (
    THREATS,
    attacks_apart,
    describe_attack,
    describe_objective,
    epsilon_of,
    sizes_in_words,
)
from landscape.analysis.statistics import summarize_curve
from landscape.analysis.wording import QuantityWords, quantity_words
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

COLOURS = "viridis"

NO_VALUE = "#bbbbbb"
"""Of nodes where no direction is finite."""

MOST_TICKS = 12
"""Epsilons that are all named on the axis."""

LABEL_ROOM = 0.07
"""Part of the vertical axis that the name of an epsilon takes."""

BAR_TICKS = 8
"""About so many numbers stand beside the colours."""


@dataclass(frozen=True, kw_only=True)
class EpsilonPlane:
    """One model's mean over directions and examples at every alpha and epsilon.

    Attributes:
        label: what the panel is called.
        surfaces: of each epsilon one, epsilons increasing, on one grid.
        epsilons: (E,) sizes of the attack, in units of inputs in [0, 1].
    """

    label: str
    surfaces: tuple[Surface, ...]
    epsilons: tuple[float, ...]

    @property
    def alpha(self) -> Floats:
        """(A,) nodes."""
        return np.asarray(self.surfaces[0].grid.alpha, dtype=np.float64)

    def values(self, quantity: str, *, centred: bool = False) -> Floats:
        """(E, A) means, minus that of each epsilon's own centre if `centred`; NaN where no direction is finite."""
        summaries = [summarize_curve(surface, quantity) for surface in self.surfaces]
        return np.stack([found.mean - (found.centre if centred else 0.0) for found in summaries])


def epsilon_planes(surfaces: Sequence[Surface], labels: Sequence[str]) -> list[EpsilonPlane]:
    """The planes of surfaces that differ in epsilon, one for each label, in the order of the labels.

    Raises:
        InputError: no surface, another number of labels, or surfaces of one label that are no plane: over a plane
            themselves, on several grids, without an epsilon, or with one epsilon twice.
    """
    if not surfaces or len(surfaces) != len(labels):
        raise InputError(f"a figure needs a label for each surface and at least one, got {len(surfaces)} surfaces.")
    return [
        _plane(label, [surface for surface, own in zip(surfaces, labels, strict=True) if own == label])
        for label in dict.fromkeys(labels)
    ]


def epsilon_figure(planes: Sequence[EpsilonPlane], *, quantity: str = "loss", title: str | None = None) -> Figure:
    """The figure of `landscape plot-1d` with several epsilons: a row for each model, g and g - g(0) side by side.

    All panels share one colour scale; each measured node is a cell of its own, nothing is interpolated.

    Args:
        planes: one for each model; `epsilon_planes` makes them of surfaces.
        quantity: one of `names.QUANTITIES`.
        title: a line above the panels.

    Raises:
        InputError: no plane, or a quantity that is unknown or was not measured.
    """
    if not planes:
        raise InputError("a figure needs at least one plane, got none.")
    surfaces = [surface for plane in planes for surface in plane.surfaces]
    words = quantity_words(quantity, surfaces)
    values = [[words.scale * plane.values(quantity, centred=centred) for centred in (False, True)] for plane in planes]
    scale = _colour_scale(values, words)

    def draw(figure: Figure, panels: Any) -> None:
        for row, plane, shown in zip(panels, planes, values, strict=True):
            for axes, centred, part in zip(row, (False, True), shown, strict=True):
                draw_epsilon_plane(axes, plane, part, scale)
                formula = "g(α) − g(0) at each ε" if centred else "g(α)"
                axes.set_title(f"{plane.label}: {formula}" if len(planes) > 1 else formula)
                axes.tick_params(labelleft=axes is row[0], labelbottom=axes in panels[-1])
            rows = "" if _is_to_scale(plane.epsilons) else ", rows not to scale"
            row[0].set_ylabel(f"ε of the attack ({_norm(plane)}{rows})")
        for axes in panels[-1]:
            axes.set_xlabel(alpha_label(surfaces))
        bar = figure.colorbar(scale, ax=panels, aspect=22 * len(planes), pad=0.012)
        bar.ax.grid(False)
        if _is_bent(words):
            bar.set_ticks(ticks := bar_ticks(scale.norm), labels=[f"{tick:g}" for tick in ticks])
        bar.set_label(f"{words.title} ({words.unit})")

    heading = title or (planes[0].label if len(planes) == 1 else None)
    page = Page(rows=len(planes), panel_height=3.4, caption=epsilon_caption(planes, quantity), title=heading)
    return compose(page, draw)


def draw_epsilon_plane(axes: Axes, plane: EpsilonPlane, values: Floats, scale: Any) -> Axes:
    """Draw (E, A) `values` as cells around their nodes, alpha to the right and epsilon upwards.

    Rows are of one height, and not to scale, where the names of epsilons to scale would cover one another.
    """
    heights = plane.epsilons if _is_to_scale(plane.epsilons) else tuple(range(len(plane.epsilons)))
    alphas, epsilons = _edges(plane.alpha), _edges(np.asarray(heights, dtype=np.float64))
    axes.pcolormesh(alphas, epsilons, np.ma.masked_invalid(values), cmap=scale.cmap, norm=scale.norm, rasterized=True)
    axes.set_facecolor(NO_VALUE)
    axes.grid(False)
    step = -(-len(plane.epsilons) // MOST_TICKS)
    axes.set_yticks(heights[::step], sizes_in_words(plane.epsilons)[::step])
    return axes


def epsilon_caption(planes: Sequence[EpsilonPlane], quantity: str = "loss") -> str:
    """Caption: what a cell is, every setting, and what is masked."""
    surfaces, labels = _labelled(planes)
    drawn = f"Cells: {averaged(surfaces)}, at one α and ε; the same colours in all panels"
    if _is_bent(quantity_words(quantity, surfaces)):
        drawn += ", by the square root above the lowest value"
    return " ".join([f"{drawn}.", epsilon_settings(planes), *masked_sentences(surfaces, labels)])


def epsilon_settings(planes: Sequence[EpsilonPlane]) -> str:
    """Every setting, each said once where the planes agree; of the attack what all share, then the epsilons."""
    owners: dict[str, list[str]] = {}
    for plane in planes:
        words = f"{epsilons_in_words(plane.surfaces)}; {describe_objective(plane.surfaces[0])}"
        owners.setdefault(words, []).append(plane.label)
    attack = "; ".join(f"{words} [{', '.join(own)}]" if len(owners) > 1 else words for words, own in owners.items())
    return settings_line(*_labelled(planes), attack=attack)


def epsilons_in_words(surfaces: Sequence[Surface]) -> str:
    """The attacks of surfaces that differ in epsilon: what they share, their epsilons, and steps if these differ."""
    apart = {part for found in attacks_apart(surfaces) for part in found.split(", ")}
    common = [part for part in describe_attack(surfaces[0].spec).split(", ") if part not in apart]
    attacks = [surface.spec["attack"] for surface in surfaces]
    sizes = ", ".join(sizes_in_words([attack["epsilon"] for attack in attacks]))
    steps = {attack.get("step_size") for attack in attacks}
    differ = len(steps) > 1 and None not in steps
    listed = ", ".join(sizes_in_words([attack["step_size"] for attack in attacks])) if differ else ""
    return ", ".join([*common, f"ε = {sizes}{f' with steps {listed}' if listed else ''}"])


def _labelled(planes: Sequence[EpsilonPlane]) -> tuple[list[Surface], list[str]]:
    pairs = [(surface, plane.label) for plane in planes for surface in plane.surfaces]
    return [surface for surface, _ in pairs], [label for _, label in pairs]


def _plane(label: str, surfaces: Sequence[Surface]) -> EpsilonPlane:
    for surface in surfaces:
        require_line(surface)
    found = sorted(((epsilon_of(surface), surface) for surface in surfaces), key=lambda pair: pair[0] or 0.0)
    epsilons = [epsilon for epsilon, _ in found if epsilon is not None]
    if len(epsilons) < len(found) or len(set(epsilons)) < len(found):
        raise InputError(f"the surfaces of {label} need an epsilon each, every one of its own.")
    if len({surface.grid.alpha for surface in surfaces}) > 1:
        raise InputError(
            f"the surfaces of {label} lie on several grids, got {len(surfaces)} surfaces; take one --alpha."
        )
    return EpsilonPlane(label=label, surfaces=tuple(surface for _, surface in found), epsilons=tuple(epsilons))


def _colour_scale(values: Sequence[Sequence[Floats]], words: QuantityWords) -> Any:
    """From the smallest to the largest value, by square roots if `_is_bent`."""
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    every = np.concatenate([part.ravel() for parts in values for part in parts])
    finite = every[np.isfinite(every)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    power = 0.5 if _is_bent(words) else 1.0
    return ScalarMappable(PowerNorm(power, low, high if high > low else low + 1.0), matplotlib.colormaps[COLOURS])


def _is_to_scale(epsilons: Sequence[float]) -> bool:
    """Whether every epsilon that is named has room for its name where it lies."""
    step = -(-len(epsilons) // MOST_TICKS)
    edges = _edges(np.asarray(epsilons))
    gaps = np.diff(np.asarray(epsilons)[::step])
    return bool((gaps >= LABEL_ROOM * (edges[-1] - edges[0])).all())


def bar_ticks(norm: Any) -> list[float]:
    """Round numbers at about equal distances of a colour bar, whatever its scale, and 0 where it is in the range."""
    exact = [float(value) for value in norm.inverse(np.linspace(0.0, 1.0, BAR_TICKS + 1))]
    ticks = []
    for before, value in zip(exact, exact[1:], strict=False):
        coarsest = (value - before) / 2
        power = 10.0 ** np.floor(np.log10(coarsest))
        unit = power * max(factor for factor in (1, 2, 5) if factor * power <= coarsest)
        multiple = np.floor(value / unit) if value == exact[-1] else round(value / unit)
        ticks.append(float(f"{unit * multiple:.12g}"))
    if exact[0] <= 0.0 <= exact[-1]:
        origin = float(norm(0.0))
        ticks = [0.0, *(tick for tick in ticks if abs(float(norm(tick)) - origin) > 0.5 / BAR_TICKS)]
    return sorted(set(ticks))


def _is_bent(words: QuantityWords) -> bool:
    """Whether colours follow the square root of a quantity: of a loss that starts at 0, whose valley is wide."""
    return words.lowest == 0 and bool(np.isinf(words.highest))


def _norm(plane: EpsilonPlane) -> str:
    norm = plane.surfaces[0].spec["attack"].get("norm")
    return THREATS.get(str(norm), str(norm))


def _edges(nodes: Floats) -> Floats:
    """Where the cells of increasing nodes end: halfway between them, and as far outside."""
    if len(nodes) == 1:
        return np.array([nodes[0] - 0.5, nodes[0] + 0.5])
    middles = (nodes[1:] + nodes[:-1]) / 2
    return np.concatenate([[2 * nodes[0] - middles[0]], middles, [2 * nodes[-1] - middles[-1]]])

"""The picture of the loss of perturbed weights: over the epochs of runs, or over gamma (AWP paper, Fig. 3a)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from landscape.analysis.captions import settings_line
from landscape.analysis.layout import Page, compose_freely
from landscape.analysis.perturbed_loss import (
    ADVERSARIAL,
    KINDS,
    NONE,
    RANDOM,
    Perturbed,
    PerturbedLoss,
    perturbed_losses,
)
from landscape.analysis.perturbed_loss_table import kind_words, over_directions
from landscape.analysis.settings import describe_attack, is_attacked, objective_of
from landscape.analysis.style import COLOURS, LINE_STYLES, MARKERS, epoch_ticks
from landscape.analysis.wording import counted, quantity_words
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEUTRAL = "#000000"

KIND_LINES = {NONE: "solid", ADVERSARIAL: LINE_STYLES[0], RANDOM: LINE_STYLES[1]}

WIDE_RANGE = 30.0
"""Largest over smallest gamma from which on the axis is logarithmic above the smallest."""

TICK_ROOM = 0.42
"""Inches that the label of a gamma takes; a gamma that lies closer to a labelled one has no label."""

NUM_COLUMNS = 2

ATTACKED = {"adversarial": "made anew at every w + v", "fixed": "made once, at w"}


def draw_over_epochs(axes: Axes, rows: Sequence[PerturbedLoss]) -> Axes:
    """Draw the losses of one run and split over its epochs: a colour for each gamma, dashed for random v.

    Args:
        axes: to draw on.
        rows: of one run and split; every row has an epoch.
    """
    gammas = sorted({row.gamma for row in rows if row.kind != NONE})
    for kind, gamma in _lines(rows):
        mine = sorted((row for row in rows if (row.kind, row.gamma) == (kind, gamma)), key=lambda row: row.epoch or 0)
        colour = NEUTRAL if kind == NONE else COLOURS[gammas.index(gamma) % (len(COLOURS) - 1)]
        marker = "." if kind == NONE else MARKERS[gammas.index(gamma) % len(MARKERS)]
        axes.plot(
            [row.epoch or 0 for row in mine], [row.loss for row in mine], color=colour, linestyle=KIND_LINES[kind],
            marker=marker, markersize=5.0, markerfacecolor="white" if kind == RANDOM else colour, linewidth=1.5,
            label=kind_words(kind, gamma),
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(epoch_ticks())
    return axes


def draw_over_gamma(axes: Axes, rows: Sequence[PerturbedLoss], models: Sequence[str] | None = None) -> Axes:
    """Draw the losses of checkpoints over gamma: a colour for each checkpoint, dashed for random v; 0 is w itself.

    Args:
        axes: to draw on.
        rows: of one split.
        models: all checkpoints of the figure, for their colours; by default those of the rows.
    """
    order = list(dict.fromkeys(row.model for row in rows)) if models is None else list(models)
    for model in dict.fromkeys(row.model for row in rows):
        number = order.index(model)
        for kind in (ADVERSARIAL, RANDOM):
            mine = [row for row in rows if row.model == model and row.kind in (NONE, kind)]
            mine.sort(key=lambda row: row.gamma)
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(
                [row.gamma for row in mine], [row.loss for row in mine], color=colour, linestyle=KIND_LINES[kind],
                marker=MARKERS[number % len(MARKERS)], markersize=5.0, linewidth=1.5,
                markerfacecolor="white" if kind == RANDOM else colour, label=f"{model}, {kind} v",
            )  # fmt: skip
    gammas = sorted({row.gamma for row in rows if row.gamma > 0})
    if gammas and gammas[-1] > WIDE_RANGE * gammas[0]:
        axes.set_xscale("symlog", linthresh=gammas[0])
    ticks = _apart(axes, [0.0, *gammas])
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks(gammas, [""] * len(gammas), minor=True)
    axes.set_xlabel("γ, size of v relative to w in every layer")
    return axes


def perturbed_loss_figure(found: Sequence[Perturbed], *, title: str | None = None) -> Figure:
    """The figure of `landscape perturbed-loss`: a panel for each run and split, or for each split of checkpoints.

    All panels share one y range.

    Args:
        found: surfaces of both kinds; of a series all with epochs, else all without.
        title: a line above the legend.

    Raises:
        InputError: no surface, one over a plane, or epochs for some only.
    """
    rows = perturbed_losses(found)
    series = {row.epoch is not None for row in rows}
    if len(series) > 1:
        raise InputError("losses are drawn over epochs or over gamma, got checkpoints with an epoch and without.")
    over_epochs = series == {True}
    panels: dict[tuple[str, str], list[PerturbedLoss]] = {}
    for row in rows:
        panels.setdefault((row.model if over_epochs else "", row.split), []).append(row)
    words = quantity_words("loss", [one.surface for one in found])
    models = list(dict.fromkeys(row.model for row in rows))
    columns = min(NUM_COLUMNS, len(panels))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(math.ceil(len(panels) / columns), columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for number, (axes, (names, mine)) in enumerate(zip(grid.flat, panels.items(), strict=False)):
            if over_epochs:
                draw_over_epochs(axes, mine)
            else:
                draw_over_gamma(axes, mine, models)
            axes.set_title(_panel_title(names, splits=len({row.split for row in rows}) > 1))
            axes.tick_params(labelleft=True)
            if number % columns == 0:
                axes.set_ylabel(f"{words.title} at w + v ({words.unit})")

    page = Page(
        width=10.0 if columns > 1 else 7.0, panel_height=3.9, rows=math.ceil(len(panels) / columns),
        caption=_caption(found), title=title,
    )  # fmt: skip
    return compose_freely(page, draw)


def settings_sentences(found: Sequence[Perturbed]) -> str:
    """Every setting of the measurement, each said once where the surfaces agree."""
    random = [one for one in found if one.kind == RANDOM] or list(found)
    surfaces = [one.surface for one in random]
    attacks = {f"{describe_attack(s.spec)}; {ATTACKED.get(objective_of(s), '')}" for s in surfaces if is_attacked(s)}
    labels = [one.model if one.epoch is None else f"{one.model}, epoch {one.epoch}" for one in random]
    return settings_line(surfaces, labels, attack=attacks.pop() if len(attacks) == 1 else None)


def _caption(found: Sequence[Perturbed]) -> str:
    """What v are, then every setting."""
    recipes = [one.surface.spec["directions"] for one in found if one.kind == ADVERSARIAL]
    steps = sorted({int(recipe.get("num_steps", 0)) for recipe in recipes})
    sentences = []
    if steps:
        anew = ", attacked anew at every step" if any(is_attacked(one.surface) for one in found) else ""
        ascent = " or ".join(counted(step, "step") for step in steps)
        sentences.append(
            f"Adversarial v: {ascent} of ascent on the mean cross-entropy of these examples{anew}, ‖v‖ = γ ‖w‖ in "
            "every layer."
        )
    if counts := [len(one.surface.direction_ids) for one in found if one.kind == RANDOM]:
        sentences.append(f"Random v: Gaussian, ‖v‖ = γ ‖w‖ in every layer, {over_directions(counts)}.")
    return " ".join([*sentences, settings_sentences(found)])


def _lines(rows: Sequence[PerturbedLoss]) -> list[tuple[str, float]]:
    return sorted({(row.kind, row.gamma) for row in rows}, key=lambda one: (KINDS.index(one[0]), one[1]))


def _apart(axes: Axes, values: Sequence[float]) -> list[float]:
    """The increasing values that are far enough apart on the horizontal axis for their labels, with both ends."""
    places = [float(place) for place in axes.xaxis.get_transform().transform(values)]
    room = TICK_ROOM * axes.figure.dpi / axes.bbox.width * (places[-1] - places[0])
    kept = [0]
    for number in range(1, len(values) - 1):
        if min(places[number] - places[kept[-1]], places[-1] - places[number]) >= room:
            kept.append(number)
    return [values[number] for number in dict.fromkeys([*kept, len(values) - 1])]


def _panel_title(names: tuple[str, str], *, splits: bool) -> Any:
    model, split = names
    return ", ".join(filter(None, [model, f"{split} examples" if splits or not model else ""]))

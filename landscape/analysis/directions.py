"""The kinds of direction in words and on axes, and the other models that a surface shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.names import QUANTITIES

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

NONE, RANDOM, TOWARDS, PRINCIPAL, WORST_CASE, HESSIAN, SAVED = (
    "none",
    "random",
    "interpolation",
    "principal-components",
    "worst-case",
    "hessian",
    "saved",
)

GAUSSIAN, TRACE = "gaussian", "hessian-trace"
"""Kinds that measures of flatness take."""

ONE_WAY = {
    TOWARDS: "t runs from one checkpoint to another",
    PRINCIPAL: "the two signs of a path's component are its past and what it has not seen",
}
"""Kinds of direction of which a mean over both signs says nothing, and why."""

AXES = {
    TOWARDS: "t (0: the checkpoint, 1: the other one)",
    PRINCIPAL: "α (distance along the principal component)",
    WORST_CASE: "α (multiples of the layer-normalized worst-case direction)",
    HESSIAN: "α (distance along the Hessian eigenvector)",
    SAVED: "α (multiples of the saved direction)",
    GAUSSIAN: "α (scale a of Gaussian weights)",
    TRACE: "α (multiples of random signs)",
}
"""Labels of the axis along directions that are not random."""


MOST_NAMED = 12
"""More directions than these have no names in a picture."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Another model that belongs into a figure.

    Attributes:
        name: what it is called.
        position: where it lies, or is projected to, along each direction of the line or plane.
        values: its own mean of each quantity, measured at its own weights; only those that are finite.
    """

    name: str
    position: tuple[float, ...]
    values: Mapping[str, float]


def kind_of(surface: Surface) -> str:
    """The kind of the directions of a surface, as its recipe names it."""
    recipe = surface.spec.get("directions")
    return str(recipe.get("kind", RANDOM)) if isinstance(recipe, Mapping) else RANDOM


def is_sample(surface: Surface) -> bool:
    """Whether the directions are a random sample, so that an interval of their mean says something."""
    recipe = surface.spec.get("directions")
    origin = recipe.get("origin") if isinstance(recipe, Mapping) else None
    return kind_of(surface) in (RANDOM, GAUSSIAN) or (kind_of(surface) == SAVED and origin == RANDOM)


def findings_of(surface: Surface) -> Mapping[str, Any]:
    """What is recorded about the directions beside the key; of several processes the fullest record."""
    found = [entry["directions"] for entry in surface.provenance if isinstance(entry.get("directions"), Mapping)]
    return max(found, key=lambda record: len(str(record)), default={})


def marks_of(surface: Surface) -> list[Mark]:
    """The other models that a surface shows, in order; records that make no sense are left out."""
    marks = []
    axes = 1 if surface.grid.beta is None else 2
    records = findings_of(surface).get("landmarks")
    for record in records if isinstance(records, list) else []:
        position = record.get("position") if isinstance(record, Mapping) else None
        if isinstance(position, list) and len(position) >= axes and all(_is_number(part) for part in position):
            values = {name: float(record[name]) for name in QUANTITIES if _is_number(record.get(name))}
            name = str(record.get("name")).encode("utf-8", "backslashreplace").decode("utf-8")
            marks.append(Mark(name=name, position=tuple(position[:axes]), values=values))
    return marks


def axis_label(surfaces: Sequence[Surface]) -> str | None:
    """Label of the axis along directions of one kind that is not random; None for random ones and for mixtures."""
    kinds = {kind_of(surface) for surface in surfaces}
    if len(kinds) > 1:
        return "α (multiples of each curve's direction)"
    (kind,) = kinds
    if kind == TOWARDS:
        ends = {(surface.label, *(mark.name for mark in marks_of(surface))) for surface in surfaces}
        if len(ends) == 1 and len(names := ends.pop()) == 2:
            return f"t (0: {names[0]}, 1: {names[1]})"
    return AXES.get(kind, None if kind == RANDOM else f"α (multiples of the {kind} direction)")


def plane_labels(surface: Surface, directions: tuple[int, int]) -> tuple[str, str]:
    """Labels of the two axes of a plane: what its directions are, where that is known, else their numbers."""
    kind = kind_of(surface)
    words = [f"direction {number}" for number in directions]
    if kind == TOWARDS:
        words = [f"towards {mark.name}" for mark in marks_of(surface)][:2]
    elif kind in (PRINCIPAL, HESSIAN):
        words = [direction_name(surface, number) for number in directions]
    elif kind == WORST_CASE:
        words = ["worst case", "random direction"]
    first, second = words if len(words) == 2 else [f"direction {number}" for number in directions]
    return f"α ({first})", f"β ({second})"


def direction_name(surface: Surface, number: int, *, measured: bool = True) -> str:
    """What direction `number`, counted from 0, is called: by its place among those of its kind, counted from 1.

    Args:
        surface: along directions, or over planes, that are no random sample.
        number: of the direction.
        measured: say also its recorded eigenvalue or share of the variance.
    """
    kind = kind_of(surface)
    names = {PRINCIPAL: "principal component", HESSIAN: "Hessian eigenvector"}
    name = f"{names.get(kind, f'{kind} direction')} {number + 1}"
    topic, words = {
        PRINCIPAL: ("explained_variance", "{:.1%}"),
        HESSIAN: ("eigenvalues", "λ = {:.4g}"),
    }.get(kind, ("", ""))
    values = findings_of(surface).get(topic)
    if not measured or not isinstance(values, list) or len(values) <= number or not _is_number(values[number]):
        return name
    return f"{name}, {words.format(values[number]).replace('%', ' %')}"


def has_named_directions(surface: Surface) -> bool:
    """Whether a surface runs along several directions, not too many, that are no random sample and so told apart."""
    return 1 < len(surface.direction_ids) <= MOST_NAMED and not is_sample(surface)


def symbol_of(surfaces: Sequence[Surface]) -> str:
    """What the position along a line is called: t between checkpoints, alpha elsewhere."""
    return "t" if all(kind_of(surface) == TOWARDS for surface in surfaces) else "α"


def describe_kind(surface: Surface, recipe: Mapping[str, Any]) -> str:
    """The directions of a surface that are not random, in words."""
    kind = kind_of(surface)
    if kind == NONE:
        return "none, the model at its own weights"
    if kind == TOWARDS:
        names = ", ".join(mark.name for mark in marks_of(surface))
        return f"from the checkpoint (0) towards {names or 'another one'} (1)"
    if kind == PRINCIPAL:
        path = recipe.get("path")
        count = len(path) + 1 if isinstance(path, list) else "?"
        return f"principal components of a path of {count} checkpoints, all parameters, the last at the origin"
    if kind == WORST_CASE:
        ascent = f"ascent on the {_own_loss(recipe)}, {recipe.get('num_steps')} steps, γ = {recipe.get('gamma')}"
        beside = "" if surface.grid.beta is None else " and a random direction"
        return f"worst case ({ascent}){beside}, layer-normalized, one-dimensional parameters not moved"
    count = len(surface.direction_ids) * (1 if surface.grid.beta is None else 2)
    if kind == HESSIAN:
        which = "top eigenvector" if count == 1 else f"top {count} eigenvectors"
        moved = "all parameters" if recipe.get("layers") is None else "all parameters of these layers"
        return f"{which} of the Hessian of the {_own_loss(recipe)}, examples fixed at the centre, length 1, {moved}"
    if kind == GAUSSIAN:
        size = "a ||w_l||" if recipe.get("sigma") == "literal" else "a ||w_l|| / √n_l"
        return f"{count} draws of Gaussian weights, σ_l = {size}, a = |α|, one-dimensional parameters not moved"
    if kind == TRACE:
        return f"random signs, {recipe.get('probes')} probes of the trace of the Hessian of the {_own_loss(recipe)}"
    if kind == SAVED:
        return f"{count} from a file (kind: {recipe.get('origin') or 'not recorded'}), as they are"
    return f"{count} {kind}"


def _own_loss(recipe: Mapping[str, Any]) -> str:
    """The loss that made a direction, which need not be the one that is measured along it."""
    attack = recipe.get("attack")
    natural = isinstance(attack, Mapping) and attack.get("name") == "none"
    noise = recipe.get("noise")
    draws = f", mean of {noise.get('draws')} draws of noise" if isinstance(noise, Mapping) else ""
    return f"{'natural' if natural else 'adversarial'} cross-entropy with frozen running statistics{draws}"


def describe_findings(surface: Surface) -> dict[str, str]:
    """What is recorded about directions that are not random, in words, by topic; empty where that is nothing."""
    found = findings_of(surface)
    described = {
        "Distance": _numbers(found.get("distances"), ".3g"),
        "Eigenvalues": _numbers(found.get("eigenvalues"), ".4g"),
        "Explained variance": _numbers(found.get("explained_variance"), ".1%"),
    }
    if walk := _numbers(found.get("random_walk_variance"), ".1%"):
        described["Explained variance"] += f" (of a random walk of as many points: {walk})"
    return {topic: words for topic, words in described.items() if words}


def _numbers(values: Any, form: str) -> str:
    """Recorded numbers in words; empty where there are none."""
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        return ""
    return ", ".join(f"{value:{form}}".replace("%", " %") for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

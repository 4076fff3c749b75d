"""Whether two surfaces share their directions and their examples, and how else they were measured differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

MEASURE_SETTINGS = ("attack", "objective", "loss", "batchnorm", "precision", "numerics")
"""Parts of a spec that change what is measured, not whose landscape it is."""


def differing_directions(a: Surface, b: Surface) -> tuple[str, ...]:
    """Why the directions of two surfaces are not the same, in words; empty if they are.

    The same recipe and seed give the same Gaussian draws only for the same shapes of parameters. One surface may hold
    more directions than the other.
    """
    reasons = []
    if _differ(a.spec, b.spec, "parameter_shapes"):
        reasons.append("the shapes of their parameters differ")
    if _differ(a.spec, b.spec, "directions"):
        reasons.append("the recipes or seeds of their directions differ")
    elif not reasons and len(np.intersect1d(a.direction_ids, b.direction_ids)) < min(
        len(a.direction_ids), len(b.direction_ids)
    ):
        reasons.append("their directions have different numbers")
    return tuple(reasons)


def differing_examples(a: Surface, b: Surface) -> tuple[str, ...]:
    """Why the examples or random starts of two surfaces are not the same, in words; empty if they are."""
    reasons = []
    if _differ(a.spec, b.spec, "data") or not np.array_equal(a.example_ids, b.example_ids):
        reasons.append("their examples differ")
    if attack_seed(a.spec) != attack_seed(b.spec):
        reasons.append("the seeds of their attacks differ")
    return tuple(reasons)


def differing_measures(a: Surface, b: Surface) -> tuple[str, ...]:
    """The parts of the measurement itself that differ: then a difference need not come from the weights.

    That one network has noise and the other has none is no such part, but other noise is.
    """
    parts = tuple(
        name for name in MEASURE_SETTINGS if _without_seed(a.spec.get(name)) != _without_seed(b.spec.get(name))
    )
    noises = [surface.spec.get("noise") for surface in (a, b)]
    return (*parts, "noise") if None not in noises and noises[0] != noises[1] else parts


def same_weights(a: Surface, b: Surface) -> bool:
    """Whether two surfaces are known to be of the same weights."""
    return not _differ(a.spec, b.spec, "weights")


def attack_seed(spec: Mapping[str, Any]) -> Any:
    """The seed of the random starts; None if a spec keeps none."""
    attack = spec.get("attack")
    return attack.get("seed") if isinstance(attack, Mapping) else None


def _differ(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> bool:
    # What is not recorded cannot be shown to agree.
    return name not in a or name not in b or a[name] != b[name]


def _without_seed(setting: Any) -> Any:
    return {key: value for key, value in setting.items() if key != "seed"} if isinstance(setting, Mapping) else setting

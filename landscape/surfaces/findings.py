"""What is worth knowing about the directions of a surface; kept in its provenance, outside the key."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from landscape.models.noisy import is_noisy
from landscape.names import QUANTITIES
from landscape.protocols import Landmark, Remarkable
from landscape.surfaces.surface import CENTRE
from landscape.surfaces.sweep import Sweep
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from landscape.protocols import Measurement
    from landscape.surfaces.plan import SurfacePlan


def findings(plan: SurfacePlan) -> dict[str, Any]:
    """Facts about the directions of a plan, and the other models that its figure shows, with their own true losses.

    Each of these models is measured as the centre of the surface is: at its own weights and running statistics, under
    the same attack on the same examples. Empty where the recipe has nothing to say.
    """
    recipe = plan.settings.directions
    if not isinstance(recipe, Remarkable):
        return {}
    weights = {name: weight.cpu() for name, weight in parameters_of(plan.model).items()}
    found = dict(recipe.facts(weights, plan.num_drawn))
    if landmarks := [_measured(landmark, plan) for landmark in recipe.landmarks(weights, plan.num_drawn)]:
        found["landmarks"] = landmarks
    return found


def _measured(landmark: Landmark, plan: SurfacePlan) -> dict[str, Any]:
    settings = replace(plan.settings, compiled=False)  # which pays for many points of one model only
    measurement = Sweep(landmark.model, plan.examples, settings, plan.device)(CENTRE)
    num_draws = settings.noise.count if is_noisy(landmark.model) else 1
    return {"name": landmark.name, "position": list(landmark.position), **_means(measurement, num_draws)}


def _means(measurement: Measurement, num_draws: int) -> dict[str, float | None]:
    """The mean over examples, and draws of noise, of every quantity; None where it is not finite."""
    means = {
        "loss": measurement.adversarial_loss.mean(dtype=float),
        "robust-error": 1.0 - measurement.adversarial_correct.mean(dtype=float) / num_draws,
        "natural-loss": measurement.clean_loss.mean(dtype=float),
        "natural-error": 1.0 - measurement.clean_correct.mean(dtype=float) / num_draws,
    }
    return {name: float(means[name]) if math.isfinite(means[name]) else None for name in QUANTITIES}

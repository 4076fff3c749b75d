"""What has to be measured for each measure of flatness, from the plan of one surface along random directions.

Each is a surface of its own in the cache. All share the model and the examples of that plan, and its attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from landscape.surfaces.evaluation import AT_THE_CENTRE
from landscape.surfaces.grid import Grid
from landscape.surfaces.measured_losses import CrossEntropy
from landscape.surfaces.recipes.gaussian import GaussianWeights
from landscape.surfaces.recipes.hessian import HessianDirections
from landscape.surfaces.recipes.hessian_trace import HessianTraceProbes
from landscape.surfaces.recipes.worst_case import NUM_STEPS, WorstCaseDirection
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from landscape.protocols import DirectionRecipe
    from landscape.surfaces.plan import SurfacePlan

WINDOW_NODES = (0.05, 0.1, 0.15, 0.2, 0.25)
"""Nodes to each side of the centre through which the parabola of the curvature is laid."""

NUM_PROBES = 30


def flatness_grid(radii: Sequence[float], *, curvature: bool) -> Grid:
    """The nodes at +-r for every radius, and those of the curvature's window; the centre is measured anyway.

    Raises:
        InputError: there is no radius and no curvature, or a radius is not finite.
    """
    positive = {float(radius) for radius in radii} | (set(WINDOW_NODES) if curvature else set())
    return Grid(alpha=tuple(sorted({-radius for radius in positive} | positive)))


def worst_case_plan(plan: SurfacePlan, gamma: float, *, layers: str | None = None) -> SurfacePlan:
    """g at the end of the ascent in the ball of relative radius `gamma`."""
    recipe = WorstCaseDirection(**_about(plan), gamma=gamma, num_steps=NUM_STEPS, layers=layers)
    return _along(plan, recipe, Grid(alpha=(float(gamma),)), 1)


def pac_bayes_plan(
    plan: SurfacePlan, scale: float, *, sigma: str = "layer", draws: int, layers: str | None = None
) -> SurfacePlan:
    """The loss at w + u and w - u for `draws` draws of Gaussian weights with a = `scale`.

    Both have the same distribution. The term is one of the 0-1 loss and of the cross-entropy, whichever loss g is.
    """
    plan = replace(plan, settings=replace(plan.settings, loss=CrossEntropy()))
    recipe = GaussianWeights(seed=plan.settings.seed, sigma=sigma, layers=layers)
    return _along(plan, recipe, Grid(alpha=(-float(scale), float(scale))), draws)


def eigenvalue_plan(plan: SurfacePlan, *, layers: str | None = None) -> SurfacePlan:
    """The top eigenvalue of the Hessian, kept beside a surface of the centre."""
    return _along(plan, HessianDirections(**_about(plan), count=1, layers=layers), AT_THE_CENTRE, 1)


def trace_plan(plan: SurfacePlan, *, num_probes: int = NUM_PROBES, layers: str | None = None) -> SurfacePlan:
    """The quadratic forms of the Hessian's trace, kept beside a surface of the centre."""
    return _along(plan, HessianTraceProbes(**_about(plan), count=num_probes, layers=layers), AT_THE_CENTRE, 1)


def _about(plan: SurfacePlan) -> dict[str, Any]:
    """What recipes that look at the model are told."""
    return {
        "model": plan.model,
        "examples": plan.examples,
        "attack": plan.settings.attack,
        "seed": plan.settings.seed,
        "device": plan.device,
        "noise": plan.settings.noise,
    }


def _along(plan: SurfacePlan, recipe: DirectionRecipe, grid: Grid, num_directions: int) -> SurfacePlan:
    recipe.moving(parameters_of(plan.model))  # refuses layers that are not there
    settings = replace(plan.settings, directions=recipe, grid=grid)
    return replace(plan, settings=settings, num_directions=num_directions)

"""What a surface would cost, from one measured point of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from landscape.models.noisy import is_noisy
from landscape.protocols import Remarkable
from landscape.surfaces.store import SurfaceStore
from landscape.surfaces.surface import CENTRE
from landscape.surfaces.sweep import Sweep
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from landscape.surfaces.plan import Shard, SurfacePlan
    from landscape.surfaces.surface import Point


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a plan would cost, from one measured point.

    Attributes:
        num_points: points that are not in the cache; a refined grid asks for some of them.
        num_total: points in all, the centre included.
        num_landmarks: other models that are measured beside them, as the checkpoints of a path are.
        batch_size: examples in one batch; None if nothing is missing and none was asked for.
        seconds_per_point: measured away from the centre.
        seconds_for_directions: for making the directions of all lines or planes; measured on at most two of them.
        passes_per_example: forward and input-gradient passes of one example at one point.
    """

    num_points: int
    num_total: int
    num_landmarks: int
    batch_size: int | None
    seconds_per_point: float
    seconds_for_directions: float
    passes_per_example: int

    @property
    def seconds(self) -> float:
        """Estimated seconds for what is missing."""
        return (self.num_points + self.num_landmarks) * self.seconds_per_point + self.seconds_for_directions


def estimate_cost(
    plan: SurfacePlan, *, cache_dir: Path | str | None = None, shard: Shard | None = None, like: Cost | None = None
) -> Cost:
    """Make directions of a plan, or of its shard, measure one point and count the missing ones; writes nothing.

    Args:
        plan: what would be computed.
        cache_dir: where stored points lie.
        shard: a part of it.
        like: the cost of a plan with other weights that is the same otherwise; its times are taken instead.
    """
    store = None if cache_dir is None else SurfaceStore(cache_dir)
    done = store.finished_points(plan.spec) if store else set()
    points = plan.points(shard)
    missing = [point for point in points if point not in done]
    making = seconds = 0.0
    if missing and like is not None:
        return replace(like, num_points=len(missing), num_total=len(points))
    if missing:
        plan = plan.ready()
        sweep = Sweep(plan.model, plan.examples, plan.settings, plan.device)
        sweep(CENTRE)  # the first call also pays for allocations
        making = _seconds_for_directions(sweep, missing) + _seconds_for_facts(plan)
        before = time.perf_counter()
        sweep(missing[-1])
        seconds = time.perf_counter() - before
    return Cost(
        num_points=len(missing),
        num_total=len(points),
        num_landmarks=_num_landmarks(plan) if missing else 0,
        batch_size=plan.settings.batch_size,
        seconds_per_point=seconds,
        seconds_for_directions=making,
        passes_per_example=_passes_per_example(plan),
    )


def _seconds_for_directions(sweep: Sweep, missing: Sequence[Point]) -> float:
    """Seconds for making the directions of the lines of `missing`; the last line's are there afterwards.

    The first line pays for what all of them share, such as an eigendecomposition, the second says what others cost.
    """
    lines = {point[0]: point for point in missing if point != CENTRE}
    seconds = []
    for point in list(lines.values())[-2:]:
        before = time.perf_counter()
        sweep.move_to(point)
        seconds.append(time.perf_counter() - before)
    return sum(seconds) + max(0, len(lines) - 2) * (seconds[-1] if seconds else 0.0)


def _seconds_for_facts(plan: SurfacePlan) -> float:
    """Seconds for what is found out about directions once they are there, such as the probes of a trace."""
    recipe = plan.settings.directions
    if not isinstance(recipe, Remarkable):
        return 0.0
    weights = {name: weight.cpu() for name, weight in parameters_of(plan.model).items()}
    before = time.perf_counter()
    recipe.facts(weights, plan.num_drawn)
    return time.perf_counter() - before


def _num_landmarks(plan: SurfacePlan) -> int:
    recipe = plan.settings.directions
    if not isinstance(recipe, Remarkable):
        return 0
    weights = {name: weight.cpu() for name, weight in parameters_of(plan.model).items()}
    return len(recipe.landmarks(weights, plan.num_drawn))


def _passes_per_example(plan: SurfacePlan) -> int:
    settings = plan.settings.attack.settings()
    steps, restarts = int(settings.get("num_steps", 0)), int(settings.get("num_restarts", 1))
    steps *= plan.settings.objective == "adversarial"
    passes = 2 * steps * restarts + 1 + restarts + plan.settings.batchnorm.num_passes(steps)
    return passes * (plan.settings.noise.count if is_noisy(plan.model) else 1)

"""How many examples a surface needs: no more than its standard error asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from landscape.errors import InputError
from landscape.randomness import Stream, permutation
from landscape.surfaces.surface import Grid

if TYPE_CHECKING:
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

FEWEST = 100
"""Examples to begin with; fewer say little about their own spread."""


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """What was found.

    Attributes:
        plans: the given plans, with n examples each, by their rule.
        num_examples: n.
        largest: how many there were to choose from.
        error: the largest standard error that was measured with n examples; of plans that needed fewer, with those.
    """

    plans: list[SurfacePlan]
    num_examples: int
    largest: int
    error: float

    def __str__(self) -> str:
        error = f"standard error over examples of the mean loss at one point at most {self.error:.3g}"
        return f"{self.num_examples:,} of {self.largest:,} examples, {error}"

    def num_needed(self, until_se: float) -> float:
        """About how many examples another standard error takes; infinite where losses are not finite."""
        return _scaled(self.num_examples, self.error, until_se)

    def needs(self, until_se: float) -> str:
        """The same in words."""
        if not math.isfinite(self.error):
            return "finite losses"
        return f"about {_rounded_up(self.num_needed(until_se)):,} examples"


def enough_examples(
    plans: Sequence[SurfacePlan], until_se: float, *, measure: Callable[[SurfacePlan], Surface]
) -> SampleSize:
    """The plans with only as many of their examples as the standard error of the mean loss needs to be `until_se`.

    Where it is looked at: at the centre and the outermost nodes of the first line or plane, where landscapes are
    highest. From 100 examples on, n grows as (SE / until_se)^2 asks for until every such point of every plan has a
    standard error of at most `until_se`, or there are no more examples. One n serves all plans and all of their points:
    differences stay paired, and no statistics of a surface know about the rule. The n examples are the first ones of a
    permutation that the seed names. Where `measure` keeps surfaces in a cache, what was measured on the way is part of
    those of the plans.

    Args:
        plans: of the same examples.
        until_se: in units of the loss, above 0.
        measure: from a plan to its surface, such as `compute.run_plan`.

    Raises:
        InputError: a number outside its range, or plans of other examples than the first.
        SurfaceError, BusyError: as `measure`.
    """
    if isinstance(until_se, bool) or not isinstance(until_se, int | float) or not 0 < until_se < math.inf:
        raise InputError(f"a standard error to reach is a finite number above 0, got {until_se!r}.")
    until_se = float(until_se)  # 1 and 1.0 have other texts and so other keys
    if len({plan.examples.digest() for plan in plans}) != 1:
        raise InputError("one number of examples is chosen for plans of the same examples, got others.")
    largest = len(plans[0].examples)
    count, error = min(FEWEST, largest), 0.0
    for plan in plans:
        while True:
            error_here = _largest_error(measure(_outline(with_examples(plan, count, until_se))))
            if error_here <= until_se or count == largest:
                break
            count = min(largest, _rounded_up(_scaled(count, error_here, until_se)))
        error = max(error, error_here)
    chosen = [with_examples(plan, count, until_se) for plan in plans]
    return SampleSize(plans=chosen, num_examples=count, largest=largest, error=error)


def with_examples(plan: SurfacePlan, count: int, until_se: float) -> SurfacePlan:
    """The plan with the first `count` of its examples in random order, in the order of their ids, and its rule."""
    largest = len(plan.examples)
    order = permutation(largest, seed=plan.settings.seed, stream=Stream.SAMPLE)
    chosen = plan.examples.take(np.sort(order[:count]))
    return replace(plan, examples=chosen, sampling={"until_se": until_se, "at_most": largest})


def _outline(plan: SurfacePlan) -> SurfacePlan:
    """The outermost nodes of the first line or plane; the centre belongs to every surface."""
    grid = plan.settings.grid
    ends = Grid(alpha=_ends(grid.alpha), beta=None if grid.beta is None else _ends(grid.beta))
    return replace(plan, settings=replace(plan.settings, grid=ends), num_directions=1)


def _ends(axis: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted({axis[0], axis[-1]}))


def _largest_error(surface: Surface) -> float:
    """The largest standard error over examples of the mean loss at a point; infinite where a loss is not finite."""
    points = [surface.centre_values(), *surface.values().reshape(-1, len(surface.example_ids))]
    errors = [float(np.std(losses, ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0 for losses in points]
    return max(error if math.isfinite(error) else math.inf for error in errors)


def _scaled(count: int, error: float, until_se: float) -> float:
    """(error / until_se)^2 times as many; infinite where that is no float."""
    ratio = error / until_se
    return count * (ratio * ratio)


def _rounded_up(number: float) -> int:
    """To two digits, so that rounding of losses hardly ever decides about n."""
    if not math.isfinite(number):
        return 2**62
    unit = int(10 ** max(0, len(str(int(number))) - 2))
    return math.ceil(number / unit) * unit

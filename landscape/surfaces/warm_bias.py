"""How far warm starts are off: a sample of their nodes, measured by the full attack as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

LINES_FOR_ONE = 5
"""Of so many directions one is looked at, and of fewer one as well."""

LARGEST_UNSAID = 0.05
"""Of the full attack's loss; a larger bias is warned of. Twice what the arithmetic of `bf16` costs."""


@dataclass(frozen=True, kw_only=True)
class Bias:
    """Two mean losses at one node.

    Attributes:
        direction: number of the direction.
        alpha: position along it, in units of the direction.
        warm: with warm starts.
        full: by the full attack.
    """

    direction: int
    alpha: float
    warm: float
    full: float

    @property
    def relative(self) -> float:
        """(warm - full) / |full|, below 0 where warm starts find too little; NaN where this is no number."""
        share = (self.warm - self.full) / abs(self.full) if self.full else math.nan
        return share if math.isfinite(share) else math.nan


def full_attack_sample(plan: SurfacePlan) -> SurfacePlan:
    """The nodes of a plan with warm starts that the full attack is made at, to compare.

    The first fifth of the directions, at least one; of each the outermost nodes, where the chain of warm starts is
    longest, and the nodes nearest to half of these. Not node 0, which is attacked in full anyway.
    """
    settings = plan.settings
    full = replace(settings, warm_steps=None, grid=replace(settings.grid, alpha=_sampled(settings.grid.alpha)))
    return replace(plan, settings=full, num_directions=math.ceil(plan.num_directions / LINES_FOR_ONE))


def biases(warm: Surface, full: Surface) -> list[Bias]:
    """What the nodes of a sample by the full attack say, direction by direction."""
    means, expected = warm.mean(), full.mean()
    return [
        Bias(
            direction=line,
            alpha=alpha,
            warm=float(means[line, warm.grid.alpha.index(alpha)]),
            full=float(expected[line, index]),
        )
        for line in range(len(expected))
        for index, alpha in enumerate(full.grid.alpha)
    ]


def largest(found: Sequence[Bias]) -> Bias | None:
    """The largest one relative to the full attack, whatever its sign; None where all are undefined."""
    defined = [bias for bias in found if math.isfinite(bias.relative)]
    return max(defined, key=lambda bias: abs(bias.relative), default=None)


def with_bias(surface: Surface, found: Sequence[Bias]) -> Surface:
    """The surface with its largest bias in the provenance, for captions; in memory only, its file stays as it is."""
    worst = largest(found)
    where = {"direction": 0, "alpha": math.nan, "bias": math.nan}
    if worst is not None:
        where = {"direction": worst.direction, "alpha": worst.alpha, "bias": worst.relative}
    return replace(surface, provenance=(*surface.provenance, {"warm_bias": {**where, "num_compared": len(found)}}))


def _sampled(alpha: tuple[float, ...]) -> tuple[float, ...]:
    ends = {alpha[0], alpha[-1]}
    nodes = ends | {min(alpha, key=lambda node: (abs(node - end / 2), abs(node))) for end in ends}
    return tuple(sorted(nodes - {0.0} or nodes))

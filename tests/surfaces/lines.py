"""Plans of short lines that a textbook attack can follow."""

from __future__ import annotations

from typing import Any

from torch import nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples
from landscape.surfaces.plan import SurfacePlan, plan_surface

EPSILON, STEP, STEPS = 0.15, 0.04, 4

THREAT = ThreatModel(norm="linf", epsilon=EPSILON)


def attack_of(**changes: Any) -> PGD:
    settings: dict[str, Any] = {"threat": THREAT, "step_size": STEP, "num_steps": STEPS, **changes}
    return PGD(**settings)


def plan_of(model: nn.Module, examples: Examples, grid: Any = "-1:0.5:4", **changes: Any) -> SurfacePlan:
    settings: dict[str, Any] = {"attack": attack_of(), "directions": 2, "device": "cpu", "batch_size": 5, **changes}
    return plan_surface(model, examples, grid=grid, **settings)

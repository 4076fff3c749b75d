"""The threat model: which perturbations of an input are allowed, and how a step and a projection look there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.names import THREAT_NORMS

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-10
"""Added to gradient norms, as in the reference implementation, so that a zero gradient gives no step."""


@dataclass(frozen=True, kw_only=True)
class ThreatModel:
    """All perturbations with norm at most epsilon that keep the input in [0, 1].

    Attributes:
        norm: "linf" (largest absolute value over the pixels) or "l2" (Euclidean, over the whole input).
        epsilon: radius, at least 0, in units of inputs in [0, 1] (the field's 8/255); at most 1 for "linf".

    Raises:
        InputError: an unknown norm, or an epsilon outside its range.
    """

    norm: str
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm not in THREAT_NORMS:
            raise InputError(f"the norm of a threat model is one of {', '.join(THREAT_NORMS)}, got {self.norm!r}.")
        # One type for one number: 1 and 1.0 must not be two keys.
        object.__setattr__(self, "epsilon", float(self.epsilon))
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise InputError(f"epsilon is a finite number of at least 0, got {self.epsilon:g}.")
        if self.norm == "linf" and self.epsilon > 1:
            size = f"{self.epsilon:g}"
            raise InputError(f"inputs lie in [0, 1], so an L-inf epsilon is at most 1, got {size}; is it {size}/255?")

    @property
    def default_step_size(self) -> float:
        """The papers' ratio of step to radius: 2/8 for L-inf, 15/128 for L2."""
        return self.epsilon * (0.25 if self.norm == "linf" else 15 / 128)

    def project(self, delta: Tensor) -> Tensor:
        """The closest perturbation in the ball, for each example; `delta` (B, ...)."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        return torch.renorm(delta, p=2, dim=0, maxnorm=self.epsilon)

    def step(self, delta: Tensor, gradient: Tensor, step_size: float) -> Tensor:
        """One step of steepest ascent and the projection to the ball; the pixel box comes after, by the attack.

        L-inf: delta + a sign(g).  L2: delta + a g / (||g||_2 + 1e-10).
        """
        if self.norm == "linf":
            return self.project(torch.add(delta, gradient.sign(), alpha=step_size))
        norms = gradient.flatten(1).norm(dim=1).view(-1, *[1] * (gradient.dim() - 1))
        return self.project(delta + step_size * gradient / (norms + TINY))

    def settings(self) -> dict[str, Any]:
        """Norm and radius as plain values."""
        return {"norm": self.norm, "epsilon": self.epsilon}

"""Perturbations v of weights w in a ball around them that is measured by their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landscape.errors import InputError
from landscape.names import PERTURBATION_NORMS, PERTURBATION_SIZES

if TYPE_CHECKING:
    from torch import Tensor

_ORDERS = {"l2": 2, "l1": 1}


@dataclass(frozen=True, kw_only=True)
class RelativeBall:
    """All v with ||v_l|| <= gamma ||w_l||, for each tensor l alone or for all of them together.

    Attributes:
        gamma: relative radius, above 0.
        norm: "layer" or "global".
        size: "l2" (Frobenius over the whole tensor) or "l1" (sum of absolute values).

    Raises:
        InputError: a value outside its range.
    """

    gamma: float
    norm: str = "layer"
    size: str = "l2"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise InputError(f"gamma of a weight perturbation is a finite number above 0, got {self.gamma}.")
        for name, value, choices in (
            ("norm", self.norm, PERTURBATION_NORMS),
            ("size", self.size, PERTURBATION_SIZES),
        ):
            if value not in choices:
                raise InputError(f"the {name} of a weight perturbation is one of {', '.join(choices)}, got {value!r}.")

    def along(self, weights: Sequence[Tensor], directions: Sequence[Tensor], share: float = 1.0) -> list[Tensor]:
        """share * gamma * ||w|| * d / ||d||: on the sphere for a share of 1, and 0 where d is exactly 0.

        Args:
            weights: w.
            directions: d, of the same shapes.
            share: part of the radius.
        """
        radius, order = share * self.gamma, _ORDERS[self.size]
        if self.norm == "layer":
            return [relative_step(w, d, radius, order) for w, d in zip(weights, directions, strict=True)]
        largest = torch.stack([d.abs().amax() for d in directions]).amax()
        unscaled = [d / torch.where(largest > 0, largest, torch.ones_like(largest)) for d in directions]
        factor = radius * total_norm(weights, order) / total_norm(unscaled, order).clamp(min=1.0)
        return [d * factor for d in unscaled]

    def project(self, weights: Sequence[Tensor], v: Sequence[Tensor]) -> list[Tensor]:
        """v scaled back to the sphere where it is outside (Eq. 10 of AWP's paper)."""
        order = _ORDERS[self.size]
        if self.norm == "layer":
            groups = [([w], [x]) for w, x in zip(weights, v, strict=True)]
        else:
            groups = [(list(weights), list(v))]
        projected = []
        for ours, moves in groups:
            radius, length = self.gamma * total_norm(ours, order), total_norm(moves, order)
            factor = torch.where(length > radius, radius / length, torch.ones_like(length))
            projected += [move * factor for move in moves]
        return projected


def relative_step(weight: Tensor, gradient: Tensor, gamma: float, order: int = 2) -> Tensor:
    """gamma * ||w|| * g / ||g||, and 0 where g is exactly 0.

    The gradient is divided by its largest absolute entry first: the square of 1e-30 is 0 in single precision, and late
    in training, when the loss is almost 0, gradients do become small.

    Args:
        weight: w, any shape.
        gradient: g, of the same shape.
        gamma: relative length.
        order: of the norms, 1 or 2.
    """
    largest = gradient.abs().amax()
    unscaled = gradient / torch.where(largest > 0, largest, torch.ones_like(largest))
    # The largest entry is now 1, so the norm is at least 1 unless g is 0.
    step: Tensor = unscaled * (gamma * weight.norm(p=order) / unscaled.norm(p=order).clamp(min=1.0))
    return step


def total_norm(tensors: Sequence[Tensor], order: int = 2) -> Tensor:
    """Norm of all numbers together, a scalar."""
    total: Tensor = torch.stack([tensor.norm(p=order) for tensor in tensors]).norm(p=order)
    return total

"""Perturbations v of weights w in a relative ball, and the live tensors that they move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call

from landscape.errors import InputError
from landscape.names import PERTURBATION_NORMS, PERTURBATION_SIZES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Forward

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


class MovedWeights:
    """The tensors of a live model that weight perturbations move: those with more than one dimension.

    Biases and the scales and shifts of normalization layers stay, as in the references.

    Attributes:
        names: their names.
        origin: w, copies.
    """

    def __init__(self, model: nn.Module) -> None:
        chosen = {name: p for name, p in model.named_parameters() if p.ndim > 1 and p.requires_grad}
        self.names = list(chosen)
        self._live = list(chosen.values())
        self._model = model
        # Every inner pass runs in training mode on copied buffers: BatchNorm's statistics do not take notice of it.
        self._buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        self.origin = [parameter.detach().clone() for parameter in self._live]

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self._model.parameters()).device

    @property
    def forward(self) -> Forward:
        """The model at its present weights, as a function that leaves its buffers as they are."""
        return lambda inputs: functional_call(self._model, self._buffers, (inputs,))

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """The gradients of a loss that was taken by `forward`; 0 for tensors that it does not depend on."""
        return torch.autograd.grad(loss, self._live, materialize_grads=True)

    @torch.no_grad()
    def move(self, v: Sequence[Tensor]) -> None:
        """Write w + v, always from w, so that no rounding accumulates."""
        for parameter, weight, step in zip(self._live, self.origin, v, strict=True):
            parameter.copy_(weight + step)

    @torch.no_grad()
    def restore(self) -> None:
        """Write w, exactly."""
        for parameter, weight in zip(self._live, self.origin, strict=True):
            parameter.copy_(weight)

    def ratio(self, v: Sequence[Tensor]) -> Tensor:
        """||v|| / ||w|| over all tensors that move, a scalar."""
        return total_norm(v) / total_norm(self.origin)

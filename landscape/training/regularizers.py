"""Penalties on the size of weights, taken where the gradient of an update is: at w + v."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landscape.models.noisy import noise_scales

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Weight decay, L1 and L2.

        grad <- grad + l1 sign(p) + decay p

    with decay = weight_decay for every parameter, or l2 for those with more than one dimension and 0 for the others.
    Those with more than one are the weights of convolutions and linear layers; the reference picks the same ones of
    its models by their names, which lack "bn" and "bias". Decay acts through the gradient, so momentum sees it, and is
    no part of a reported loss; l1 sum |p| is, as in the reference. None is a part of the loss that v raises. Scales of
    parametric noise have no penalty, as in its reference.

    Attributes:
        weight_decay: at least 0; without effect where there is l2.
        l1: at least 0.
        l2: at least 0; None for none.
    """

    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float | None = None

    @torch.no_grad()
    def add_gradients(self, model: nn.Module) -> Tensor | float:
        """Add the penalties' gradients, at the weights that the model has now, to those of its parameters.

        Returns:
            l1 sum |p|, a scalar on the model's device; 0.0 without l1.
        """
        value: Tensor | float = 0.0
        scales = {id(scale) for scale in noise_scales(model).values()}
        decayed: list[Tensor] = []
        gradients: list[Tensor] = []
        for parameter in model.parameters():
            if parameter.grad is None or id(parameter) in scales:
                continue
            matrix = parameter.ndim > 1
            if self.l1 and matrix:
                parameter.grad.add_(parameter.sign(), alpha=self.l1)
                value = value + self.l1 * parameter.abs().sum()
            if self.l2 is None or matrix:
                decayed.append(parameter)
                gradients.append(parameter.grad)
        if decayed:
            torch._foreach_add_(gradients, decayed, alpha=self.weight_decay if self.l2 is None else self.l2)
        return value

"""The tensors of a live model that weight perturbations move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call

from landscape.relative_ball import total_norm

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Forward


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

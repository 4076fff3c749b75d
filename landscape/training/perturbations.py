"""What happens to the weights before the gradient of an update is taken; the `-awp` of a method's name."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.func import functional_call

from landscape.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Forward

    LossOf = Callable[[Forward], Tensor]
    """The training loss on a prepared batch, a scalar, as a function of the model."""


class Perturbation(Protocol):
    """Moves the weights of the live model to w + v for a block, and exactly back to w after it."""

    def applied(self, model: nn.Module, loss_of: LossOf, *, epoch: int) -> contextlib.AbstractContextManager[Tensor]:
        """Enter with the ratio ||v|| / ||w|| over the tensors that may move, a scalar on the model's device.

        Args:
            model: the live model, in training mode; its buffers and gradients are left as they are.
            loss_of: the loss that v should raise.
            epoch: epochs finished so far, from 0.
        """
        ...


class NoPerturbation:
    """v = 0."""

    @contextlib.contextmanager
    def applied(self, model: nn.Module, loss_of: LossOf, *, epoch: int) -> Iterator[Tensor]:
        """Nothing moves and nothing is computed."""
        yield torch.zeros((), device=next(model.parameters()).device)


@dataclass(frozen=True, kw_only=True)
class AdversarialWeightPerturbation:
    """AWP (Wu et al. 2020, Eq. 8-10 with A = K2 = 1): each layer moves up the loss to relative distance gamma.

        v_l = gamma * ||w_l|| * g_l / ||g_l||,    g = gradient of the loss at w,

    for every parameter with more than one dimension, Frobenius norms over the whole tensor; biases and the scales and
    shifts of normalization layers stay. It costs one forward pass and one gradient with respect to the parameters.

    Attributes:
        gamma: ||v_l|| / ||w_l||, above 0.
        warmup: epochs at the beginning without a perturbation.

    Raises:
        InputError: a number outside its range.
    """

    gamma: float
    warmup: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise InputError(f"gamma of a weight perturbation is a finite number above 0, got {self.gamma}.")
        if self.warmup < 0:
            raise InputError(f"the warm-up of a weight perturbation is 0 epochs or more, got {self.warmup}.")

    @contextlib.contextmanager
    def applied(self, model: nn.Module, loss_of: LossOf, *, epoch: int) -> Iterator[Tensor]:
        """w + v within the block; w is put back by copy, so that no rounding stays behind."""
        if epoch < self.warmup:
            with NoPerturbation().applied(model, loss_of, epoch=epoch) as nothing:
                yield nothing
            return
        moved = [parameter for parameter in model.parameters() if parameter.ndim > 1 and parameter.requires_grad]
        gradients = _gradients(model, moved, loss_of)
        with torch.no_grad():
            saved = [parameter.clone() for parameter in moved]
            steps = [relative_step(w, g, self.gamma) for w, g in zip(saved, gradients, strict=True)]
            ratio = _total_norm(steps) / _total_norm(saved)
            for parameter, step in zip(moved, steps, strict=True):
                parameter.add_(step)
        try:
            yield ratio
        finally:
            with torch.no_grad():
                for parameter, weight in zip(moved, saved, strict=True):
                    parameter.copy_(weight)


def relative_step(weight: Tensor, gradient: Tensor, gamma: float) -> Tensor:
    """gamma * ||w|| * g / ||g||, and 0 where g is exactly 0.

    The gradient is divided by its largest absolute entry first: the square of 1e-30 is 0 in single precision, and late
    in training, when the loss is almost 0, gradients do become small.

    Args:
        weight: w, any shape.
        gradient: g, of the same shape.
        gamma: relative length.
    """
    largest = gradient.abs().amax()
    unscaled = gradient / torch.where(largest > 0, largest, torch.ones_like(largest))
    # The largest entry is now 1, so the norm is at least 1 unless g is 0.
    step: Tensor = unscaled * (gamma * weight.norm() / unscaled.norm().clamp(min=1.0))
    return step


def _gradients(model: nn.Module, parameters: list[torch.nn.Parameter], loss_of: LossOf) -> tuple[Tensor, ...]:
    # The pass runs in training mode on copied buffers: BatchNorm's running statistics do not take notice of it.
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.enable_grad():
        loss = loss_of(lambda inputs: functional_call(model, buffers, (inputs,)))
        return torch.autograd.grad(loss, parameters, materialize_grads=True)


def _total_norm(tensors: list[Tensor]) -> Tensor:
    total: Tensor = torch.stack([tensor.norm() for tensor in tensors]).norm()
    return total

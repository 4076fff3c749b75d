"""What happens to the weights before the gradient of an update is taken; the second part of a method's name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from landscape.errors import InputError
from landscape.training.weight_steps import MovedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.objectives import Losses


Select = Callable[["Losses"], "Tensor"]
"""Which examples of a batch count, (B,) bool."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """How a batch pulls on the weights.

    Attributes:
        gradients: of the sum over the selected examples divided by the number of all, one for each tensor that moves;
            None where no example was selected, and no gradient was computed.
        share: of the examples that were selected, a scalar.
    """

    gradients: Sequence[Tensor] | None
    share: Tensor


class InnerProblem(Protocol):
    """What a perturbation may ask about the batch."""

    def pull(self, weights: MovedWeights, select: Select | None = None) -> Pull:
        """The gradient of the training loss on the present examples x', at the present weights of the live model.

        Args:
            weights: with respect to which tensors.
            select: which examples count; None for all.
        """
        ...

    def craft_again(self) -> None:
        """Make x' anew, from the next random start, at the present weights of the live model."""
        ...


@dataclass(frozen=True, kw_only=True)
class Perturbed:
    """What a perturbation did; scalars on the model's device, so that no step waits for them.

    Attributes:
        ratio: ||v|| / ||w|| over the tensors that may move.
        inner_steps: gradients with respect to v.
        share: of the examples, how many pulled on v in the first inner step.
    """

    ratio: Tensor
    inner_steps: Tensor
    share: Tensor


class Perturbation(Protocol):
    """Moves the weights of the live model to w + v for a block, and exactly back to w after it."""

    def applied(
        self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int
    ) -> contextlib.AbstractContextManager[Perturbed]:
        """Enter the block at w + v.

        Args:
            model: the live model, in training mode; its gradients are left as they are, and its buffers too, except by
                `inner.craft_again`.
            inner: the batch, with examples that were made at w.
            epoch: epochs finished so far, from 0.
            batch: batches of this epoch finished so far, from 0.
        """
        ...


class NoPerturbation:
    """v = 0."""

    @contextlib.contextmanager
    def applied(self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int) -> Iterator[Perturbed]:
        """Nothing moves and nothing is computed."""
        yield unperturbed(next(model.parameters()).device)


@dataclass(frozen=True, kw_only=True)
class AfterWarmup:
    """Another perturbation, after some epochs without one.

    Attributes:
        perturbation: the other one.
        num_epochs: how many epochs, at least 0.

    Raises:
        InputError: a negative number of epochs.
    """

    perturbation: Perturbation
    num_epochs: int

    def __post_init__(self) -> None:
        if self.num_epochs < 0:
            raise InputError(f"the warm-up of a weight perturbation is 0 epochs or more, got {self.num_epochs}.")

    def applied(
        self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int
    ) -> contextlib.AbstractContextManager[Perturbed]:
        """The other perturbation's block, or one in which nothing moves."""
        chosen = NoPerturbation() if epoch < self.num_epochs else self.perturbation
        return chosen.applied(model, inner, epoch=epoch, batch=batch)


@contextlib.contextmanager
def restoring(weights: MovedWeights) -> Iterator[None]:
    """Put w back at the end of the block, by copy, also when it fails."""
    try:
        yield
    finally:
        weights.restore()


def unperturbed(device: torch.device) -> Perturbed:
    """What doing nothing did."""
    zero = torch.zeros((), device=device)
    return Perturbed(ratio=zero, inner_steps=zero, share=zero)


def perturbed(weights: MovedWeights, v: Sequence[Tensor] | None, *, inner_steps: int, share: Tensor) -> Perturbed:
    """What moving by v did; None is v = 0."""
    zero = torch.zeros((), device=weights.device)
    return Perturbed(ratio=zero if v is None else weights.ratio(v), inner_steps=zero + inner_steps, share=share)

"""What a batch is turned into and which loss the update descends; the `natural` and `at` of a method's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from landscape.losses import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Attack, Forward


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one update sees.

    Attributes:
        inputs: (B, C, H, W) in [0, 1], augmented.
        labels: (B,) int64.
        starts: (1, B, C, H, W) random starts of the attack; None where the objective makes no attack.
    """

    inputs: Tensor
    labels: Tensor
    starts: Tensor | None = None


class Objective(Protocol):
    """The parts of an update that differ between objectives, in the order in which they run."""

    attacks: bool
    """Whether batches need random starts."""

    def prepare(self, model: nn.Module, batch: Batch, attack: Attack) -> Tensor:
        """The inputs (B, C, H, W) that the loss is taken at; made at the weights w of the live model."""
        ...

    def loss(self, forward: Forward, batch: Batch, prepared: Tensor) -> Tensor:
        """The loss, a scalar in nats, as a function of the weights inside `forward`."""
        ...

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """What the reference still does with the live model after its weights have been updated."""
        ...


class Natural:
    """Mean cross-entropy on the examples themselves."""

    attacks = False

    def prepare(self, model: nn.Module, batch: Batch, attack: Attack) -> Tensor:
        """The inputs."""
        return batch.inputs

    def loss(self, forward: Forward, batch: Batch, prepared: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return cross_entropy(forward(prepared), batch.labels).mean()

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """Nothing."""


class AdversarialTraining:
    """Mean cross-entropy on adversarial examples x' (Madry et al. 2018), as the AWP reference does it.

    The attack runs on the live model in training mode, so it sees batch statistics, and each of its forward passes
    moves BatchNorm's running statistics. So does one more pass at x', whose loss the reference reports, and one on the
    clean inputs after the update: with the update itself 13 for PGD-10. Leaving one out gives other running statistics,
    and with them another test accuracy.
    """

    attacks = True

    def prepare(self, model: nn.Module, batch: Batch, attack: Attack) -> Tensor:
        """The last iterate x' of the attack's one restart."""
        with torch.no_grad():
            (adversarial,) = attack.restarts(model, batch.inputs, batch.labels, batch.starts)
            model(adversarial)
        return adversarial

    def loss(self, forward: Forward, batch: Batch, prepared: Tensor) -> Tensor:
        """Mean cross-entropy on x'."""
        return cross_entropy(forward(prepared), batch.labels).mean()

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """A pass on the clean inputs at the updated weights, for the running statistics alone."""
        with torch.no_grad():
            model(batch.inputs)


OBJECTIVES: Mapping[str, Objective] = {"natural": Natural(), "at": AdversarialTraining()}
"""The part of a method's name before its weight perturbation."""

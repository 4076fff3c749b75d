"""Which loss an update descends, one number for each example; the first part of a method's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from landscape.losses import cross_entropy, mart, trades

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Forward
    from landscape.training.selection import LossRange


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one update sees.

    Attributes:
        inputs: (B, C, H, W) in [0, 1], augmented.
        labels: (B,) int64, or (B, K) probabilities.
        starts: (A, B, C, H, W) random starts of the attack, one for each alternation; None where there is no attack.
        weights: (B,) at least 0, how much each example counts; None where all count the same.
        borrowed: whether the examples are another process's, and count for nothing here; see `Processes.part`.
    """

    inputs: Tensor
    labels: Tensor
    starts: Tensor | None = None
    weights: Tensor | None = None
    borrowed: bool = False

    def split(self, num_parts: int) -> list[Batch]:
        """Parts of equal size, the last one perhaps smaller; the batch itself for one part."""
        if num_parts == 1:
            return [self]
        size = -(-len(self.inputs) // num_parts)
        return [self.take(slice(first, first + size)) for first in range(0, len(self.inputs), size)]

    def take(self, rows: slice | Tensor) -> Batch:
        """Some of the examples."""
        return Batch(
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            starts=None if self.starts is None else self.starts[:, rows],
            weights=None if self.weights is None else self.weights[rows],
            borrowed=self.borrowed,
        )


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses of a batch, at some weights of the model.

    Attributes:
        training: (B,) what is descended.
        adversarial: (B,) cross-entropy on x', by which examples are selected; without a gradient.
        weights: (B,) as in `Batch`, 0 for examples that are removed; None where all count the same.
        removed: (B,) bool, which examples are removed; None where none can be.
    """

    training: Tensor
    adversarial: Tensor
    weights: Tensor | None = None
    removed: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """What the mean divides by, a scalar."""
        return self.training.new_full((), len(self.training)) if self.weights is None else self.weights.sum()

    def mean(self, selected: Tensor | None = None) -> Tensor:
        """Weighted mean of the training losses, a scalar; those not `selected` (B,) count as 0, not as absent."""
        if self.weights is None:
            return (self.training if selected is None else self.training.where(selected, 0.0)).mean()
        counted = self.weights > 0 if selected is None else selected & (self.weights > 0)
        # Losses that do not count may be infinite, and 0 times infinity is no number.
        total = (self.weights * self.training.where(counted, 0.0)).sum()
        return total / self.weights.sum().clamp(min=torch.finfo(total.dtype).tiny)


class Objective(Protocol):
    """The loss of a batch, and which passes of the live model the reference makes around it."""

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """The losses as a function of the weights inside `forward`, with as few passes as they need.

        Args:
            forward: inputs to logits, in training mode.
            batch: the batch.
            examples: (B, C, H, W) x', from the recipe's crafting.
        """
        ...

    def live_losses(self, model: nn.Module, batch: Batch, examples: Tensor) -> Losses:
        """The same on the live model, with every pass that moves BatchNorm's running statistics, in their order."""
        return self.losses(model, batch, examples)

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """What the reference still does with the live model after its weights have been updated."""
        return


class Natural(Objective):
    """Cross-entropy on the examples that are given."""

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """One pass."""
        loss = cross_entropy(forward(examples), batch.labels)
        return Losses(training=loss, adversarial=loss.detach(), weights=batch.weights)


class AdversarialTraining(Natural):
    """Cross-entropy on adversarial examples x' (Madry et al. 2018), as the AWP reference does it.

    A clean pass after the update moves BatchNorm's running statistics: with the update, ten steps of the attack in
    training mode and the pass at x' these are 13. Leaving one out gives other running statistics, and with them another
    test accuracy.
    """

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """A pass on the clean inputs at the updated weights, for the running statistics alone."""
        _count(model, batch.inputs)


class JointTraining(Objective):
    """(CE(f(x), y) + CE(f(x'), y)) / 2, the joint loss of parametric noise injection (He et al. 2019, Eq. 8)."""

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """Two passes: clean, adversarial."""
        clean = cross_entropy(forward(batch.inputs), batch.labels)
        adversarial = cross_entropy(forward(examples), batch.labels)
        return Losses(training=0.5 * clean + 0.5 * adversarial, adversarial=adversarial.detach(), weights=batch.weights)


@dataclass(frozen=True, kw_only=True)
class Trades(Objective):
    """CE(f(x), y) + beta KL(f(x) || f(x')) (Zhang et al. 2019).

    One clean pass serves both terms, which is the same loss and gradient as the references' two. Their second one still
    moves the running statistics here: upstream has the order clean, adversarial, clean, the AWP reference adversarial,
    clean, clean, the RST reference adversarial, clean.

    Attributes:
        beta: weight of the divergence, at least 0.
        clean_first: a clean pass before, for the running statistics alone.
        clean_last: a clean pass after, for the running statistics alone.
    """

    beta: float
    clean_first: bool = False
    clean_last: bool = False

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """Two passes: adversarial, clean."""
        adversarial = forward(examples)
        return Losses(
            training=trades(forward(batch.inputs), adversarial, batch.labels, beta=self.beta),
            adversarial=cross_entropy(adversarial.detach(), batch.labels),
            weights=batch.weights,
        )

    def live_losses(self, model: nn.Module, batch: Batch, examples: Tensor) -> Losses:
        """Two passes, and one more clean one if asked for."""
        if self.clean_first:
            _count(model, batch.inputs)
        losses = self.losses(model, batch, examples)
        if self.clean_last:
            _count(model, batch.inputs)
        return losses


@dataclass(frozen=True, kw_only=True)
class Mart(Objective):
    """Boosted cross-entropy and weighted divergence of `losses.mart` (Wang et al. 2020).

    Attributes:
        weight: lambda, at least 0.
    """

    weight: float

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """Two passes: clean, adversarial."""
        clean = forward(batch.inputs)
        adversarial = forward(examples)
        return Losses(
            training=mart(clean, adversarial, batch.labels, weight=self.weight),
            adversarial=cross_entropy(adversarial.detach(), batch.labels),
            weights=batch.weights,
        )


@dataclass(frozen=True, kw_only=True)
class WithoutSmallLosses(Objective):
    """Another objective without the examples whose adversarial loss is small (the removal experiment of RWP's paper).

    An example is removed by its cross-entropy on x' at the weights where the loss is taken, and the mean is that over
    the others. Removed examples still take part in the passes, and so in BatchNorm's statistics.

    Attributes:
        objective: the other objective.
        kept: the losses that stay.
    """

    objective: Objective
    kept: LossRange

    def losses(self, forward: Forward, batch: Batch, examples: Tensor) -> Losses:
        """The other objective's, with weight 0 where removed."""
        return self._without(self.objective.losses(forward, batch, examples))

    def live_losses(self, model: nn.Module, batch: Batch, examples: Tensor) -> Losses:
        """The other objective's, with weight 0 where removed."""
        return self._without(self.objective.live_losses(model, batch, examples))

    def conclude(self, model: nn.Module, batch: Batch) -> None:
        """As the other objective."""
        self.objective.conclude(model, batch)

    def _without(self, losses: Losses) -> Losses:
        selected = self.kept.select(losses.adversarial)
        kept = selected.to(losses.adversarial)
        weights = kept if losses.weights is None else kept * losses.weights
        return replace(losses, weights=weights, removed=~selected)


@torch.no_grad()
def _count(model: nn.Module, inputs: Tensor) -> None:
    """A pass for BatchNorm's running statistics alone."""
    model(inputs)

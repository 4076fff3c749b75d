"""The problem that a batch poses: its adversarial examples, how it pulls on the weights, the gradient that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape.training.perturbations import Pull

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.crafting import Crafting
    from landscape.training.objectives import Batch, Objective
    from landscape.training.perturbations import Select
    from landscape.training.weight_steps import MovedWeights


class BatchProblem:
    """A batch, with the examples x' that are made from it on the live model.

    Large batches pass through the model in parts, whose gradients are summed.
    """

    def __init__(
        self, model: nn.Module, batch: Batch, objective: Objective, crafting: Crafting, *, num_parts: int = 1
    ) -> None:
        """Make the examples at the present weights."""
        self._model = model
        self._objective = objective
        self._crafting = crafting
        self._parts = batch.split(num_parts)
        self._shares = [len(part.inputs) / len(batch.inputs) for part in self._parts]
        self._alternation = 0
        self._examples = self._craft()

    def craft_again(self) -> None:
        """Make x' anew, from the next random start, at the present weights of the live model."""
        self._alternation += 1
        self._examples = self._craft()

    def pull(self, weights: MovedWeights, select: Select | None = None) -> Pull:
        """The gradient of the training loss on x' with respect to `weights`; see `InnerProblem`.

        The passes run in training mode and leave the model's buffers as they are.
        """
        gradients: list[Tensor] | None = None
        share = torch.zeros((), device=weights.device)
        for part, examples, size in zip(self._parts, self._examples, self._shares, strict=True):
            with torch.enable_grad():
                losses = self._objective.losses(weights.forward, part, examples)
                selected = None if select is None else select(losses)
                share = share + (size if selected is None else size * selected.float().mean())
                # The question waits for the device, so it is asked only where the answer may be no.
                if selected is not None and not bool(selected.any()):
                    continue
                found = weights.gradients(_weighted(losses.mean(selected), size))
            gradients = list(found) if gradients is None else [a + b for a, b in zip(gradients, found, strict=True)]
        return Pull(gradients=gradients, share=share)

    def descend(self) -> tuple[Tensor, Tensor]:
        """Add the gradient at the present weights to the parameters' own, in the live model's training mode.

        Returns:
            The loss and the share of removed examples, scalars on the device.
        """
        values, removed = [], []
        for part, examples, size in zip(self._parts, self._examples, self._shares, strict=True):
            losses = self._objective.live_losses(self._model, part, examples)
            loss = _weighted(losses.mean(), size)
            torch.autograd.backward([loss])
            values.append(loss.detach())
            removed.append(torch.zeros_like(values[-1]) if losses.removed is None else size * losses.removed)
        return _total(values), _total(removed)

    def conclude(self) -> None:
        """What the reference does with the live model after the update."""
        for part in self._parts:
            self._objective.conclude(self._model, part)

    def _craft(self) -> list[Tensor]:
        return [self._crafting(self._model, part, alternation=self._alternation) for part in self._parts]


def _weighted(loss: Tensor, share: float) -> Tensor:
    return loss if share == 1.0 else share * loss


def _total(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).sum()

"""The problem that a batch poses: its adversarial examples, how it pulls on the weights, the gradient that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from landscape.training.perturbations import Pull
from landscape.training.processes import ALONE, Processes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.crafting import Crafting
    from landscape.training.objectives import Batch, Losses, Objective
    from landscape.training.perturbations import Select
    from landscape.training.weight_steps import MovedWeights


class BatchProblem:
    """A batch, with the examples x' that are made from it on the live model.

    Large batches pass through the model in parts. Of several processes each has a part of the batch, which may again
    pass in parts. With weights w_i of the examples, each part gives the sum of its w_i l_i, and what leaves here is the
    sum over all parts divided by the sum of all w_i: losses and gradients of the whole batch.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        objective: Objective,
        crafting: Crafting,
        *,
        num_parts: int = 1,
        processes: Processes = ALONE,
    ) -> None:
        """Make the examples at the present weights."""
        self._model = model
        self._objective = objective
        self._crafting = crafting
        self._processes = processes
        self._parts = batch.split(num_parts)
        self._divided = len(self._parts) > 1 or processes.size > 1
        self._counts = not batch.borrowed
        self._num_examples = len(batch.inputs) * self._counts
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
        weight = num_selected = torch.zeros((), device=weights.device)
        for part, examples in zip(self._parts, self._examples, strict=True):
            with torch.enable_grad():
                losses = self._objective.losses(weights.forward, part, examples)
                selected = None if select is None else select(losses)
                weight = weight + self._weight(losses)
                num_selected = num_selected + (len(examples) if selected is None else selected.sum())
                # The question waits for the device, so it is asked only where the answer may be no.
                if selected is not None and not bool(selected.any()):
                    continue
                found = weights.gradients(self._weight(losses) * losses.mean(selected))
            gradients = list(found) if gradients is None else [a + b for a, b in zip(gradients, found, strict=True)]
        # Decided together: the loop over inner steps has to end in all processes or in none.
        if select is not None and not self._processes.any(gradients is not None and self._counts):
            return Pull(gradients=None, share=torch.zeros_like(num_selected))
        ours = [torch.zeros_like(w) for w in weights.origin] if gradients is None else gradients
        means, share = self._of_the_whole(ours, weight, num_selected)
        return Pull(gradients=means, share=share)

    def descend(self) -> tuple[Tensor, Tensor]:
        """Give the parameters the gradient at the present weights, in the live model's training mode.

        Returns:
            The loss and the share of removed examples, scalars on the device.
        """
        total, weight, num_removed = [], [], []
        for part, examples in zip(self._parts, self._examples, strict=True):
            losses = self._objective.live_losses(self._model, part, examples)
            weight.append(self._weight(losses))
            loss = weight[-1] * losses.mean()
            torch.autograd.backward([loss])
            total.append(loss.detach())
            num_removed.append(torch.zeros_like(total[-1]) if losses.removed is None else losses.removed.sum().to(loss))
        found = [(p, p.grad) for p in self._model.parameters() if p.grad is not None]
        sums = [_sum(total), *(gradient for _, gradient in found)]
        (mean, *gradients), share = self._of_the_whole(sums, _sum(weight), _sum(num_removed))
        for (parameter, _), gradient in zip(found, gradients, strict=True):
            parameter.grad = gradient
        return mean, share

    def conclude(self) -> None:
        """What the reference does with the live model after the update."""
        for part in self._parts:
            self._objective.conclude(self._model, part)

    def _weight(self, losses: Losses) -> Tensor:
        """How much a part counts; 1 where it is the whole batch, whose mean needs no other."""
        weight = losses.weight if self._divided else torch.ones_like(losses.weight)
        return weight * self._counts

    def _of_the_whole(
        self, sums: Sequence[Tensor], weight: Tensor, num_examples: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Sums over the parts here as means over all parts of all processes, and a number of examples as a share."""
        if not self._divided:
            return list(sums), num_examples / self._num_examples
        count = torch.full_like(num_examples, self._num_examples)
        *sums, weight, num_examples, count = self._processes.sum([*sums, weight, num_examples * self._counts, count])
        # Where all weights are 0, so are all sums.
        weight = weight.clamp(min=torch.finfo(weight.dtype).tiny)
        return [total / weight for total in sums], num_examples / count

    def _craft(self) -> list[Tensor]:
        return [self._crafting(self._model, part, alternation=self._alternation) for part in self._parts]


def _sum(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(list(values)).sum()

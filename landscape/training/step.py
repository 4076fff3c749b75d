"""One update of the weights: attack, weight perturbation, gradient there, step from where the weights were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Attack, Forward
    from landscape.training.objectives import Batch, Objective
    from landscape.training.perturbations import Perturbation

MOMENTUM = 0.9


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an update is made of.

    Attributes:
        objective: which inputs and which loss.
        perturbation: where the gradient is taken.
        attack: how the objective makes adversarial examples; one restart.
        weight_decay: coefficient of the decay of every parameter, at least 0.
    """

    objective: Objective
    perturbation: Perturbation
    attack: Attack
    weight_decay: float


def make_optimizer(model: nn.Module, lr: float) -> torch.optim.SGD:
    """SGD with momentum 0.9, without dampening and Nesterov; weight decay is added by `update`, at w + v."""
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM)


def update(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, recipe: Recipe, *, epoch: int
) -> tuple[Tensor, Tensor]:
    """Update the live model once, in its training mode.

        u <- 0.9 u + grad L(w + v) + wd (w + v)        w <- w - lr u

    as the reference implementation of AWP: momentum and decay see the perturbed weights, the step starts from w.

    Args:
        model: changed in place: weights, and BatchNorm's statistics as the objective says.
        optimizer: from `make_optimizer`, with the learning rate set.
        batch: on the model's device.
        recipe: what the update is made of.
        epoch: epochs finished so far, from 0.

    Returns:
        The loss at w + v and the ratio ||v|| / ||w||, scalars on the device, so that no step waits for it.
    """
    objective = recipe.objective
    prepared = objective.prepare(model, batch, recipe.attack)

    def loss_of(forward: Forward) -> Tensor:
        return objective.loss(forward, batch, prepared)

    optimizer.zero_grad(set_to_none=True)
    with recipe.perturbation.applied(model, loss_of, epoch=epoch) as ratio:
        loss = loss_of(model)
        torch.autograd.backward([loss])
        _decay(model, recipe.weight_decay)
    optimizer.step()
    objective.conclude(model, batch)
    return loss.detach(), ratio


@torch.no_grad()
def _decay(model: nn.Module, weight_decay: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.add_(parameter, alpha=weight_decay)

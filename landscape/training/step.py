"""One update of the weights: attack, weight perturbation, gradient there, step from where the weights were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from landscape.training.parametric_noise import Noise, NoNoise
from landscape.training.problem import BatchProblem
from landscape.training.processes import ALONE, Processes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.crafting import Crafting
    from landscape.training.objectives import Batch, Objective
    from landscape.training.perturbations import Perturbation, Perturbed
    from landscape.training.regularizers import Penalty

MOMENTUM = 0.9


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an update is made of.

    Attributes:
        objective: which loss.
        crafting: how adversarial examples are made.
        perturbation: where the gradient is taken.
        penalty: decay of the weights, and other penalties on their size.
        num_parts: in how many parts a batch passes through the model.
        noise: which noise each pass of a noisy model has.
    """

    objective: Objective
    crafting: Crafting
    perturbation: Perturbation
    penalty: Penalty
    num_parts: int = 1
    noise: Noise = field(default_factory=NoNoise)


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What an update did; scalars on the device, so that no step waits for it.

    Attributes:
        loss: at w + v.
        removed: share of the examples that were left out of it.
        perturbed: what the perturbation did.
    """

    loss: Tensor
    removed: Tensor
    perturbed: Perturbed


def make_optimizer(model: nn.Module, lr: float, *, nesterov: bool = False) -> torch.optim.SGD:
    """SGD with momentum 0.9, without dampening, fused on CUDA; weight decay is added by `update`, at w + v."""
    on_cuda = all(parameter.is_cuda for parameter in model.parameters())
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM, nesterov=nesterov, fused=on_cuda or None)


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Batch,
    recipe: Recipe,
    *,
    epoch: int,
    batch: int = 0,
    processes: Processes = ALONE,
) -> Updated:
    """Update the live model once, in its training mode.

        u <- 0.9 u + grad L(w + v) + wd (w + v)        w <- w - lr u

    as the reference implementation of AWP: momentum and decay see the perturbed weights, the step starts from w.

    Args:
        model: changed in place: weights, and BatchNorm's statistics as the objective and the crafting say.
        optimizer: from `make_optimizer`, with the learning rate set.
        data: on the model's device; of several processes each has its part.
        recipe: what the update is made of.
        epoch: epochs finished so far, from 0.
        batch: batches of this epoch finished so far, from 0.
        processes: which update replicas of the model together, each with the batch statistics of its part; after the
            update all buffers are those of the first one.
    """
    with recipe.noise.renewed(model, epoch=epoch, batch=batch):
        problem = BatchProblem(
            model, data, recipe.objective, recipe.crafting, num_parts=recipe.num_parts, processes=processes
        )
        optimizer.zero_grad(set_to_none=True)
        with recipe.perturbation.applied(model, problem, epoch=epoch, batch=batch) as perturbed:
            loss, removed = problem.descend()
            loss = loss + recipe.penalty.add_gradients(model)
        optimizer.step()
        problem.conclude()
    processes.share(model)
    return Updated(loss=loss, removed=removed, perturbed=perturbed)

"""The mean loss of a model as a function of its weights, with its first and second derivatives."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call

from landscape.attacks.pgd import strongest
from landscape.devices import default_batch_size
from landscape.losses import cross_entropy
from landscape.models.noisy import NoiseDraws, is_noisy
from landscape.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack

BATCH_SHARE = 4
"""Derivatives with respect to weights keep more activations than a measurement: batches are so many times smaller."""


class LossOfWeights:
    """L(w) = (1/n) sum_i CE(f_w(x_i), y_i) on a private copy of a model in eval mode, running statistics frozen.

    Of a model with parametric noise it is the mean over draws of the noise, each with adversarial examples of its own.

    Attributes:
        device: where it is computed.
        moving: the names of the parameters with respect to which derivatives are taken.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        moving: Sequence[str],
        device: torch.device | str,
        *,
        noise: NoiseDraws,
    ) -> None:
        self.device = torch.device(device)
        self.moving = list(moving)
        self._model = copy.deepcopy(model).eval().requires_grad_(False).to(self.device)
        dtype = next((p.dtype for p in self._model.parameters() if p.is_floating_point()), torch.float32)
        self._inputs = examples.inputs.to(self.device, dtype)
        self._labels = examples.labels.to(self.device)
        self._noise, self._num_draws = noise, noise.count if is_noisy(self._model) else 1
        self._ids = examples.ids.cpu()
        size = max(1, default_batch_size(self._model, self._inputs[:1], self.device) // BATCH_SHARE)
        self._batches = _batches_of(size, len(self._labels))

    def craft(self, weights: Weights, attack: Attack, *, seed: int) -> list[Tensor]:
        """(n, C, H, W) adversarial inputs for each draw, made by an attack on f_w from the examples' own starts."""
        placed = self._placed(weights)
        # An attack that draws its random numbers for whole batches says how large they are.
        size = getattr(attack, "batch_size", None)
        batches = self._batches if size is None else _batches_of(size, len(self._labels))

        def forward(inputs: Tensor) -> Tensor:
            logits: Tensor = functional_call(self._model, placed, (inputs,))
            return logits

        return [
            torch.cat(
                [
                    strongest(attack, forward, self._inputs[rows], self._labels[rows], ids=self._ids[rows], seed=seed)
                    for rows in batches
                ]
            )
            for _ in self._noise.of(self._model)
        ]

    def gradient(self, weights: Weights, inputs: Sequence[Tensor]) -> list[Tensor]:
        """dL/dw at `weights` on `inputs`, (n, C, H, W) for each draw; one tensor for each of `moving`."""
        leaves = self._leaves(weights)
        total = [torch.zeros_like(leaf) for leaf in leaves.values()]
        for loss in self._losses(weights, leaves, inputs):
            parts = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
            total = [one + part for one, part in zip(total, parts, strict=True)]
        return total

    def hessian_product(self, weights: Weights, inputs: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
        """(d^2 L / dw^2) v, by differentiating the inner product of the gradient with v; `inputs` as in `gradient`."""
        leaves = self._leaves(weights)
        total = [torch.zeros_like(leaf) for leaf in leaves.values()]
        for loss in self._losses(weights, leaves, inputs):
            ours = list(leaves.values())
            gradient = torch.autograd.grad(loss, ours, create_graph=True, materialize_grads=True)
            slope = torch.stack([(g * v).sum() for g, v in zip(gradient, vector, strict=True)]).sum()
            parts = torch.autograd.grad(slope, ours, materialize_grads=True)
            total = [one + part for one, part in zip(total, parts, strict=True)]
        return total

    def _losses(self, weights: Weights, leaves: Weights, inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        """The parts of L, one for each batch under each draw of noise."""
        for draw in self._noise.of(self._model):
            for rows in self._batches:
                logits = functional_call(self._model, {**self._placed(weights), **leaves}, (inputs[draw][rows],))
                losses = cross_entropy(logits, self._labels[rows])
                yield losses.sum() / (len(self._labels) * self._num_draws)

    def _placed(self, weights: Weights) -> Weights:
        return {name: weight.to(self.device) for name, weight in weights.items()}

    def _leaves(self, weights: Weights) -> Weights:
        return {name: weights[name].detach().to(self.device).requires_grad_() for name in self.moving}


def _batches_of(size: int, count: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, count, size)]

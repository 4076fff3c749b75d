"""Slow, independent truths that the fast code is compared with: closed forms and literal loops."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class LiteralTrainer:
    """Training steps written out line by line in float64, with its own SGD and its own BatchNorm bookkeeping.

    The net is conv(3x3, padding 1) - BN - ReLU - conv(3x3, stride 2, padding 1, bias) - BN - ReLU - linear; `weights`
    and `buffers` are plain tensors under torch's names (0, 1, 3, 4, 7). Nothing of `landscape` is used.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        ours = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.buffers = {name: ours.pop(name) for name in list(ours) if "running" in name or "num_batches" in name}
        self.weights = ours
        self.momentum: dict[str, Tensor] = {}

    def forward(self, weights: dict[str, Tensor], inputs: Tensor, *, count: bool) -> Tensor:
        z = F.conv2d(inputs, weights["0.weight"], padding=1)
        z = F.relu(self._batchnorm(weights, z, "1", count))
        z = F.conv2d(z, weights["3.weight"], weights["3.bias"], stride=2, padding=1)
        z = F.relu(self._batchnorm(weights, z, "4", count))
        return z.reshape(len(z), -1) @ weights["7.weight"].T + weights["7.bias"]

    def _batchnorm(self, weights: dict[str, Tensor], z: Tensor, layer: str, count: bool) -> Tensor:
        size = z.shape[0] * z.shape[2] * z.shape[3]
        mean = z.sum(dim=(0, 2, 3)) / size
        variance = ((z - mean[None, :, None, None]) ** 2).sum(dim=(0, 2, 3)) / size
        if count:
            for name, value in (("mean", mean), ("var", variance * size / (size - 1))):
                old = self.buffers[f"{layer}.running_{name}"]
                self.buffers[f"{layer}.running_{name}"] = 0.9 * old + 0.1 * value.detach()
            self.buffers[f"{layer}.num_batches_tracked"] = self.buffers[f"{layer}.num_batches_tracked"] + 1
        scaled = (z - mean[None, :, None, None]) / torch.sqrt(variance + 1e-5)[None, :, None, None]
        return weights[f"{layer}.weight"][None, :, None, None] * scaled + weights[f"{layer}.bias"][None, :, None, None]

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros((), dtype=logits.dtype)
        for row, label in zip(logits, labels.tolist(), strict=True):
            total = total + torch.log(torch.exp(row).sum()) - row[label]
        return total / len(labels)

    def attack(
        self,
        inputs: Tensor,
        labels: Tensor,
        start: Tensor,
        *,
        norm: str,
        epsilon: float,
        step_size: float,
        num_steps: int,
    ) -> Tensor:
        delta = torch.minimum(torch.maximum(start, 0 - inputs), 1 - inputs)
        for _ in range(num_steps):
            delta = delta.detach().requires_grad_()
            loss = self.loss(self.forward(self.weights, inputs + delta, count=True), labels) * len(labels)
            (gradient,) = torch.autograd.grad(loss, [delta])
            moved = delta.detach().clone()
            for i in range(len(inputs)):
                if norm == "linf":
                    moved[i] = torch.clamp(moved[i] + step_size * torch.sign(gradient[i]), -epsilon, epsilon)
                else:
                    moved[i] = moved[i] + step_size * gradient[i] / (torch.sqrt((gradient[i] ** 2).sum()) + 1e-10)
                    length = torch.sqrt((moved[i] ** 2).sum())
                    # torch.renorm, with which the reference projects, adds 1e-7 to the length.
                    moved[i] = moved[i] * (epsilon / (length + 1e-7)) if length > epsilon else moved[i]
            delta = torch.minimum(torch.maximum(moved, 0 - inputs), 1 - inputs)
        self.forward(self.weights, inputs + delta, count=True)
        return torch.clamp(inputs + delta, 0, 1).detach()

    def step(
        self,
        inputs: Tensor,
        labels: Tensor,
        start: Tensor | None,
        *,
        lr: float,
        decay: float,
        gamma: float,
        **attack: Any,
    ) -> Tensor:
        """One update; natural without `start`, AT with it, AWP where gamma is above 0. The loss at w + v."""
        seen = inputs if start is None else self.attack(inputs, labels, start, **attack)
        shift = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        if gamma:
            gradients = self._gradients(self.weights, seen, labels, count=False)[1]
            for name, w in self.weights.items():
                if w.dim() > 1:
                    length = torch.sqrt((gradients[name] ** 2).sum())
                    shift[name] = gamma * torch.sqrt((w**2).sum()) * gradients[name] / length
        there = {name: w + shift[name] for name, w in self.weights.items()}
        loss, gradients = self._gradients(there, seen, labels, count=True)
        for name, w in self.weights.items():
            old = self.momentum.get(name, torch.zeros_like(w))
            self.momentum[name] = 0.9 * old + gradients[name] + decay * there[name]
            self.weights[name] = w - lr * self.momentum[name]
        if start is not None:
            self.forward(self.weights, inputs, count=True)
        return loss

    def _gradients(
        self, weights: dict[str, Tensor], inputs: Tensor, labels: Tensor, *, count: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
        loss = self.loss(self.forward(leaves, inputs, count=count), labels)
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

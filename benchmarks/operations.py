"""Floating-point operations of convolutions and linear layers, the useful part of the work."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def forward_operations(model: nn.Module, example: torch.Tensor) -> int:
    """Operations of one forward pass of one example; a multiplication and an addition count as two."""
    private = copy.deepcopy(model).eval()
    counted: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            counted.append(2 * output.numel() * layer.weight[0].numel())

    for layer in private.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        private(example)
    return sum(counted)


def sweep_passes(num_steps: int) -> int:
    """Passes of one example at one point of a sweep, each as costly as a forward pass.

    PGD-k costs k forward and k input-gradient passes, then comes one forward on the adversarial and one on the clean
    example; an input-gradient pass costs what a forward pass does. Gradients of parameters are not needed.
    """
    return 2 * num_steps + 2

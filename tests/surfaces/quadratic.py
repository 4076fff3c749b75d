"""A network whose cross-entropy is a quadratic of its weights, so that every measure of flatness is known exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape.datasets.examples import Examples


class Quadratic(nn.Module):
    """CE = s_i q(W), q(W) = (w - c)^T A (w - c) / 2 + 1, for label 0; s_i is the mean pixel of example i.

    With logits (0, log(exp(s q) - 1)) the cross-entropy of label 0 is log(1 + exp(s q) - 1) = s q.
    """

    def __init__(self, shape: tuple[int, int] = (3, 4), seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        size = shape[0] * shape[1]
        root = torch.randn(size, size, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))
        self.register_buffer("hessian", root @ root.T / size)
        self.register_buffer("minimum", 0.1 * torch.randn(size, generator=generator, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        assert isinstance(self.hessian, Tensor) and isinstance(self.minimum, Tensor)
        away = self.weight.reshape(-1) - self.minimum
        loss = inputs.double().flatten(1).mean(dim=1) * (away @ self.hessian @ away / 2 + 1)
        return torch.stack([torch.zeros_like(loss), torch.log(torch.expm1(loss))], dim=1)


def matrix_of(net: Quadratic) -> Tensor:
    """A."""
    assert isinstance(net.hessian, Tensor)
    return net.hessian


def examples_of_label_0(count: int = 12) -> Examples:
    """Random pictures of 2 x 2 pixels, none of them black."""
    generator = torch.Generator().manual_seed(3)
    return Examples(
        inputs=0.5 + 0.5 * torch.rand(count, 1, 2, 2, generator=generator),
        labels=torch.zeros(count, dtype=torch.int64),
        ids=torch.arange(count),
        dataset="own",
        split="all",
        num_classes=2,
    )

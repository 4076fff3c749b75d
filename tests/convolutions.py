"""What every way through a 3x3 convolution has to show, beside torch's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Way = Callable[[Tensor, Tensor], Tensor]
"""From inputs (B, C, H, W) and kernels (K, C, 3, 3) to outputs (B, K, H, W)."""


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def directly(inputs: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(inputs, weight, padding=1)


def assert_torchs_own(way: Way, shape: tuple[int, ...], *, tolerance: float) -> None:
    """Outputs, first and second derivatives for (B, C, K, H, W)."""
    num, num_in, num_out, height, width = shape
    inputs = drawn(num, num_in, height, width).requires_grad_()
    weight, upstream = drawn(num_out, num_in, 3, 3), drawn(num, num_out, height, width).requires_grad_()
    found = []
    for made in (way(inputs, weight), directly(inputs, weight)):
        (gradient,) = torch.autograd.grad(made, inputs, upstream, create_graph=True)
        (second,) = torch.autograd.grad(gradient.pow(2).sum(), upstream)
        found.append((made, gradient, second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def assert_any_layout(way: Way, weight: Tensor, layout: torch.memory_format) -> None:
    inputs = drawn(2, weight.shape[1], 8, 8)
    made = way(inputs.contiguous(memory_format=layout), weight)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(made, way(inputs, weight))
    made.add_(1)  # it is no view, so that a model may go on in place


def assert_little_rounding(way: Way) -> None:
    """In single precision, a few times that of the direct sum."""
    inputs, weight = drawn(4, 64, 16, 16), drawn(64, 64, 3, 3) / 24
    exact = directly(inputs, weight)
    ours, direct = (made(inputs.float(), weight.float()) for made in (way, directly))
    size = exact.abs().mean()
    assert (ours - exact).abs().mean() / size < 1e-6
    assert (ours - exact).abs().mean() < 5 * (direct - exact).abs().mean()

"""Convolutions of small pictures on the CPU whose gradients go back in other ways than torch's own.

The general kernels take up to three times as long for the input gradient of a strided convolution, or of one with few
channels, as for the convolution itself. Both ways here give the same sums:

    matrix:  dx = dy M^T, where M (C H W, K H' W') is the convolution of pictures of one size, written out with zeros;
    phases:  with stride 2, kernel 3 and a border of 1, along one axis
                 dx[2 i]     = w[1] dy[i]
                 dx[2 i + 1] = w[2] dy[i] + w[0] dy[i + 1],
             so the phases of dx are the channels of one convolution of dy with kernels of 2 x 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_EXAMPLES = 100
"""Pictures in a batch from which the preparation is paid back within the ten steps of an attack."""

MAX_ENTRIES = 2**17
"""Of M: with more, the time for its zeros was measured to be longer."""

LANES = 16
"""Channels of dx that the general kernels compute together; where there are fewer, part of their work is in vain."""

MOST_PRODUCTS = 0.5
"""Products with M for one of the general kernels up to which M was measured to be faster."""

MOST_PRODUCTS_STRIDED = 4.0
"""The same of convolutions with strides, which slow the general kernels down."""

Gradient = Callable[[Tensor], Tensor]
"""From the gradient of outputs (B, K, H', W') to that of inputs (B, C, H, W)."""


def faster_gradient(layer: nn.Conv2d, weight: Tensor, shape: tuple[int, int]) -> Gradient | None:
    """Another way back through a convolution, where one was measured to be faster than torch's.

    Args:
        layer: what it does beside its weight.
        weight: (K, C, k, k), what it convolves with.
        shape: H and W of its inputs.
    """
    if _suits_a_matrix(layer, shape):
        return _by_matrix(layer, weight, shape)
    if _suits_phases(layer):
        return _by_phases(weight, shape)
    return None


def convolution(layer: nn.Conv2d, inputs: Tensor, weight: Tensor, bias: Tensor | None, gradient: Gradient) -> Tensor:
    """The convolution (B, K, H', W') of inputs (B, C, H, W), which alone get a gradient."""
    made: Tensor = _Convolution.apply(inputs, layer, weight, bias, gradient)  # type: ignore[no-untyped-call]  # torch's stubs lack it
    return made


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, layer: nn.Conv2d, weight: Tensor, bias: Tensor | None, gradient: Gradient
    ) -> Tensor:
        ctx.gradient = gradient
        made: Tensor = layer._conv_forward(inputs, weight, bias)
        return made

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.gradient(upstream[0]), None, None, None, None


def _suits_a_matrix(layer: nn.Conv2d, shape: tuple[int, int]) -> bool:
    most = MOST_PRODUCTS_STRIDED if max(layer.stride) > 1 else MOST_PRODUCTS
    height, width = ((size + step - 1) // step for size, step in zip(shape, layer.stride, strict=True))
    size = layer.in_channels * shape[0] * shape[1]
    # For one entry of dy, M takes `size` products and the general kernels this many.
    direct = layer.kernel_size[0] * layer.kernel_size[1] * max(layer.in_channels, LANES)
    return size * layer.out_channels * height * width <= MAX_ENTRIES and size <= most * direct


def _by_matrix(layer: nn.Conv2d, weight: Tensor, shape: tuple[int, int]) -> Gradient:
    height, width = shape
    size = layer.in_channels * height * width
    units = torch.eye(size, dtype=weight.dtype, device=weight.device).view(size, height, width, layer.in_channels)
    matrix = _rows(layer._conv_forward(units.permute(0, 3, 1, 2), weight, None)).t()

    def gradient(outputs: Tensor) -> Tensor:
        return (_rows(outputs) @ matrix).view(-1, height, width, layer.in_channels).permute(0, 3, 1, 2)

    return gradient


def _suits_phases(layer: nn.Conv2d) -> bool:
    shapes = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    is_plain = layer.padding_mode == "zeros" and layer.groups == 1
    return shapes == ((3, 3), (2, 2), (1, 1), (1, 1)) and is_plain and layer.in_channels <= LANES


def _by_phases(weight: Tensor, shape: tuple[int, int]) -> Gradient:
    num_out, num_in = weight.shape[:2]
    taps = weight.new_zeros(2, 2, 3)  # phase of dx, offset in dy, place in w
    taps[0, 0, 1] = taps[1, 0, 2] = taps[1, 1, 0] = 1
    kernels = torch.einsum("pak,qbl,oikl->pqioab", taps, taps, weight).reshape(4 * num_in, num_out, 2, 2)
    kernels = kernels.contiguous(memory_format=torch.channels_last)

    def gradient(outputs: Tensor) -> Tensor:
        made = functional.conv2d(functional.pad(outputs, (0, 1, 0, 1)), kernels).permute(0, 2, 3, 1)
        num, height, width, _ = made.shape
        phases = made.reshape(num, height, width, 2, 2, num_in).transpose(2, 3)
        whole = phases.reshape(num, 2 * height, 2 * width, num_in)
        return whole[:, : shape[0], : shape[1]].permute(0, 3, 1, 2)

    return gradient


def _rows(pictures: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H W C), the order of channels_last."""
    return pictures.permute(0, 2, 3, 1).reshape(len(pictures), -1)

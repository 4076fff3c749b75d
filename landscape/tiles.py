"""Which convolutions go Winograd's way, and by what: torch's matrix products or a program compiled here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape import winograd, winograd_kernel
from landscape.winograd_kernel import PANEL, Packed

MIN_CHANNELS = 128
"""Channels on both sides from which matrix products were measured to be the faster way, whatever else uses the memory;
the program always was."""

MIN_TILES = 16
"""Tiles in a batch from which both were: with fewer, reading the kernels takes longer than the products."""

Kernels = Tensor | Packed
"""Transformed, for matrix products or for the program."""


def transformed(layer: nn.Conv2d, weight: Tensor, used: Kernels | None, *, has_program: bool) -> Kernels | None:
    """Kernels for Winograd's way through a convolution; None where torch's own is faster.

    Args:
        layer: the convolution.
        weight: (K, C, 3, 3), what it convolves with.
        used: earlier kernels of the same layer, whose memory is written to where it suits.
        has_program: whether there is `winograd_kernel.program`.
    """
    usable = used if used is not None and used.dtype == weight.dtype else None
    if has_program and suits_program(layer):
        return winograd_kernel.packed_kernels(weight, out=usable if isinstance(usable, Packed) else None)
    if _has_kernels(layer) and min(_channels(layer)) >= MIN_CHANNELS:
        return winograd.transformed_kernels(weight, out=usable if isinstance(usable, Tensor) else None)
    return None


def convolution(inputs: Tensor, kernels: Kernels) -> Tensor:
    """(B, K, H, W) of inputs (B, C, H, W) that can be cut into tiles."""
    if isinstance(kernels, Packed):
        return winograd_kernel.convolution(inputs, kernels)
    return winograd.convolution(inputs, kernels)


def are_many(inputs: Tensor, weight: Tensor) -> bool:
    """Whether inputs can be cut into tiles, and into enough of them; not those that torch refuses for this weight."""
    if inputs.dim() != 4 or inputs.device.type != "cpu" or inputs.dtype != weight.dtype:
        return False
    num, num_in, height, width = inputs.shape
    if num_in != weight.shape[1]:
        return False
    whole = height % winograd.TILE == 0 and width % winograd.TILE == 0
    return whole and num * height * width >= MIN_TILES * winograd.TILE**2


def suits_program(layer: nn.Conv2d) -> bool:
    """Whether the program can do this convolution."""
    return _has_kernels(layer) and all(channels % PANEL == 0 for channels in _channels(layer))


def _channels(layer: nn.Conv2d) -> torch.Size:
    """Those of its weight; after pruning, a layer may still name the former ones."""
    return layer.weight.shape[:2]


def _has_kernels(layer: nn.Conv2d) -> bool:
    """Whether Winograd's way leads through this convolution at all."""
    return (
        layer.weight.device.type == "cpu"
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and layer.groups == 1
    )

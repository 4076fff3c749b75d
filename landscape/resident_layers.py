"""Layers of a private copy of a model: the same functions as torch's, in less time where the weights stand still."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape import winograd

MIN_CHANNELS = 128
"""Channels on both sides from which Winograd's way was measured to be the faster one."""

MIN_TILES = 16
"""Tiles in a batch from which it was: with fewer, reading the transformed kernels takes longer than the products."""


class AffineNorm(nn.BatchNorm2d):
    """A frozen BatchNorm as what it is, s x + t: cheaper than the general kernels, above all on the way back."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """s x + t with s = weight / sqrt(var + eps), t = bias - mean s, for (B, C, H, W)."""
        mean, var = self.running_mean, self.running_var
        if self.training or mean is None or var is None or input.dtype != var.dtype or input.dim() != 4:
            return super().forward(input)
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], input, scale[:, None, None])


class WinogradConv(nn.Conv2d):
    """A 3x3 convolution of many channels on the CPU with a quarter of the multiplications, see `winograd`.

    It keeps its kernels transformed, which takes four times the memory of the weight.
    """

    kernels: Tensor | None = None
    _version: tuple[int, int] | None = None

    def transform(self) -> None:
        """Take over the weight if it was written to since the last time."""
        version = self.weight.data_ptr(), self.weight._version
        if version != self._version:
            self.kernels = winograd.transformed_kernels(self.weight.detach(), out=self.kernels)
            self._version = version

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """The convolution of (B, C, H, W); by torch's own way where that is faster or the only one."""
        if not self._suits(input):
            return super().forward(input)
        if not torch.compiler.is_compiling():
            self.transform()
        if self.kernels is None:
            raise RuntimeError("a compiled model needs its kernels transformed before it is called.")
        outputs = winograd.convolution(input, self.kernels)
        return outputs if self.bias is None else outputs.add_(self.bias[:, None, None])

    def _suits(self, inputs: Tensor) -> bool:
        if inputs.dim() != 4 or inputs.dtype != self.weight.dtype or torch.is_autocast_enabled("cpu"):
            return False
        num, _, height, width = inputs.shape
        whole = height % winograd.TILE == 0 and width % winograd.TILE == 0
        enough = num * height * width >= MIN_TILES * winograd.TILE**2
        return whole and enough and not self.weight.requires_grad


def use_resident_layers(model: nn.Module) -> list[WinogradConv]:
    """Let layers of a private copy compute in these ways; parameters, buffers, hooks and names stay.

    Returns:
        Those to `transform` before the copy is called compiled.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = AffineNorm
        elif type(module) is nn.Conv2d and _may_be_winograd(module):
            module.__class__ = WinogradConv
    return [module for module in model.modules() if isinstance(module, WinogradConv)]


def _may_be_winograd(layer: nn.Conv2d) -> bool:
    weight = layer._parameters.get("weight")  # None where hooks compute the weight anew at every call
    return (
        weight is not None
        and not weight.is_inference()  # which know no versions
        and weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    )

"""Layers of a network written out literally, slow and independent of torch's own, for comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BATCHNORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def normalized(inputs: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """BatchNorm in eval mode, channel by channel."""
    planes = []
    for channel in range(inputs.shape[1]):
        scale = state[f"{name}.weight"][channel] / (state[f"{name}.running_var"][channel] + 1e-5).sqrt()
        shift = state[f"{name}.bias"][channel] - state[f"{name}.running_mean"][channel] * scale
        planes.append(inputs[:, channel] * scale + shift)
    return torch.stack(planes, dim=1)


def activated(inputs: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """BatchNorm in eval mode and ReLU."""
    return normalized(inputs, state, name).clamp(min=0)


def convolved(inputs: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution as a literal sum over the positions of the kernel, with zeros around the picture."""
    size = weight.shape[-1]
    padded = functional.pad(inputs, [size // 2] * 4)
    height, width = ((side - 1) // stride + 1 for side in inputs.shape[2:])
    total = torch.zeros(len(inputs), len(weight), height, width, dtype=inputs.dtype)
    for row in range(size):
        for column in range(size):
            patch = padded[:, :, row : row + stride * height : stride, column : column + stride * width : stride]
            total += torch.einsum("bihw,oi->bohw", patch[:, :, :height, :width], weight[:, :, row, column])
    return total


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics that are nothing special, in float64 and eval mode."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.double().eval().state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else 0.3 * noise)
    return module


def part(state: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    """The entries of `state` under `place`, by the rest of their names."""
    return {name.removeprefix(place): value for name, value in state.items() if name.startswith(place)}

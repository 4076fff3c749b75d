"""Random crops and flips of a batch on its device, drawn for each example and epoch, not for each batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from landscape.randomness import Stream, uniform

if TYPE_CHECKING:
    from torch import Tensor

PADDING = 4

Augmentation = Callable[..., "Tensor"]
"""(inputs, ids, *, seed, epoch) -> inputs of the same shape."""


def unchanged(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
    """The inputs themselves, for images whose meaning a flip or a shift would change."""
    return inputs


def crop_and_flip(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Pad by 4 pixels in reflection, crop at an offset of 0 to 8, flip left to right with probability 0.5.

    Args:
        inputs: (B, C, H, W), H and W above 4.
        ids: (B,) int64 ids of the examples in their split, on the CPU.
        seed: seed of the run.
        epoch: from 0.

    Returns:
        (B, C, H, W) on the device of `inputs`.
    """
    top, left, flip = (torch.from_numpy(column).to(inputs.device) for column in _choices(ids, seed, epoch))
    height, width = inputs.shape[2:]
    padded = F.pad(inputs, (PADDING,) * 4, mode="reflect")
    rows = top[:, None] + torch.arange(height, device=inputs.device)
    columns = torch.arange(width, device=inputs.device).expand(len(inputs), width)
    columns = left[:, None] + torch.where(flip[:, None], columns.flip(1), columns)
    examples = torch.arange(len(inputs), device=inputs.device)
    # Indices around the channels' slice put the channels last.
    return padded[examples[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


AUGMENTATIONS: Mapping[str, Augmentation] = {"none": unchanged, "crop-flip": crop_and_flip}


def _choices(ids: Tensor, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stream = Stream.AUGMENTATION
    numbers = np.stack([uniform(3, seed=seed, stream=stream, a=example, c=epoch) for example in ids.tolist()])
    offsets = np.floor(numbers[:, :2] * (2 * PADDING + 1)).astype(np.int64)
    return offsets[:, 0], offsets[:, 1], numbers[:, 2] < 0.5

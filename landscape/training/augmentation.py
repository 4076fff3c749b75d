"""Changed images for training, made on their device from numbers that belong to each example and epoch."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from landscape import philox
from landscape.devices import sent, without_autocast
from landscape.errors import InputError
from landscape.randomness import Stream, permutation, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.training.config import Settings

PADDING = 4

LARGEST_ANGLE = 15.0
"""Degrees."""

# Numbers of different use of one example and epoch, as the counter `b` of the stream.
_PLACE, _CUTOUT, _ANGLE = 0, 1, 2
_WEIGHT, _PARTNERS = 0, 1

Augmentation = Callable[..., "Tensor"]
"""(inputs, ids, *, seed, epoch) -> inputs of the same shape."""


def unchanged(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
    """The inputs themselves, for images whose meaning a flip or a shift would change."""
    return inputs


def crop_and_flip(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int, mode: str = "reflect") -> Tensor:
    """Pad by 4 pixels, crop at an offset of 0 to 8, flip left to right with probability 0.5.

    Args:
        inputs: (B, C, H, W), H and W above 4.
        ids: (B,) int64 ids of the examples in their split, on the CPU.
        seed: seed of the run.
        epoch: from 0.
        mode: "reflect" (the reference's AT on CIFAR-10) or "constant", black (CIFAR-100, TRADES and RST).

    Returns:
        (B, C, H, W) on the device of `inputs`.
    """
    numbers = _numbers(3, inputs, ids, seed, epoch, _PLACE)
    top, left = (numbers[:, :2] * (2 * PADDING + 1)).long().unbind(1)
    flip = numbers[:, 2] < 0.5
    height, width = inputs.shape[2:]
    padded = F.pad(inputs, (PADDING,) * 4, mode=mode)
    rows = top[:, None] + torch.arange(height, device=inputs.device)
    columns = torch.arange(width, device=inputs.device).expand(len(inputs), width)
    columns = left[:, None] + torch.where(flip[:, None], columns.flip(1), columns)
    examples = torch.arange(len(inputs), device=inputs.device)
    # Indices around the channels' slice put the channels last.
    return padded[examples[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def rotate(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Turn about the centre by an angle uniform in [-15, 15) degrees; nearest pixels, black where there were none.

    Arguments and result as in `crop_and_flip`.
    """
    degrees = (2 * _numbers(1, inputs, ids, seed, epoch, _ANGLE)[:, 0] - 1) * LARGEST_ANGLE
    angle = degrees * math.radians(1)
    height, width = inputs.shape[2:]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Coordinates of `affine_grid` run from -1 to 1 along each side, so a turn of oblong images has their ratio in it.
    rows = [
        torch.stack([cosine, -sine * height / width, zero], dim=1),
        torch.stack([sine * width / height, cosine, zero], dim=1),
    ]
    matrices = torch.stack(rows, dim=1).to(inputs.dtype)
    with without_autocast(inputs.device):  # in bf16 places are off by a tenth of a pixel
        grid = F.affine_grid(matrices, list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def crop_flip_and_rotate(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Crop of the image with black borders, flip, and a turn: the reference's AT on CIFAR-100."""
    moved = crop_and_flip(inputs, ids, seed=seed, epoch=epoch, mode="constant")
    return rotate(moved, ids, seed=seed, epoch=epoch)


def cut_out(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int, side: int) -> Tensor:
    """Blacken one square that lies inside the image, all places being equally likely (DeVries and Taylor 2017).

    Args:
        inputs: (B, C, H, W) in [0, 1]; black is 0 there, before any normalization.
        ids: as in `crop_and_flip`.
        seed: seed of the run.
        epoch: from 0.
        side: of the square in pixels, at most H and W.
    """
    height, width = inputs.shape[2:]
    numbers = _numbers(2, inputs, ids, seed, epoch, _CUTOUT)
    top, left = ((numbers[:, axis] * (size - side + 1)).long() for axis, size in enumerate((height, width)))
    row = torch.arange(height, device=inputs.device) - top[:, None]
    column = torch.arange(width, device=inputs.device) - left[:, None]
    inside = ((row >= 0) & (row < side))[:, None, :, None] & ((column >= 0) & (column < side))[:, None, None, :]
    return inputs.masked_fill(inside, 0.0)


def mix(
    inputs: Tensor, labels: Tensor, *, num_classes: int, parameter: float, seed: int, epoch: int, batch: int
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): l x_i + (1 - l) x_j with one l ~ Beta(a, a) and one permutation j for the batch.

    The labels become probabilities, so that cross-entropy with them is l CE(y_i) + (1 - l) CE(y_j), for the update and
    for an attack alike. The reference takes both terms in two forward passes for every step of the attack; one gives
    the same gradients, but BatchNorm's running statistics then move 13 times in an update of AT instead of 23.

    Args:
        inputs: (B, C, H, W).
        labels: (B,) int64.
        num_classes: K.
        parameter: a, above 0.
        seed: seed of the run.
        epoch: from 0.
        batch: of the epoch, from 0.

    Returns:
        Inputs (B, C, H, W) and probabilities (B, K) in their dtype.
    """
    from scipy.special import betaincinv

    name: dict[str, Any] = {"seed": seed, "stream": Stream.MIXUP, "a": batch, "c": epoch}
    weight = float(betaincinv(parameter, parameter, uniform(1, b=_WEIGHT, **name)[0]))
    partners = sent(torch.from_numpy(permutation(len(inputs), b=_PARTNERS, **name)), inputs.device)
    certain = F.one_hot(labels, num_classes).to(inputs.dtype)
    mixed, probabilities = (weight * tensor + (1.0 - weight) * tensor[partners] for tensor in (inputs, certain))
    return mixed, probabilities


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": unchanged,
    "crop-flip": crop_and_flip,
    "crop-flip-zero": functools.partial(crop_and_flip, mode="constant"),
    "crop-flip-rotate": crop_flip_and_rotate,
}


def augmentation_of(settings: Settings) -> Augmentation:
    """The augmentation of a run's images: the one that it names, then its cutout."""
    named = AUGMENTATIONS[settings.augmentation]
    if (side := settings.cutout) is None:
        return named

    def both(inputs: Tensor, ids: Tensor, *, seed: int, epoch: int) -> Tensor:
        return cut_out(named(inputs, ids, seed=seed, epoch=epoch), ids, seed=seed, epoch=epoch, side=side)

    return both


def require_images(settings: Settings, shape: tuple[int, ...]) -> None:
    """Refuse images (C, H, W) that the augmentation of a run does not fit.

    Raises:
        InputError: they are smaller than cutout's square, or than the borders that are reflected.
    """
    smallest = min(shape[1:])
    if settings.cutout is not None and settings.cutout > smallest:
        raise InputError(
            f"cutout's square lies inside the image, so its side is at most {smallest} here, got {settings.cutout}."
        )
    if settings.augmentation == "crop-flip" and smallest <= PADDING:
        raise InputError(
            f"the augmentation crop-flip reflects {PADDING} pixels, so images have more, got {smallest}; "
            "use crop-flip-zero or none."
        )


def _numbers(count: int, inputs: Tensor, ids: Tensor, seed: int, epoch: int, use: int) -> Tensor:
    """(B, count) numbers in [0, 1) of the examples `ids` in this epoch, float64 on the device of the inputs."""
    stream = Stream.AUGMENTATION
    if inputs.device.type != "cpu":
        return philox.uniform(sent(ids, inputs.device), count, seed=seed, stream=stream, b=use, c=epoch)
    drawn = [uniform(count, seed=seed, stream=stream, a=example, b=use, c=epoch) for example in ids.tolist()]
    return torch.from_numpy(np.stack(drawn))

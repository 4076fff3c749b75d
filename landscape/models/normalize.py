"""Normalization inside the model: every model here takes inputs in [0, 1], so that an attack never sees another box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, standard deviation), one number for each channel, or one for all."""

NORMALIZATIONS: dict[str, Normalization | None] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": (
        (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
        (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
    ),
    "svhn": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": None,
}
"""The numbers with which the adversarial training papers' networks were trained; the files do not hold them."""


PREFIX = "network."
"""What stands before the network's own names in the names of a normalized model's parameters."""


class NormalizedModel(nn.Module):
    """`network((inputs - mean) / std)`.

    The numbers are buffers, so that they follow `.to(device)`, but not a part of the state dict: weights and settings
    are stored, digested and perturbed apart.

    Attributes:
        network: the model that takes normalized inputs.
        mean: (1, C, 1, 1).
        std: (1, C, 1, 1).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        _require_valid(mean, std)
        self.network = network
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        for name, numbers in (("mean", mean), ("std", std)):
            values = torch.tensor(numbers, dtype=torch.float32, device=device)
            self.register_buffer(name, values.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, C, H, W) in [0, 1] to logits (B, K)."""
        logits: Tensor = self.network((inputs - self.mean) / self.std)
        return logits


def normalized(network: nn.Module, normalization: Normalization | None) -> nn.Module:
    """`network` behind its normalization, with its training flag and device; `network` itself where there is none."""
    if normalization is None:
        return network
    model = NormalizedModel(network, *normalization)
    model.training = network.training
    return model


def parse_normalization(value: Any) -> Normalization | None:
    """What a user may write for a normalization: a name, `0.49,0.48,0.45/0.25,0.24,0.26`, a pair of sequences, or None.

    Raises:
        InputError: the name is unknown, or the numbers are not a mean and a standard deviation above 0 per channel.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if value in NORMALIZATIONS:
            return NORMALIZATIONS[value]
        value = [part.split(",") for part in value.split("/")]
    try:
        mean, std = (tuple(float(number) for number in part) for part in value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a normalization is {', '.join(NORMALIZATIONS)} or MEAN,..,MEAN/STD,..,STD, got {_written(value)}."
        ) from error
    _require_valid(mean, std)
    return mean, std


def _require_valid(mean: Sequence[float], std: Sequence[float]) -> None:
    fits = len(mean) == len(std) > 0 and all(math.isfinite(number) for number in (*mean, *std))
    if not fits or min(std) <= 0:
        raise InputError(
            "a normalization needs as many means as standard deviations, the latter above 0, "
            f"got means {list(mean)} and standard deviations {list(std)}."
        )


def _written(value: Any) -> str:
    """A value as the user wrote it: the parts of a text joined again."""
    if isinstance(value, list) and all(isinstance(part, list) for part in value):
        return repr("/".join(",".join(map(str, part)) for part in value))
    return repr(value)

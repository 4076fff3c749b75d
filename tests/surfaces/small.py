"""A small network for tests of surfaces, and comparisons of surfaces bit for bit."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.surfaces.surface import Surface


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 10)
    )
    net(torch.rand(64, 1, 8, 8))
    return net.eval()


def arrays_of(surface: Surface) -> dict[str, np.ndarray[Any, Any]]:
    centre = {f"centre_{name}": array for name, array in surface.centre.arrays().items()}
    return {**{name: np.asarray(array) for name, array in surface.arrays.items()}, "status": surface.status, **centre}


def assert_same(a: Surface, b: Surface) -> None:
    ours, theirs = arrays_of(a), arrays_of(b)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def deep_copied(net: nn.Module, direction: dict[str, Tensor], alpha: float) -> nn.Module:
    moved = copy.deepcopy(net).eval()
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name in direction:
                parameter.add_(alpha * direction[name])
    return moved

"""The weights of a network layer by layer, as plain arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError
from landscape.models.normalize import PREFIX
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from torch import nn

LayerWeights = dict[str, npt.NDArray[np.float64]]


def layer_weights(model: nn.Module, *, layers: str | None = None, one_dim: bool = False) -> LayerWeights:
    """The numbers of every parameter by its name in the network, flat, in the order of the network.

    Args:
        model: any module.
        layers: regular expression; only parameters whose name contains a match. None takes all.
        one_dim: also parameters with fewer than two dimensions: biases, BatchNorm's scale and shift. Without them these
            are the kernels of convolutions and the matrices of linear layers.

    Raises:
        InputError: the pattern does not compile, or no parameter is left.
    """
    try:
        pattern = re.compile(layers or "")
    except re.error as error:
        raise InputError(f"the layers {layers!r} are no regular expression: {error}.") from error
    named = {name.removeprefix(PREFIX): weight for name, weight in parameters_of(model).items()}
    found = {
        name: weight.cpu().double().numpy().ravel()
        for name, weight in named.items()
        if pattern.search(name) and (one_dim or weight.dim() > 1)
    }
    if not found:
        known = ", ".join(list(named)[:8])
        kind = "parameter" if one_dim else "parameter with more than one dimension"
        raise InputError(
            f"no {kind} matches the layers {layers!r}; the model has {known}{' ...' if len(named) > 8 else ''}."
        )
    return found

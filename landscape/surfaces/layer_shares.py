"""How much of a displacement each parameter of a model makes up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landscape.models.normalize import PREFIX
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from torch import nn

    from landscape.protocols import DirectionRecipe


@dataclass(frozen=True, kw_only=True)
class LayerShare:
    """One parameter and its part in a direction d.

    Attributes:
        name: of the parameter in the network, whether its inputs are normalized or not.
        shape: of the parameter.
        num_filters: outputs of a convolution or a linear layer, the first axis; 0 with fewer than two dimensions.
        moves: whether d has a part of it.
        share: ||d_l||^2 / ||d||^2, in [0, 1].
    """

    name: str
    shape: tuple[int, ...]
    num_filters: int
    moves: bool
    share: float


def layer_shares(model: nn.Module, recipe: DirectionRecipe) -> list[LayerShare]:
    """Every parameter of a model and its share in direction 0 of a recipe.

    Under the norms `filter` and `layer` of random directions ||d_l|| = ||w_l||, so the shares of all directions are the
    same; under `model` and `none` those of others differ a little.

    Raises:
        InputError: no parameter moves.
    """
    weights = parameters_of(model)
    direction = recipe.direction({name: weight.cpu() for name, weight in weights.items()}, 0)
    squares = {
        name: float(torch.linalg.vector_norm(part, dtype=torch.float64) ** 2) for name, part in direction.items()
    }
    total = sum(squares.values())
    return [
        LayerShare(
            name=name.removeprefix(PREFIX),
            shape=tuple(weight.shape),
            num_filters=len(weight) if weight.dim() > 1 else 0,
            moves=name in direction,
            share=squares.get(name, 0.0) / total if total else 0.0,
        )
        for name, weight in weights.items()
    ]

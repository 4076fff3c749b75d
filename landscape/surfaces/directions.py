"""Random directions in weight space, normalized to the weights they start from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.models.normalize import PREFIX
from landscape.names import DIRECTION_NORMS, ONE_DIM_RULES
from landscape.randomness import Stream, gaussian

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.weights import Weights


@dataclass(frozen=True, kw_only=True)
class RandomDirections:
    """The recipe of a family of random directions; direction i is a function of (seed, i) and the weights.

    Attributes:
        seed: seed of the Gaussian draws; two models of one shape get the same draws (paired directions).
        norm: `filter` scales every filter of d to the norm of the same filter of w (Li et al. 2018; Algorithm 1 of Wu
            et al. 2020), `layer` every tensor, `model` all tensors together; `none` leaves the Gaussian numbers.
        one_dim: what parameters with fewer than two dimensions do (biases, BatchNorm scale and shift), whatever the
            norm: `zero` keeps them in place (default), `copy` moves them along themselves, d = w (what Li et al.'s tool
            does unless told to ignore them), `element` by a random sign times their own size, |d_j| = |w_j|.
        layers: regular expression; only parameters whose name in the network, whether its inputs are normalized or not,
            contains a match move. None moves all.

    Raises:
        InputError: an unknown name or a pattern that does not compile.
    """

    seed: int = 0
    norm: str = "filter"
    one_dim: str = "zero"
    layers: str | None = None

    def __post_init__(self) -> None:
        if self.norm not in DIRECTION_NORMS:
            raise InputError(f"directions are normalized by {', '.join(DIRECTION_NORMS)}, got {self.norm!r}.")
        if self.one_dim not in ONE_DIM_RULES:
            raise InputError(f"one-dimensional parameters follow {', '.join(ONE_DIM_RULES)}, got {self.one_dim!r}.")
        try:
            re.compile(self.layers or "")
        except re.error as error:
            raise InputError(f"the layers {self.layers!r} are no regular expression: {error}.") from error

    def direction(self, weights: Weights, index: int) -> Weights:
        """Direction `index`, normalized to `weights`; parameters that do not move are left out.

        Raises:
            InputError: no parameter moves.
        """
        moving = self.moving(weights)
        draws = random_direction(weights, seed=self.seed, index=index)
        chosen = {name: draw for name, draw in draws.items() if name in moving}
        return normalized(chosen, weights, norm=self.norm, one_dim=self.one_dim)

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters that move.

        Raises:
            InputError: none does.
        """
        plain = {name: name.removeprefix(PREFIX) for name in weights}
        moving = [
            name
            for name, weight in weights.items()
            if (self.layers is None or re.search(self.layers, plain[name]))
            and (weight.dim() > 1 or self.one_dim != "zero")
        ]
        if not moving:
            known = ", ".join(list(plain.values())[:8])
            raise InputError(
                f"no parameter moves with layers {self.layers!r} and one-dim rule {self.one_dim!r}; "
                f"the model has {known}{' ...' if len(plain) > 8 else ''}."
            )
        return moving

    def settings(self) -> dict[str, Any]:
        """Everything that determines the directions, for a surface's key."""
        return {"kind": "random", "seed": self.seed, "norm": self.norm, "one_dim": self.one_dim, "layers": self.layers}


def random_direction(weights: Weights, *, seed: int, index: int) -> Weights:
    """Standard normal numbers for every parameter, a function of (seed, index, position of the parameter) alone.

    Made on the CPU and then moved to the device of the weights, so that every device sees the same numbers.
    """
    return {
        name: torch.from_numpy(gaussian(weight.numel(), seed=seed, stream=Stream.DIRECTION, a=index, b=position))
        .to(dtype=torch.float32)
        .view(weight.shape)
        .to(weight)
        for position, (name, weight) in enumerate(weights.items())
    }


def filter_normalized(direction: Weights, weights: Weights) -> Weights:
    """d_f <- d_f ||w_f|| / ||d_f|| for every filter f; parameters with fewer than two dimensions are left out.

    A filter is what makes one output: a slice of the first axis of a convolution (grouped and depthwise ones too), a
    row of a linear layer. A filter of zeros gives a direction of zeros (Algorithm 1 of Wu et al. 2020; Li et al. 2018).
    """
    return normalized(direction, weights, norm="filter", one_dim="zero")


def normalized(direction: Weights, weights: Weights, *, norm: str, one_dim: str) -> Weights:
    """`direction` scaled to `weights` by the rules of `RandomDirections`; what does not move is left out."""
    matrices = {name: draw for name, draw in direction.items() if weights[name].dim() > 1}
    vectors = {name: draw for name, draw in direction.items() if weights[name].dim() <= 1}
    scaled = _NORMS[norm](matrices, weights)
    if one_dim == "copy":
        scaled |= {name: weights[name].clone() for name in vectors}
    elif one_dim == "element":
        scaled |= {name: draw.sign() * weights[name].abs() for name, draw in vectors.items()}
    return {name: scaled[name] for name in direction if name in scaled}


def _by_filter(direction: Weights, weights: Weights) -> Weights:
    return {
        name: draw * _ratio(weights[name].flatten(1), draw.flatten(1)).view(-1, *[1] * (draw.dim() - 1))
        for name, draw in direction.items()
    }


def _by_layer(direction: Weights, weights: Weights) -> Weights:
    return {name: draw * _ratio(weights[name].reshape(1, -1), draw.reshape(1, -1)) for name, draw in direction.items()}


def _by_model(direction: Weights, weights: Weights) -> Weights:
    if not direction:
        return {}
    rows = [torch.cat([part[name].reshape(-1) for name in direction]).view(1, -1) for part in (weights, direction)]
    ratio = _ratio(*rows)
    return {name: draw * ratio for name, draw in direction.items()}


def _unchanged(direction: Weights, weights: Weights) -> Weights:
    return dict(direction)


def _ratio(weights: Tensor, draws: Tensor) -> Tensor:
    """||w|| / ||d|| of each row, in double precision on the way; 0 where d is zero."""
    sizes = torch.linalg.vector_norm(draws, dim=1, dtype=torch.float64)
    ratio = torch.linalg.vector_norm(weights, dim=1, dtype=torch.float64) / sizes
    return torch.where(sizes > 0, ratio, torch.zeros_like(ratio)).to(draws.dtype)


_NORMS: dict[str, Callable[[Weights, Weights], Weights]] = {
    "filter": _by_filter,
    "layer": _by_layer,
    "model": _by_model,
    "none": _unchanged,
}

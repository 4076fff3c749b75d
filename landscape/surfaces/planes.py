"""The two directions of a plane: the second made orthogonal to the first if asked for, and the cosine between them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.surfaces.recipes.interpolation import Interpolation

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import DirectionRecipe
    from landscape.weights import Weights

BLOCKS = ("filter", "model")

ORTHOGONAL_KINDS = ("principal-components", "hessian")
"""Kinds whose directions are orthogonal by definition."""

PARALLEL = 1e-6
"""Part of a block that must be left beside the first direction; less is rounding of parallel blocks."""


@dataclass(frozen=True)
class Orthogonal:
    """Another recipe whose directions 2k + 1 are made orthogonal to its directions 2k, as the plane k takes them.

    By Gram-Schmidt, e_f <- e_f - (<e_f, d_f> / <d_f, d_f>) d_f, and scaled back to the length that e_f had: block by
    block, so that the whole is orthogonal and every block keeps its norm. Filter by filter, a filter-normalized
    direction stays filter-normalized; normalizing again after Gram-Schmidt over all parameters would spoil the
    orthogonality. A block with nothing beside the first direction, such as a filter of one number, does not move along
    the second.

    Attributes:
        recipe: gives the directions.
        by: `filter` makes every filter orthogonal to the same filter (and every one-dimensional parameter to itself):
            right for random directions, whose plane means nothing by itself. `model` makes one block of all parameters,
            which keeps the plane that the two directions span: right where it holds something, such as another model.

    Raises:
        InputError: `by` is neither.
    """

    recipe: DirectionRecipe
    by: str = "filter"

    def __post_init__(self) -> None:
        if self.by not in BLOCKS:
            raise InputError(f"directions are made orthogonal by {' or '.join(BLOCKS)}, got {self.by!r}.")

    def settings(self) -> dict[str, Any]:
        """Everything that determines the directions, for a surface's key."""
        return {**self.recipe.settings(), "orthogonal": self.by}

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters that move; errors as the recipe's."""
        return self.recipe.moving(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """Direction `index`, for an odd one orthogonal to the one before it.

        Raises:
            InputError: the recipe raises it, or the two directions are parallel.
        """
        direction = self.recipe.direction(weights, index)
        if index % 2 == 0:
            return direction
        return orthogonalized(direction, self.recipe.direction(weights, index - 1), by=self.by)


def orthogonal_pairs(recipe: DirectionRecipe) -> DirectionRecipe:
    """`recipe` in orthogonal pairs: random directions filter by filter, others without leaving their plane.

    Interpolations do it themselves, for running statistics too; components and eigenvectors are orthogonal as they are.
    """
    kind = recipe.settings().get("kind")
    if isinstance(recipe, Interpolation):
        return replace(recipe, orthogonal=True)
    if kind in ORTHOGONAL_KINDS:
        return recipe
    return Orthogonal(recipe, by="filter" if kind == "random" else "model")


def orthogonalized(direction: Weights, first: Weights, *, by: str) -> Weights:
    """`direction` without what lies along `first`, with the norm of each block; blocks as in `Orthogonal`.

    Raises:
        InputError: nothing is left, the directions are parallel.
    """
    made = _BY[by](direction, first)
    if not any(bool(part.any()) for part in made.values()):
        raise InputError("the two directions of a plane are parallel; take another second direction.")
    return made


def plane_cosines(recipe: DirectionRecipe, weights: Weights, num_planes: int) -> list[float]:
    """The cosine between directions 2k and 2k + 1 for each plane k."""
    return [
        cosine(recipe.direction(weights, 2 * plane), recipe.direction(weights, 2 * plane + 1))
        for plane in range(num_planes)
    ]


def cosine(first: Weights, second: Weights) -> float:
    """<d, e> / (||d|| ||e||) over all parameters, in double precision; 0 if one of them is zero."""
    product = sum(float((first[name].double() * second[name].double()).sum()) for name in first if name in second)
    size = math.prod(
        math.sqrt(sum(float(part.double().square().sum()) for part in d.values())) for d in (first, second)
    )
    return product / size if size > 0 else 0.0


def _filter_by_filter(direction: Weights, first: Weights) -> Weights:
    return {
        name: _beside(_rows(part), _rows(first[name])).to(part.dtype).view(part.shape) if name in first else part
        for name, part in direction.items()
    }


def _all_at_once(direction: Weights, first: Weights) -> Weights:
    whole = torch.cat([part.reshape(-1) for part in direction.values()])
    along = torch.cat([first.get(name, torch.zeros_like(part)).reshape(-1) for name, part in direction.items()])
    # What the second direction leaves in place cannot hinder orthogonality: it adds nothing to the inner product.
    made = _beside(whole.view(1, -1), along.view(1, -1)).view(-1)
    ends = itertools.accumulate(part.numel() for part in direction.values())
    return {
        name: made[end - part.numel() : end].to(part.dtype).view(part.shape)
        for (name, part), end in zip(direction.items(), ends, strict=True)
    }


def _rows(part: Tensor) -> Tensor:
    """(blocks, n): one row for each filter; a one-dimensional parameter is one block."""
    return part.reshape(len(part), -1) if part.dim() > 1 else part.reshape(1, -1)


def _beside(rows: Tensor, first: Tensor) -> Tensor:
    """Each row without what lies along the same row of `first`, at its old length; zero where nothing is left."""
    rows, first = rows.double(), first.double()
    size = first.square().sum(dim=1, keepdim=True)
    share = (rows * first).sum(dim=1, keepdim=True) / size.clamp(min=torch.finfo(torch.float64).tiny)
    rest = rows - share * first
    before, after = rows.norm(dim=1, keepdim=True), rest.norm(dim=1, keepdim=True)
    left = after > PARALLEL * before
    return torch.where(left, rest * (before / torch.where(left, after, torch.ones_like(after))), torch.zeros_like(rest))


_BY = {"filter": _filter_by_filter, "model": _all_at_once}

"""Compares the norms of a direction with what its recipe claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from landscape.surfaces.evidence import DirectionNorms

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import DirectionRecipe
    from landscape.weights import Weights

_CLAIMS = {
    "filter": "every filter of d has the norm of its filter of w",
    "layer": "every tensor of d has the norm of its tensor of w",
    "model": "d has the norm of w",
}
"""By the norm of a recipe of random directions; the claims of other kinds are not known here."""


def compare_norms(recipe: DirectionRecipe, weights: Weights, *, felt: bool) -> DirectionNorms:
    """Direction 0 of a recipe at `weights`, against its claim; `felt` as in `DirectionNorms`."""
    settings = recipe.settings()
    claim = _CLAIMS.get(str(settings.get("norm"))) if settings.get("kind") == "random" else None
    ratios = torch.ones(1) if claim is None else _ratios(recipe.direction(weights, 0), weights, settings)
    return DirectionNorms(
        claim=claim, num_groups=len(ratios), largest_deviation=float((ratios - 1).abs().max()), felt=felt
    )


def _ratios(direction: Mapping[str, Tensor], weights: Mapping[str, Tensor], recipe: Mapping[str, Any]) -> Tensor:
    """||d|| / ||w|| of every group of numbers that the recipe promises to scale; two zeros count as 1."""
    pairs = [(moved.double(), weights[name].double()) for name, moved in direction.items()]
    tensors = [pair for pair in pairs if pair[0].dim() > 1]
    vectors = [pair for pair in pairs if pair[0].dim() <= 1]
    if recipe.get("one_dim") == "zero":
        vectors = [(moved, torch.zeros_like(weight)) for moved, weight in vectors]  # what claims to rest
    groups = {
        "filter": [(moved.flatten(1), weight.flatten(1)) for moved, weight in tensors],
        "layer": [(moved.reshape(1, -1), weight.reshape(1, -1)) for moved, weight in tensors],
        "model": [(_joined(moved for moved, _ in tensors), _joined(weight for _, weight in tensors))],
    }.get(str(recipe.get("norm")), [])
    groups += [(moved.reshape(-1, 1), weight.reshape(-1, 1)) for moved, weight in vectors]
    sizes = [(moved.norm(dim=1), weight.norm(dim=1)) for moved, weight in groups]
    return torch.cat([torch.where((d == 0) & (w == 0), 1.0, d / w) for d, w in sizes] or [torch.ones(0)])


def _joined(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.float64), *(part.reshape(-1) for part in parts)])[None]

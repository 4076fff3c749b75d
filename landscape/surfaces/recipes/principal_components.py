"""The principal components of a path of checkpoints, through its last one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.protocols import Landmark
from landscape.surfaces.recipes.models import Remembered, module_of, name_of
from landscape.weights import digest_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.weights import Weights

SMALLEST_SHARE = 1e-12
"""Of the variance; components with less are rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PrincipalComponents:
    """Orthonormal directions along which a path w_1, ..., w_n varies most; w_n, the last of it, is the centre.

    The components are those of the n points about their mean (as in Li et al. 2018, section 7), over all parameters:
    biases, scales and shifts too, but no running statistics, which stay those of w_n. Lines and planes pass through
    w_n, at the origin, and coordinates are Euclidean lengths <w_i - w_n, v_k>. The signs are such that w_1 has no
    negative coordinate.

    Attributes:
        path: w_1, ..., w_{n-1}, in order; the model at the centre itself is left out.
        names: what figures call them; their own names by default.
    """

    path: Sequence[nn.Module | Checkpoint]
    names: Sequence[str] | None = None

    def settings(self) -> dict[str, Any]:
        """The kind, and the content of the path."""
        return {"kind": "principal-components", "path": [digest_weights(module_of(model)) for model in self.path]}

    def moving(self, weights: Weights) -> list[str]:
        """The names of all parameters.

        Raises:
            InputError: there is no other checkpoint, or one has other parameters.
        """
        if not self.path:
            raise InputError("principal components need a path of at least one checkpoint beside the last, got none.")
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        for model in self.path:
            theirs = {name: tuple(p.shape) for name, p in module_of(model).named_parameters()}
            if theirs != shapes:
                raise InputError(f"{name_of(model)} is another network than the last one of the path; leave it out.")
        return list(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """Component `index`, of length 1 over all parameters together.

        Raises:
            InputError: the path has not so many components.
        """
        found = self._components(weights)
        if index >= len(found.shares):
            raise InputError(
                f"a path of {len(self.path) + 1} checkpoints has {len(found.shares)} principal components, got "
                f"{index + 1}; name more checkpoints or draw fewer directions."
            )
        states = [dict(module_of(model).named_parameters()) for model in self.path]
        return {
            name: torch.tensordot(found.mixing[:, index], _displacements(states, name, weight), dims=1).to(weight)
            for name, weight in weights.items()
        }

    def explained_variance(self, weights: Weights) -> list[float]:
        """The share of each component in the variance of the path's points about their mean."""
        return self._components(weights).shares

    def facts(self, weights: Weights, count: int) -> dict[str, Any]:
        """Explained variance of the first components, and what a random walk of as many points would have."""
        return {
            "explained_variance": self.explained_variance(weights)[:count],
            "random_walk_variance": random_walk_variance(len(self.path) + 1)[:count],
        }

    def landmarks(self, weights: Weights, count: int) -> list[Landmark]:
        """The path's models at their projections."""
        coordinates = self._components(weights).coordinates[:, :count]
        names = self.names or [name_of(model) for model in self.path]
        return [
            Landmark(name=name, position=tuple(row), model=module_of(model))
            for name, row, model in zip(names, coordinates.tolist(), self.path, strict=False)
        ]

    @cached_property
    def _components(self) -> Remembered[_Components]:
        return Remembered(lambda weights: _components([module_of(model) for model in self.path], weights))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Components:
    """The K components of n points, as combinations of their displacements from the last one.

    Attributes:
        mixing: (n - 1, K) v_k = sum_i mixing[i, k] (w_i - w_n).
        shares: explained variance of the components.
        coordinates: (n - 1, K) of the displacements.
    """

    mixing: Tensor
    shares: list[float]
    coordinates: Tensor


def _components(path: Sequence[nn.Module], last: Weights) -> _Components:
    # All that is needed are the inner products of the n points, where the last one is 0.
    num, states = len(path), [dict(model.named_parameters()) for model in path]
    products = torch.zeros(num + 1, num + 1, dtype=torch.float64)
    for name, weight in last.items():
        rows = _displacements(states, name, weight).reshape(num, -1)
        products[:num, :num] += rows @ rows.T
    centering = torch.eye(num + 1, dtype=torch.float64) - 1.0 / (num + 1)
    variances, vectors = torch.linalg.eigh(centering @ products @ centering)
    variances, vectors = variances.flip(0), vectors.flip(1)
    shares = variances / variances.clamp(min=0).sum()
    kept = int((shares > SMALLEST_SHARE).sum())
    # v_k = sum_i (C u_k)_i (w_i - w_n) / sqrt(lambda_k) with the centering matrix C.
    mixing = (centering @ vectors[:, :kept] / variances[:kept].sqrt())[:num]
    coordinates = products[:num, :num] @ mixing
    signs = torch.where(coordinates[0] < 0, -1.0, 1.0).double()
    return _Components(mixing=mixing * signs, shares=shares[:kept].tolist(), coordinates=coordinates * signs)


def _displacements(states: Sequence[Mapping[str, Tensor]], name: str, last: Tensor) -> Tensor:
    """(n - 1, ...) w_i - w_n of one parameter, in double precision on the CPU."""
    here = last.detach().cpu().double()
    return torch.stack([state[name].detach().cpu().double() - here for state in states])


def random_walk_variance(num_points: int) -> list[float]:
    """Expected explained variance of a random walk in many dimensions (Antognini and Sohl-Dickstein 2018).

    The centred inner products of n points have the eigenvalues 1 / (4 sin^2(pi k / 2n)), which sum to (n^2 - 1) / 6.
    """
    total = (num_points**2 - 1) / 6
    return [1 / (4 * math.sin(math.pi * k / (2 * num_points)) ** 2) / total for k in range(1, num_points)]

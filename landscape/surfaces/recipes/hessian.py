"""The top eigenvectors of the Hessian of the loss on fixed adversarial examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from landscape.attacks.pgd import NoAttack
from landscape.devices import arithmetic
from landscape.errors import InputError, ModelError
from landscape.models.noisy import NoiseDraws
from landscape.randomness import Stream, gaussian
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.recipes.loss_of_weights import LossOfWeights
from landscape.surfaces.recipes.models import Remembered, module_of
from landscape.surfaces.recipes.worst_case import examples_settings, noise_settings
from landscape.weights import Weights, digest_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, DirectionRecipe, Landmark

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class HessianDirections:
    """Eigenvectors of d^2 L / dw^2 with the largest eigenvalues, L the mean cross-entropy on examples x' made at w.

    The examples stay as they are while the weights move: this is not the curvature of the loss that is attacked anew
    everywhere, which bends more. The eigenvectors have length 1 over the parameters that move, all of which are
    normalized by nothing else; a displacement alpha is a distance in weight space. Autograd's Hessian of a network with
    ReLUs does not see their kinks: it describes the smooth piece around w, and finite differences with steps that
    cross kinks give other numbers.

    Lanczos (ARPACK) on products H v in the dtype of the weights, from a fixed random start; the largest entry of an
    eigenvector is positive.

    Attributes:
        model: takes inputs in [0, 1]; eval mode, running statistics frozen whatever is measured along its directions.
        examples: over which the loss is a mean.
        attack: makes x'; None takes the examples themselves.
        count: how many eigenvectors.
        layers: regular expression; only parameters whose name contains a match, one-dimensional ones too, are in w.
        seed: of the attack's random starts.
        device: where it is computed.
        noise: draws that the loss is averaged over, of a model with parametric noise.

    Raises:
        InputError: no eigenvector is asked for, or a pattern does not compile.
    """

    model: nn.Module | Checkpoint
    examples: Examples
    attack: Attack | None
    count: int = 1
    layers: str | None = None
    seed: int = 0
    device: torch.device | str = "cpu"
    noise: NoiseDraws = field(default_factory=NoiseDraws)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"at least 1 eigenvector is asked for, got {self.count}.")
        RandomDirections(layers=self.layers)

    def settings(self) -> dict[str, Any]:
        """Everything that determines the directions: model, examples and attack by their content."""
        attack = NoAttack() if self.attack is None else self.attack
        return {
            "kind": "hessian",
            "model": digest_weights(module_of(self.model)),
            "examples": examples_settings(self.examples),
            "attack": {**attack.settings(), "seed": self.seed},
            "loss": "cross-entropy",
            "layers": self.layers,
            **noise_settings(module_of(self.model), self.noise),
        }

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters in the layers asked for, of any dimension.

        Raises:
            InputError: there is none, or there are not more numbers than eigenvectors.
        """
        names = RandomDirections(layers=self.layers, one_dim="copy").moving(weights)
        size = sum(weights[name].numel() for name in names)
        if size <= self.count:
            raise InputError(f"{self.count} eigenvectors need more than {self.count} weights that move, got {size}.")
        return names

    def direction(self, weights: Weights, index: int) -> Weights:
        """Eigenvector `index` at `weights`, the one of the largest eigenvalue first.

        Raises:
            InputError: not so many were asked for.
            ModelError: Lanczos did not converge.
        """
        if index >= self.count:
            raise InputError(f"{self.count} Hessian eigenvectors were computed, got a call for {index + 1}.")
        vector = self._spectrum(weights)[1][:, index]
        names = self.moving(weights)
        parts = _split(vector, [weights[name] for name in names])
        return dict(zip(names, parts, strict=True))

    def eigenvalues(self, weights: Weights) -> list[float]:
        """The largest eigenvalues, in decreasing order."""
        return [float(value) for value in self._spectrum(weights)[0]]

    def facts(self, weights: Weights, count: int) -> dict[str, Any]:
        """The eigenvalues."""
        return {"eigenvalues": self.eigenvalues(weights)}

    def landmarks(self, weights: Weights, count: int) -> list[Landmark]:
        """None: no other model is looked at."""
        return []

    @cached_property
    def _spectrum(self) -> Remembered[tuple[Vector, Vector]]:
        return Remembered(self._compute)

    def _compute(self, weights: Weights) -> tuple[Vector, Vector]:
        names = self.moving(weights)
        loss = LossOfWeights(module_of(self.model), self.examples, names, self.device, noise=self.noise)
        like = [weights[name].to(loss.device) for name in names]
        with arithmetic("fp32", loss.device):
            inputs = loss.craft(weights, self.attack or NoAttack(), seed=self.seed)

            def product(vector: Vector) -> Vector:
                return _joined(loss.hessian_product(weights, inputs, _split(vector, like)))

            return _top_eigenpairs(product, sum(part.numel() for part in like), self.count, like[0].dtype)


def as_many_as_drawn(recipe: DirectionRecipe, count: int) -> DirectionRecipe:
    """`recipe`, which computes no more eigenvectors than the `count` that are drawn if it is one of a Hessian.

    Lanczos stops when all that it was asked for have converged, so that each of them depends, within the tolerance, on
    their number; and a surface's key names the number that is drawn.
    """
    return replace(recipe, count=count) if isinstance(recipe, HessianDirections) and recipe.count > count else recipe


def _top_eigenpairs(product: Any, size: int, count: int, dtype: torch.dtype) -> tuple[Vector, Vector]:
    """The `count` largest eigenvalues, decreasing, and their eigenvectors as columns (size, count)."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    # A product of single precision cannot converge to more than about half of its digits.
    tolerance = float(np.sqrt(torch.finfo(dtype).eps))
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = gaussian(size, seed=0, stream=Stream.LANCZOS_START)
    try:
        values, vectors = eigsh(operator, k=count, which="LA", v0=start, tol=tolerance)
    except ArpackNoConvergence as error:
        raise ModelError(
            f"Lanczos found {len(error.eigenvalues)} of {count} Hessian eigenvectors; ask for fewer, use more examples "
            "or a model in double precision."
        ) from error
    order = np.argsort(values)[::-1]
    chosen = vectors[:, order]
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(count)]
    return values[order], chosen * np.where(largest < 0, -1.0, 1.0)


def _split(vector: Vector, like: Sequence[Tensor]) -> list[Tensor]:
    """A long vector as tensors of the shapes, dtypes and devices of others."""
    whole = torch.from_numpy(np.ascontiguousarray(vector).reshape(-1))
    parts = torch.split(whole, [part.numel() for part in like])
    return [part.reshape(other.shape).to(other) for part, other in zip(parts, like, strict=True)]


def _joined(parts: Sequence[Tensor]) -> Vector:
    return torch.cat([part.reshape(-1).cpu().double() for part in parts]).numpy()

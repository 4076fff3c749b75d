"""Gaussian perturbations of the weights, layer by layer: the posterior of a PAC-Bayes term."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.names import SIGMAS
from landscape.randomness import Stream, gaussian
from landscape.surfaces.directions import RandomDirections

if TYPE_CHECKING:
    from landscape.weights import Weights


@dataclass(frozen=True, kw_only=True)
class GaussianWeights:
    """Draws u_l / a of u_l ~ N(0, sigma_l^2 I) for every parameter l with more than one dimension.

    With `sigma="layer"`, sigma_l = a ||w_l|| / sqrt(n_l), so that E ||u_l||^2 = a^2 ||w_l||^2, whatever the number n_l
    of weights in the layer. With `literal`, sigma_l = a ||w_l|| for each weight, as in Eq. 12 of Wu et al. 2020; u_l is
    then sqrt(n_l) times as long. The draws are not normalized: their length varies as that of a Gaussian vector does.

    A displacement of a is one draw w + u; draw i is a function of (seed, i) and the weights.

    Attributes:
        seed: of the draws; two models of one shape get the same ones.
        sigma: `layer` or `literal`.
        layers: regular expression, as in `RandomDirections`.

    Raises:
        InputError: an unknown sigma, or a pattern that does not compile.
    """

    seed: int = 0
    sigma: str = "layer"
    layers: str | None = None

    def __post_init__(self) -> None:
        if self.sigma not in SIGMAS:
            raise InputError(f"the sigma of Gaussian weights is one of {', '.join(SIGMAS)}, got {self.sigma!r}.")
        RandomDirections(layers=self.layers)

    def settings(self) -> dict[str, Any]:
        """Everything that determines the draws, for a surface's key."""
        return {"kind": "gaussian", "seed": self.seed, "sigma": self.sigma, "layers": self.layers}

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters that move: those with more than one dimension, in the layers asked for.

        Raises:
            InputError: none does.
        """
        return RandomDirections(layers=self.layers).moving(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """Draw `index` for a = 1."""
        positions = {name: position for position, name in enumerate(weights)}
        draw = {}
        for name in self.moving(weights):
            weight = weights[name]
            numbers = gaussian(
                weight.numel(), seed=self.seed, stream=Stream.WEIGHT_DRAW, a=index, b=positions[name]
            ) * self._sigma(float(torch.linalg.vector_norm(weight, dtype=torch.float64)), weight.numel())
            draw[name] = torch.from_numpy(numbers).view(weight.shape).to(weight)
        return draw

    def _sigma(self, length: float, count: int) -> float:
        """sigma_l for a = 1, of a layer of `count` weights whose norm is `length`."""
        return length / math.sqrt(count) if self.sigma == "layer" else length

"""Random weight perturbation: the `-random` of a method's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from landscape.randomness import Stream, gaussian
from landscape.relative_ball import RelativeBall
from landscape.training.perturbations import Perturbed, perturbed, restoring
from landscape.training.weight_steps import MovedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.perturbations import InnerProblem


@dataclass(frozen=True, kw_only=True)
class RandomWeightPerturbation:
    """v_l = gamma ||w_l|| n_l / ||n_l|| with Gaussian n, the comparison of the AWP paper's section 5.3.

    Examples are made at w, then the noise is added. It is a function of (seed, epoch, batch, position of the tensor).

    Attributes:
        ball: the relative ball, on whose sphere v lies.
        seed: of the run.
    """

    ball: RelativeBall
    seed: int = 0

    @contextlib.contextmanager
    def applied(self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int) -> Iterator[Perturbed]:
        """w + v within the block."""
        weights = MovedWeights(model)
        noise = [self._noise(w, position, epoch, batch) for position, w in enumerate(weights.origin)]
        v = self.ball.along(weights.origin, noise)
        with restoring(weights):
            weights.move(v)
            yield perturbed(weights, v, inner_steps=0, share=torch.zeros((), device=weights.device))

    def _noise(self, weight: Tensor, position: int, epoch: int, batch: int) -> Tensor:
        numbers = gaussian(weight.numel(), seed=self.seed, stream=Stream.WEIGHT_NOISE, a=batch, b=position, c=epoch)
        # Numbers are drawn in the logical order of the tensor, whatever its memory layout is.
        noise = torch.from_numpy(numbers.astype(np.float32) if weight.dtype != torch.float64 else numbers)
        return noise.view(weight.shape).to(weight)

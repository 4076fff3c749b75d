"""Robust weight perturbation: the `-rwp` of a method's name."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landscape.errors import InputError
from landscape.names import RWP_ACCUMULATIONS
from landscape.relative_ball import RelativeBall
from landscape.training.perturbations import Perturbed, perturbed, restoring
from landscape.training.selection import LossRange
from landscape.training.weight_steps import MovedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.objectives import Losses
    from landscape.training.perturbations import InnerProblem


@dataclass(frozen=True, kw_only=True)
class RobustWeightPerturbation:
    """RWP (Yu et al. 2022, Algorithm 1): only examples whose loss is below c_min pull on the weights.

    From v = 0, at most K2 times: g = gradient at w + v of (1/B) times the sum of the losses below c_min, then

        reference   s <- s + g        v = gamma ||w|| s / ||s||
        paper       v <- v + g        v <- gamma ||w|| v / ||v||

    with norms over all tensors that move together. When no loss is below c_min, v stays and the loop ends: the
    reference goes on, with the same result at a higher cost. After the first step v always has the full length.

    Attributes:
        ball: the relative ball; the reference has a global norm.
        selected: the losses that pull, from 0 to c_min.
        num_steps: K2, at least 1.
        accumulation: "reference" (raw sums) or "paper" (raw gradient onto the scaled v).
        by_objective: select by the training loss instead of the cross-entropy on x'.

    Raises:
        InputError: a number outside its range.
    """

    ball: RelativeBall
    selected: LossRange
    num_steps: int = 10
    accumulation: str = "reference"
    by_objective: bool = False

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InputError(f"a weight perturbation has at least 1 step, got {self.num_steps}.")
        if self.accumulation not in RWP_ACCUMULATIONS:
            choices = ", ".join(RWP_ACCUMULATIONS)
            raise InputError(
                f"the accumulation of a weight perturbation is one of {choices}, got {self.accumulation!r}."
            )
        if math.isinf(self.selected.high) and self.selected.low <= 0:
            raise InputError("the robust weight perturbation selects by a loss c_min, got all losses; use AWP.")

    @contextlib.contextmanager
    def applied(self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int) -> Iterator[Perturbed]:
        """w + v within the block."""
        weights = MovedWeights(model)
        total = v = [torch.zeros_like(weight) for weight in weights.origin]
        done, share = 0, torch.zeros((), device=weights.device)
        with restoring(weights):
            for _ in range(self.num_steps):
                pull = inner.pull(weights, self._select)
                share = pull.share if not done else share
                if pull.gradients is None:
                    break
                before = total if self.accumulation == "reference" else v
                total = [a + b for a, b in zip(before, pull.gradients, strict=True)]
                v = self.ball.along(weights.origin, total)
                weights.move(v)
                done += 1
            yield perturbed(weights, v, inner_steps=done, share=share)

    def _select(self, losses: Losses) -> Tensor:
        return self.selected.select(losses.training.detach() if self.by_objective else losses.adversarial)

"""Adversarial weight perturbation: the `-awp` of a method's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landscape.errors import InputError
from landscape.relative_ball import RelativeBall
from landscape.training.perturbations import Perturbed, perturbed, restoring
from landscape.training.selection import LossRange
from landscape.training.weight_steps import MovedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.objectives import Losses
    from landscape.training.perturbations import InnerProblem


@dataclass(frozen=True, kw_only=True)
class AdversarialWeightPerturbation:
    """AWP (Wu et al. 2020, Eq. 8-10 and 15): weights move up the loss, within a relative ball.

    From v = 0, A times: examples are made at w + v, then K2 times

        v_l <- P(v_l + eta2 ||w_l|| g_l / ||g_l||),    g = gradient of the loss at w + v,    eta2 = gamma / (A K2)

    for every parameter with more than one dimension, where P scales back to ||v_l|| <= gamma ||w_l||. For A = K2 = 1
    this is v_l = gamma ||w_l|| g_l / ||g_l|| and costs one forward pass and one gradient with respect to the
    parameters. Examples are made on the live model, so that each alternation moves BatchNorm's statistics once more.

    Attributes:
        ball: the relative ball.
        num_steps: K2, at least 1.
        num_alternations: A, at least 1.
        selected: which examples pull, by their cross-entropy on x'; None for all, without asking.

    Raises:
        InputError: a number outside its range.
    """

    ball: RelativeBall
    num_steps: int = 1
    num_alternations: int = 1
    selected: LossRange | None = None

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.num_alternations < 1:
            raise InputError(
                "a weight perturbation has at least 1 step and 1 alternation, "
                f"got {self.num_steps}, {self.num_alternations}."
            )

    @contextlib.contextmanager
    def applied(self, model: nn.Module, inner: InnerProblem, *, epoch: int, batch: int) -> Iterator[Perturbed]:
        """w + v within the block."""
        weights = MovedWeights(model)
        select = None if self.selected is None else self._select
        v: list[Tensor] | None = None
        done, share = 0, torch.zeros((), device=weights.device)
        with restoring(weights):
            for alternation in range(self.num_alternations):
                if alternation:
                    inner.craft_again()
                for _ in range(self.num_steps):
                    pull = inner.pull(weights, select)
                    share = pull.share if not done else share
                    done += 1
                    if pull.gradients is not None:
                        v = self._climb(weights.origin, v, pull.gradients)
                        weights.move(v)
            yield perturbed(weights, v, inner_steps=done, share=share)

    def _climb(self, origin: list[Tensor], v: list[Tensor] | None, gradients: Sequence[Tensor]) -> list[Tensor]:
        step = self.ball.along(origin, gradients, 1.0 / (self.num_alternations * self.num_steps))
        if v is None:
            return step
        return self.ball.project(origin, [a + b for a, b in zip(v, step, strict=True)])

    def _select(self, losses: Losses) -> Tensor:
        return (self.selected or LossRange()).select(losses.adversarial)

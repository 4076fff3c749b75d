"""PGD on the average over the noise of a model, by an attacker who does not know which noise will classify."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from landscape.attacks.modules import module_of
from landscape.attacks.pgd import PGD, input_gradient

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Forward


class Redraws(Protocol):
    """Draws of a model's noise for an attack; `models.noisy.NoiseDraws` is one."""

    def settings(self) -> Mapping[str, Any]:
        """What determines the draws, as plain JSON values."""
        ...

    def beside(self, model: nn.Module, turn: int) -> Iterator[int]:
        """Give the model one draw after the other, other ones each turn; afterwards it has the noise it had."""
        ...


@dataclass(frozen=True, kw_only=True)
class AveragedPGD:
    """PGD whose every step goes along the gradient averaged over fresh draws of noise (Athalye et al. 2018, EOT).

    A measurement fixes the noise, so plain PGD knows the network that will classify; this attack knows its distribution
    alone, as in the evaluations of parametric noise injection.

    Attributes:
        pgd: everything else.
        draws: how many draws to average over in each step, and their seed.
    """

    pgd: PGD
    draws: Redraws

    @property
    def threat(self) -> ThreatModel:
        """The ball."""
        return self.pgd.threat

    def settings(self) -> dict[str, Any]:
        """Those of PGD, and the draws."""
        return {**self.pgd.settings(), "averaged_over": dict(self.draws.settings())}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Random starts, as PGD's."""
        return self.pgd.starts(ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs, once for each start."""
        model = module_of(forward, attack="pgd with draws")
        for start in [torch.zeros_like(inputs)] if starts is None else starts:
            turns = iter(range(self.pgd.num_steps))

            def mean_gradient(moved: Tensor, turns: Iterator[int] = turns) -> Tensor:
                gradients = [
                    input_gradient(forward, moved, labels, loss=self.pgd.loss)
                    for _ in self.draws.beside(model, next(turns))
                ]
                return torch.stack(gradients).mean(dim=0)

            yield self.pgd.ascend(inputs, start, mean_gradient)

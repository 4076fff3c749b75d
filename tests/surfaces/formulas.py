"""Models whose loss is a formula of two weights, and the directions along these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from landscape.datasets.examples import Examples

Formula = Callable[[Tensor, Tensor], Tensor]

FAR = 60.0
"""Nats that are added to every formula: so far from its label, the loss of a logit is the logit."""


class FormulaModel(nn.Module):
    """The cross-entropy of label 1 is FAR + formula(alpha, beta) for every input."""

    def __init__(self, formula: Formula) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1, 1))
        self.formula = formula

    def forward(self, inputs: Tensor) -> Tensor:
        loss = (FAR + self.formula(self.alpha, self.beta)).reshape(1).expand(len(inputs))
        return torch.stack([loss, torch.zeros_like(loss)], dim=1)


class AlongWeights:
    """Direction 0 moves alpha, direction 1 beta, by one."""

    def settings(self) -> Mapping[str, Any]:
        return {"kind": "along-weights"}

    def moving(self, weights: dict[str, Tensor]) -> list[str]:
        return list(weights)

    def direction(self, weights: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        return {
            name: torch.full_like(weight, float(place == index)) for place, (name, weight) in enumerate(weights.items())
        }


def blank_examples(count: int = 2) -> Examples:
    """Black pictures of one pixel."""
    return Examples(
        inputs=torch.zeros(count, 1, 1, 1),
        labels=torch.ones(count, dtype=torch.int64),
        ids=torch.arange(count),
        dataset="own",
        split="all",
        num_classes=2,
    )

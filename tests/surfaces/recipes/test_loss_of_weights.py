"""The mean loss as a function of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.models.noisy import NoiseDraws
from landscape.surfaces.recipes.loss_of_weights import LossOfWeights
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import tiny, tiny_examples


@dataclass(frozen=True)
class Counting:
    """An attack that changes nothing and keeps how many examples it was given together."""

    batch_size: int | None
    seen: list[int] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        return {"name": "counting"}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> None:
        return None

    def restarts(self, forward: Any, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        self.seen.append(len(inputs))
        yield inputs


@pytest.mark.parametrize(("size", "batches"), [(4, [4, 4, 2]), (None, [10])])
def test_an_attack_on_whole_batches_is_given_its_own(size: int | None, batches: list[int]) -> None:
    net, examples, attack = tiny(nn.Tanh()), tiny_examples(10), Counting(size)
    loss = LossOfWeights(net, examples, list(parameters_of(net)), "cpu", noise=NoiseDraws())
    (inputs,) = loss.craft(parameters_of(net), attack, seed=0)
    assert attack.seen == batches and torch.equal(inputs, examples.inputs.double())

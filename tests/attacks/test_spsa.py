"""SPSA."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from landscape.attacks.spsa import SPSA
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError

THREAT = ThreatModel(norm="linf", epsilon=0.2)


def test_the_estimate_of_a_linear_model_is_its_gradient_projected_on_the_signs() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, generator=generator, dtype=torch.float64)
    inputs = torch.rand(3, 1, 2, 3, generator=generator, dtype=torch.float64)
    attack = SPSA(threat=THREAT, num_samples=20, delta=0.01)
    signs = attack._signs(torch.rand(3, 1, 2, 3, generator=generator), 1)
    assert signs.shape == (10, 3, 1, 2, 3) and set(signs.flatten().tolist()) == {-1, 1}

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.flatten(1) @ weight, torch.zeros(len(x), dtype=x.dtype)], dim=1)

    found = attack._estimate(forward, inputs, torch.ones(3, dtype=torch.long), signs.double(), at_once=3)
    for row in range(3):
        s = signs[:, row].flatten(1).double()
        literal = (s * (s @ weight)[:, None]).mean(dim=0)
        torch.testing.assert_close(found[row].flatten(), literal, rtol=0, atol=1e-9)


def test_signs_are_balanced_and_other_ones_each_step_and_start() -> None:
    attack = SPSA(threat=THREAT, num_samples=64)
    starts = torch.rand(2, 1, 8, 8)
    first, second = attack._signs(starts, 1), attack._signs(starts, 2)
    assert abs(float(first.float().mean())) < 0.1
    assert not torch.equal(first, second) and not torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(attack._signs(starts[1:], 1)[:, 0], first[:, 1])


def test_what_is_misclassified_is_left_alone() -> None:
    inputs = torch.full((2, 1, 1, 1), 0.5)
    (adversarial,) = SPSA(threat=THREAT, num_steps=2, num_samples=2).restarts(
        lambda x: torch.cat([x.flatten(1), 1 - x.flatten(1)], dim=1) + torch.tensor([[0.0, 0.3]]),
        inputs,
        torch.tensor([0, 1]),
        torch.zeros(1, 2, 1, 1, 1),
    )
    assert float(adversarial[0]) == 0.5 and float(adversarial[1]) > 0.5


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"num_samples": 3}, id="odd"),
        pytest.param({"num_samples": 0}, id="none"),
        pytest.param({"num_steps": 0}, id="no step"),
        pytest.param({"step_size": 0}, id="no rate"),
        pytest.param({"delta": float("nan")}, id="delta"),
    ],
)
def test_numbers_outside_their_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="SPSA"):
        SPSA(threat=THREAT, **change)

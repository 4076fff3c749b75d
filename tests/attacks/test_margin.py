"""CW in L-inf by PGD."""

from __future__ import annotations

import pytest
import torch

from landscape.attacks.margin import CW, MarginLoss
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError

THREAT = ThreatModel(norm="linf", epsilon=0.3)


def test_it_reaches_the_optimum_of_a_linear_model_with_clipping() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, generator=generator, dtype=torch.float64)
    inputs = torch.rand(40, 3, 2, 2, generator=generator, dtype=torch.float64)
    attack = CW(threat=THREAT, step_size=0.075, num_steps=10, kappa=1e6)
    adversarial = attack(
        lambda x: torch.stack([x.flatten(1) @ weight, -(x.flatten(1) @ weight)], dim=1),
        inputs,
        torch.zeros(40, dtype=torch.long),
    )
    best = (inputs.flatten(1) - 0.3 * weight.sign()).clamp(0, 1)
    assert (adversarial.flatten(1) - best).abs().max() < 1e-6


def test_the_loss_is_the_margin_up_to_kappa_against_a_loop() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 4.0, 1.0], [1.0, 1.5, 9.0]])
    labels = torch.tensor([0, 0, 2])
    for kappa in (0.0, 2.5):
        expected = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            others = [value for index, value in enumerate(row) if index != label]
            expected.append(min(max(others) - row[label], kappa))
        assert MarginLoss(kappa=kappa)(logits, labels).tolist() == expected


def test_with_kappa_0_what_is_misclassified_stays_where_it_is() -> None:
    inputs = torch.full((1, 1, 1, 1), 0.5)
    attack = CW(threat=THREAT, step_size=0.1, num_steps=3)
    (adversarial,) = attack.restarts(
        lambda x: torch.cat([x.flatten(1), 1 - x.flatten(1) + 0.1], dim=1),
        inputs,
        torch.tensor([0]),
        torch.zeros(1, 1, 1, 1, 1),
    )
    assert torch.equal(adversarial, inputs)


def test_kappa_is_named_and_plain_pgd_has_the_key_it_always_had() -> None:
    assert CW(threat=THREAT, step_size=0.1, kappa=5).settings()["loss"] == {"name": "margin", "kappa": 5.0}
    assert PGD(threat=THREAT, step_size=0.1, num_steps=2).settings() == {
        "name": "pgd",
        "norm": "linf",
        "epsilon": 0.3,
        "step_size": 0.1,
        "num_steps": 2,
        "num_restarts": 1,
        "random_start": True,
    }


def test_a_negative_kappa_is_refused() -> None:
    with pytest.raises(InputError, match=r"finite number of at least 0, got -1\."):
        MarginLoss(kappa=-1)

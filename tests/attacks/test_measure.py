from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD, NoAttack
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError


@pytest.fixture
def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).requires_grad_(False)
    return model, torch.rand(23, 1, 4, 4), torch.randint(3, (23,))


def test_equals_a_loop_over_examples_and_restarts(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, inputs, labels = problem
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.3), step_size=0.1, num_steps=3, num_restarts=3)
    starts = attack.starts(torch.arange(23), (1, 4, 4), seed=5)
    assert starts is not None
    result = measure(model, inputs, labels, attack, starts=starts, batch_size=4)
    for i in range(23):
        x, y = inputs[i : i + 1], labels[i : i + 1]
        logits = [model(adv)[0] for adv in attack.restarts(model, x, y, starts[:, i : i + 1])]
        losses = [float(nn.functional.cross_entropy(z[None], y)) for z in logits]
        assert result.adversarial_loss[i] == pytest.approx(max(losses), rel=1e-5)
        assert result.adversarial_correct[i] == all(int(z.argmax()) == int(y) for z in logits)
        assert result.clean_loss[i] == pytest.approx(float(nn.functional.cross_entropy(model(x), y)), rel=1e-5)
        assert result.clean_correct[i] == (int(model(x).argmax()) == int(y))
    assert {name: array.dtype for name, array in result.arrays().items()} == {
        "adversarial_loss": np.float32,
        "clean_loss": np.float32,
        "adversarial_correct": np.uint8,
        "clean_correct": np.uint8,
    }


def test_without_attack_both_losses_are_the_clean_one(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, inputs, labels = problem
    result = measure(model, inputs, labels, NoAttack())
    np.testing.assert_array_equal(result.adversarial_loss, result.clean_loss)
    np.testing.assert_array_equal(result.adversarial_correct, result.clean_correct)


def test_logits_that_are_no_numbers_stay_so_and_count_as_wrong(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    _, inputs, labels = problem
    result = measure(lambda x: x.flatten(1)[:, :3] * float("nan"), inputs, labels, NoAttack())
    assert np.isnan(result.adversarial_loss).all() and np.isnan(result.clean_loss).all()
    assert not result.adversarial_correct.any() and not result.clean_correct.any()
    assert not result.finite


def test_nothing_to_measure_is_refused(problem: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, inputs, labels = problem
    with pytest.raises(InputError, match="as many labels as inputs and at least one, got 0, 0"):
        measure(model, inputs[:0], labels[:0], NoAttack())
    with pytest.raises(InputError, match="got 23, 5"):
        measure(model, inputs, labels[:5], NoAttack())

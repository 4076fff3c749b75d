from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.training.perturbations import AdversarialWeightPerturbation, NoPerturbation, relative_step

if TYPE_CHECKING:
    from landscape.protocols import Forward


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).train()


INPUTS = torch.linspace(0, 1, 5 * 16).reshape(5, 1, 4, 4)


def loss_of(forward: Forward) -> Tensor:
    return forward(INPUTS).square().mean()


@pytest.mark.parametrize("size", [1.0, 1e-8, 1e-30, 1e30], ids=str)
def test_direction_is_that_of_the_gradient_whatever_its_size(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, gradient = torch.randn(4, 3, 3, 3, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    step = relative_step(weight, gradient * size, 0.02).double()
    cosine = torch.sum(step * gradient.double()) / (step.norm() * gradient.double().norm())
    assert float(cosine) == pytest.approx(1.0, abs=1e-6)
    assert float(step.norm() / weight.double().norm()) == pytest.approx(0.02, rel=1e-6)


def test_a_zero_gradient_gives_no_step() -> None:
    assert torch.equal(relative_step(torch.ones(2, 2), torch.zeros(2, 2), 0.1), torch.zeros(2, 2))


def test_tensors_with_more_than_one_dimension_move_to_the_sphere_and_others_stay() -> None:
    model = make_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with AdversarialWeightPerturbation(gamma=0.05).applied(model, loss_of, epoch=0) as ratio:
        for name, parameter in model.named_parameters():
            moved = float((parameter.detach() - before[name]).norm() / before[name].norm().clamp(min=1e-12))
            assert moved == pytest.approx(0.05 if parameter.ndim > 1 else 0.0, rel=1e-5), name
        assert float(ratio) == pytest.approx(0.05, rel=1e-6)


def test_the_perturbation_raises_the_loss() -> None:
    model = make_model()
    here = float(loss_of(model).detach())
    with AdversarialWeightPerturbation(gamma=0.05).applied(model, loss_of, epoch=0):
        assert float(loss_of(model).detach()) > here


def test_weights_come_back_exactly_and_buffers_and_gradients_are_left() -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with AdversarialWeightPerturbation(gamma=0.3).applied(model, loss_of, epoch=0):
        pass
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_weights_come_back_when_the_block_fails() -> None:
    model = make_model()
    before = model.get_parameter("0.weight").detach().clone()
    with pytest.raises(KeyError), AdversarialWeightPerturbation(gamma=0.3).applied(model, loss_of, epoch=0):
        raise KeyError
    assert torch.equal(model.get_parameter("0.weight"), before)


@pytest.mark.parametrize("epoch", [0, 1])
def test_nothing_moves_while_warming_up(epoch: int) -> None:
    model = make_model()
    before = model.get_parameter("0.weight").detach().clone()
    with AdversarialWeightPerturbation(gamma=0.3, warmup=2).applied(model, loss_of, epoch=epoch) as ratio:
        assert torch.equal(model.get_parameter("0.weight"), before)
    assert float(ratio) == 0.0


def test_a_frozen_or_unused_parameter_is_no_obstacle() -> None:
    model = make_model()
    model.get_parameter("0.weight").requires_grad_(False)
    model.register_parameter("unused", nn.Parameter(torch.ones(2, 2)))
    with AdversarialWeightPerturbation(gamma=0.1).applied(model, loss_of, epoch=0):
        assert torch.equal(model.get_parameter("unused"), torch.ones(2, 2))


def test_no_perturbation_does_not_ask_for_the_loss() -> None:
    with NoPerturbation().applied(make_model(), lambda forward: pytest.fail("asked"), epoch=0) as ratio:
        assert float(ratio) == 0.0


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan, math.inf])
def test_a_gamma_that_is_no_size_is_refused(gamma: float) -> None:
    with pytest.raises(InputError, match="gamma of a weight perturbation is a finite number above 0"):
        AdversarialWeightPerturbation(gamma=gamma)


def test_a_negative_warmup_is_refused() -> None:
    with pytest.raises(InputError, match="0 epochs or more, got -1"):
        AdversarialWeightPerturbation(gamma=0.1, warmup=-1)

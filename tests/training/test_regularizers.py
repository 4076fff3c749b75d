from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.models.registry import build_model
from landscape.training.regularizers import Penalty


def make_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).double()
    model(torch.rand(5, 1, 4, 4, dtype=torch.float64)).square().mean().backward()
    return model


def literal(model: nn.Module, *, decay: float, l1: float, l2: float | None) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients and value by autograd of the penalties written as a loss; L2 picks by name, as the reference does."""
    loss = torch.zeros((), dtype=torch.float64)
    for name, parameter in model.named_parameters():
        matrix = name in ("0.weight", "3.weight")
        loss = loss + l1 * parameter.abs().sum() * matrix
        coefficient = decay if l2 is None else l2 * matrix
        loss = loss + 0.5 * coefficient * parameter.square().sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    sums = {
        name: p.grad + g for (name, p), g in zip(model.named_parameters(), gradients, strict=True) if p.grad is not None
    }
    return sums, l1 * sum(
        float(p.detach().abs().sum()) for n, p in model.named_parameters() if n in ("0.weight", "3.weight")
    )


@pytest.mark.parametrize(
    ("decay", "l1", "l2"),
    [
        pytest.param(0.5, 0.0, None, id="decay"),
        pytest.param(0.5, 0.3, None, id="decay-and-l1"),
        pytest.param(0.0, 0.0, 0.7, id="l2"),
        pytest.param(0.0, 0.3, 0.7, id="l1-and-l2"),
    ],
)
def test_gradients_are_those_of_the_penalties_as_a_loss(decay: float, l1: float, l2: float | None) -> None:
    model = make_model()
    expected, value = literal(model, decay=decay, l1=l1, l2=l2)
    assert float(Penalty(weight_decay=decay, l1=l1, l2=l2).add_gradients(model)) == pytest.approx(value, abs=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-12, msg=name)


def test_parameters_without_a_gradient_get_none() -> None:
    model = make_model()
    frozen = model.get_parameter("3.weight")
    frozen.grad = None
    Penalty(weight_decay=0.5, l1=0.1).add_gradients(model)
    assert frozen.grad is None


def test_l2_takes_the_parameters_that_the_reference_takes_by_name() -> None:
    model = build_model("preact_resnet18", width=4)
    by_dimension = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    by_name = {name for name, _ in model.named_parameters() if "bn" not in name and "bias" not in name}
    assert by_dimension == by_name

"""Values and gradients with respect to the weights, in the update and in the perturbation: a stray detach changes no
value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.losses import cross_entropy, kl_divergence, mart, trades
from landscape.training.crafting import NoCrafting
from landscape.training.objectives import (
    AdversarialTraining,
    Batch,
    Losses,
    Mart,
    Natural,
    Objective,
    Trades,
    WithoutSmallLosses,
)
from landscape.training.problem import BatchProblem
from landscape.training.selection import LossRange
from landscape.training.weight_steps import MovedWeights
from tests.oracles import literal_cross_entropy, literal_divergence, literal_mart, literal_trades

GENERATOR = torch.Generator().manual_seed(0)
CLEAN = torch.rand(7, 1, 4, 4, generator=GENERATOR, dtype=torch.float64)
ADVERSARIAL = torch.rand(7, 1, 4, 4, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(4, (7,), generator=GENERATOR)
BATCH = Batch(inputs=CLEAN, labels=LABELS)


class Given(NoCrafting):
    """Adversarial examples that are given."""

    def __call__(self, model: nn.Module, batch: Batch, *, alternation: int) -> Tensor:
        return ADVERSARIAL


def make_model() -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.train()


def literal(model: nn.Module, kind: str) -> Tensor:
    there, clean, again = model(ADVERSARIAL), model(CLEAN), model(CLEAN)
    if kind == "natural":
        return literal_cross_entropy(there, LABELS).mean()
    if kind == "trades":
        return literal_trades(clean, again, there, LABELS, 6.0).mean()
    return literal_mart(clean, there, LABELS, 5.0).mean()


CASES = [
    pytest.param(Natural(), "natural", id="natural"),
    pytest.param(AdversarialTraining(), "natural", id="at"),
    pytest.param(Trades(beta=6.0, clean_first=True), "trades", id="trades-upstream"),
    pytest.param(Trades(beta=6.0, clean_last=True), "trades", id="trades-awp"),
    pytest.param(Trades(beta=6.0), "trades", id="rst"),
    pytest.param(Mart(weight=5.0), "mart", id="mart"),
]


@pytest.mark.parametrize(("objective", "kind"), CASES)
def test_update_and_perturbation_see_the_literal_loss_and_its_weight_gradients(objective: Objective, kind: str) -> None:
    model, oracle = make_model(), make_model()
    expected = literal(oracle, kind)
    torch.autograd.backward([expected])
    wanted = {name: parameter.grad for name, parameter in oracle.named_parameters()}
    problem = BatchProblem(model, BATCH, objective, Given())
    weights = MovedWeights(model)
    pull = problem.pull(weights)
    assert pull.gradients is not None
    for name, gradient in zip(weights.names, pull.gradients, strict=True):
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-10, msg=name)
    loss, removed = problem.descend()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    assert removed.item() == 0.0
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=0, atol=1e-10, msg=name)


def logits(seed: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(7, 4, generator=generator, dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize(
    ("loss", "oracle"),
    [
        pytest.param(lambda a, b: kl_divergence(a, b), lambda a, b: literal_divergence(a, b), id="divergence"),
        pytest.param(
            lambda a, b: trades(a, b, LABELS, beta=6.0),
            lambda a, b: literal_trades(a, a, b, LABELS, 6.0),
            id="trades",
        ),
        pytest.param(
            lambda a, b: mart(a, b, LABELS, weight=5.0), lambda a, b: literal_mart(a, b, LABELS, 5.0), id="mart"
        ),
        pytest.param(
            lambda a, b: cross_entropy(a, LABELS), lambda a, b: literal_cross_entropy(a, LABELS), id="cross-entropy"
        ),
    ],
)
def test_losses_and_their_gradients_by_the_logits(loss: Any, oracle: Any) -> None:
    a, b = logits(1), logits(2)
    torch.testing.assert_close(loss(a, b), oracle(a, b), rtol=0, atol=1e-12)
    ours = torch.autograd.grad(loss(a, b).sum(), [a, b], allow_unused=True)
    theirs = torch.autograd.grad(oracle(a, b).sum(), [a, b], allow_unused=True)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [trades, mart])
def test_logits_as_large_as_they_get_give_finite_gradients(loss: Any) -> None:
    a = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    b = torch.tensor([[-200.0, 200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    settings = {"beta": 6.0} if loss is trades else {"weight": 5.0}
    value = loss(a, b, torch.tensor([0, 1]), **settings)
    assert bool(torch.isfinite(value).all())
    for gradient in torch.autograd.grad(value.sum(), [a, b]):
        assert bool(torch.isfinite(gradient).all())


def test_probabilities_as_labels_mix_the_losses() -> None:
    z = logits(3)
    labels = torch.tensor([[0.3, 0.7, 0.0, 0.0]] * 7, dtype=torch.float64)
    first, second = torch.zeros(7, dtype=torch.int64), torch.ones(7, dtype=torch.int64)
    expected = 0.3 * cross_entropy(z, first) + 0.7 * cross_entropy(z, second)
    torch.testing.assert_close(cross_entropy(z, labels), expected, rtol=0, atol=1e-12)


def test_means_with_selection_and_weights() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, float("inf")])
    selected = torch.tensor([True, False, True, False])
    plain = Losses(training=values, adversarial=values)
    assert plain.mean(selected).item() == pytest.approx(5 / 4)
    weighted = Losses(training=values, adversarial=values, weights=torch.tensor([1.0, 1.0, 0.5, 0.0]))
    assert weighted.mean().item() == pytest.approx(5 / 2.5)
    assert weighted.mean(selected).item() == pytest.approx(3 / 2.5)
    nothing = Losses(training=values, adversarial=values, weights=torch.zeros(4))
    assert nothing.mean().item() == 0.0


def test_weights_of_examples_weigh_their_losses() -> None:
    model = make_model()
    weights = torch.tensor([1.0, 1.0, 1.0, 0.25, 0.25, 0.25, 0.25], dtype=torch.float64)
    batch = Batch(inputs=CLEAN, labels=LABELS, weights=weights)
    problem = BatchProblem(model, batch, Trades(beta=6.0), Given())
    each = literal_trades(model(CLEAN), model(CLEAN), model(ADVERSARIAL), LABELS, 6.0)
    assert problem.descend()[0].item() == pytest.approx(((weights * each).sum() / weights.sum()).item(), abs=1e-10)


def test_small_losses_are_left_out_of_perturbation_and_update() -> None:
    model = make_model()
    each = literal_cross_entropy(model(ADVERSARIAL), LABELS)
    threshold = float(each.detach().median())
    kept = each >= threshold
    objective = WithoutSmallLosses(objective=AdversarialTraining(), kept=LossRange(low=threshold))
    problem = BatchProblem(model, BATCH, objective, Given())
    wanted = torch.autograd.grad(each[kept].mean(), [model.get_parameter("0.weight")])[0]
    weights = MovedWeights(model)
    pull = problem.pull(weights)
    assert pull.gradients is not None
    torch.testing.assert_close(pull.gradients[0], wanted, rtol=0, atol=1e-10)
    loss, removed = problem.descend()
    assert loss.item() == pytest.approx(each[kept].mean().item(), abs=1e-10)
    assert removed.item() == pytest.approx(3 / 7)

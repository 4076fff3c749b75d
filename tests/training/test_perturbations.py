from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.relative_ball import RelativeBall, relative_step
from landscape.training.adversarial_weights import AdversarialWeightPerturbation
from landscape.training.objectives import Losses
from landscape.training.perturbations import AfterWarmup, NoPerturbation, Perturbation, Pull, Select
from landscape.training.random_weights import RandomWeightPerturbation
from landscape.training.robust_weights import RobustWeightPerturbation
from landscape.training.selection import LossRange, parse_loss_range
from landscape.training.weight_steps import MovedWeights

if TYPE_CHECKING:
    from landscape.protocols import Forward

INPUTS = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).train()


def losses_of(forward: Forward) -> Tensor:
    return forward(INPUTS).square().mean(dim=1)


class Inner:
    """An inner problem without examples to craft."""

    def __init__(self) -> None:
        self.pulls = 0

    def craft_again(self) -> None:
        pytest.fail("nothing should be crafted again")

    def pull(self, weights: MovedWeights, select: Select | None = None) -> Pull:
        self.pulls += 1
        training = losses_of(weights.forward)
        losses = Losses(training=training, adversarial=training.detach())
        selected = None if select is None else select(losses)
        if selected is not None and not bool(selected.any()):
            return Pull(gradients=None, share=selected.float().mean())
        share = torch.ones(()) if selected is None else selected.float().mean()
        return Pull(gradients=weights.gradients(losses.mean(selected)), share=share)


def awp(gamma: float = 0.05, **given: Any) -> AdversarialWeightPerturbation:
    return AdversarialWeightPerturbation(ball=RelativeBall(gamma=gamma), **given)


def rwp(c_min: float, *, gamma: float = 0.05, **given: Any) -> RobustWeightPerturbation:
    ball = RelativeBall(gamma=gamma, norm="global")
    return RobustWeightPerturbation(ball=ball, selected=LossRange(high=c_min), **given)


def moved_by(perturbation: Perturbation, model: nn.Module | None = None) -> dict[str, Tensor]:
    model = model or make_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with perturbation.applied(model, Inner(), epoch=0, batch=0):
        return {name: parameter.detach() - before[name] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [1.0, 1e-8, 1e-30, 1e30], ids=str)
def test_direction_is_that_of_the_gradient_whatever_its_size(size: float, order: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, gradient = torch.randn(4, 3, 3, 3, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    step = relative_step(weight, gradient * size, 0.02, order).double()
    cosine = torch.sum(step * gradient.double()) / (step.norm() * gradient.double().norm())
    assert float(cosine) == pytest.approx(1.0, abs=1e-6)
    assert float(step.norm(p=order) / weight.double().norm(p=order)) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e-8, 1e-30], ids=str)
@pytest.mark.parametrize("measure", ["l2", "l1"])
def test_global_direction_is_that_of_the_gradient_whatever_its_size(size: float, measure: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in ((4, 3), (2, 5))]
    gradients = [torch.randn(w.shape, generator=generator) for w in weights]
    v = RelativeBall(gamma=0.02, norm="global", size=measure).along(weights, [g * size for g in gradients])
    order = {"l2": 2, "l1": 1}[measure]
    flat_v, flat_w, flat_g = (torch.cat([t.flatten() for t in ts]).double() for ts in (v, weights, gradients))
    assert float((flat_v @ flat_g) / (flat_v.norm() * flat_g.norm())) == pytest.approx(1.0, abs=1e-6)
    assert float(flat_v.norm(p=order) / flat_w.norm(p=order)) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize("norm", ["layer", "global"])
def test_a_zero_gradient_gives_no_step(norm: str) -> None:
    (step,) = RelativeBall(gamma=0.1, norm=norm).along([torch.ones(2, 2)], [torch.zeros(2, 2)])
    assert torch.equal(step, torch.zeros(2, 2))


def test_projection_scales_back_what_is_outside_and_leaves_the_rest() -> None:
    weights = [torch.ones(4), torch.ones(4)]
    inside, outside = torch.full((4,), 0.05), torch.full((4,), 0.4)
    a, b = RelativeBall(gamma=0.1).project(weights, [inside, outside])
    assert torch.equal(a, inside)
    torch.testing.assert_close(b, torch.full((4,), 0.1))
    a, b = RelativeBall(gamma=0.1, norm="global").project(weights, [inside, outside])
    torch.testing.assert_close(torch.cat([a, b]).norm(), 0.1 * torch.ones(8).norm())
    torch.testing.assert_close(b / a, torch.full((4,), 8.0))


@pytest.mark.parametrize(
    "perturbation",
    [
        pytest.param(awp(), id="awp"),
        pytest.param(RandomWeightPerturbation(ball=RelativeBall(gamma=0.05)), id="random"),
    ],
)
def test_tensors_with_more_than_one_dimension_move_to_the_sphere_and_others_stay(perturbation: Perturbation) -> None:
    model = make_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with perturbation.applied(model, Inner(), epoch=0, batch=0) as done:
        for name, parameter in model.named_parameters():
            moved = float((parameter.detach() - before[name]).norm() / before[name].norm().clamp(min=1e-12))
            assert moved == pytest.approx(0.05 if parameter.ndim > 1 else 0.0, rel=1e-5), name
        assert float(done.ratio) == pytest.approx(0.05, rel=1e-6)


def test_layers_share_a_global_radius_unequally() -> None:
    moves = moved_by(rwp(100.0))
    start = {name: parameter.detach() for name, parameter in make_model().named_parameters()}
    ratios = [float(moves[name].norm() / start[name].norm()) for name in ("0.weight", "4.weight")]
    assert min(ratios) < 0.049
    assert max(ratios) > 0.051
    total = math.hypot(*(float(start[name].norm()) for name in ("0.weight", "4.weight")))
    assert math.hypot(*(float(moves[name].norm()) for name in ("0.weight", "4.weight"))) == pytest.approx(0.05 * total)


@pytest.mark.parametrize("perturbation", [awp(), awp(num_steps=3), rwp(100.0)], ids=["awp", "awp-3", "rwp"])
def test_the_perturbation_raises_the_loss(perturbation: Perturbation) -> None:
    model = make_model()
    here = float(losses_of(model).mean().detach())
    with perturbation.applied(model, Inner(), epoch=0, batch=0):
        assert float(losses_of(model).mean().detach()) > here


ALL = [
    pytest.param(awp(0.3), id="awp"),
    pytest.param(awp(0.3, num_steps=4), id="awp-4-steps"),
    pytest.param(rwp(100.0), id="rwp"),
    pytest.param(RandomWeightPerturbation(ball=RelativeBall(gamma=0.3)), id="random"),
]


@pytest.mark.parametrize("perturbation", ALL)
def test_weights_come_back_exactly_and_buffers_and_gradients_are_left(perturbation: Perturbation) -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with perturbation.applied(model, Inner(), epoch=0, batch=0):
        assert not torch.equal(model.get_parameter("0.weight"), before["0.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("perturbation", ALL)
def test_weights_come_back_when_the_block_fails(perturbation: Perturbation) -> None:
    model = make_model()
    before = model.get_parameter("0.weight").detach().clone()
    with pytest.raises(KeyError), perturbation.applied(model, Inner(), epoch=0, batch=0):
        raise KeyError
    assert torch.equal(model.get_parameter("0.weight"), before)


@pytest.mark.parametrize("epoch", [0, 1])
def test_nothing_moves_while_warming_up(epoch: int) -> None:
    model, inner = make_model(), Inner()
    before = model.get_parameter("0.weight").detach().clone()
    perturbation = AfterWarmup(perturbation=awp(), num_epochs=2)
    with perturbation.applied(model, inner, epoch=epoch, batch=0) as done:
        assert torch.equal(model.get_parameter("0.weight"), before)
    assert float(done.ratio) == 0.0
    assert inner.pulls == 0
    with perturbation.applied(model, inner, epoch=2, batch=0) as done:
        assert float(done.ratio) == pytest.approx(0.05)


def test_a_frozen_or_unused_parameter_is_no_obstacle() -> None:
    model = make_model()
    model.get_parameter("0.weight").requires_grad_(False)
    model.register_parameter("unused", nn.Parameter(torch.ones(2, 2)))
    with awp(0.1).applied(model, Inner(), epoch=0, batch=0):
        assert torch.equal(model.get_parameter("unused"), torch.ones(2, 2))


def test_no_perturbation_does_not_ask_for_the_loss() -> None:
    inner = Inner()
    with NoPerturbation().applied(make_model(), inner, epoch=0, batch=0) as done:
        assert float(done.ratio) == 0.0
    assert inner.pulls == 0


def test_rwp_accumulates_as_the_reference_or_as_the_paper() -> None:
    reference, paper = (moved_by(rwp(1e6, gamma=0.9, accumulation=how)) for how in ("reference", "paper"))
    a, b = (torch.cat([moves[name].flatten() for name in ("0.weight", "4.weight")]) for moves in (reference, paper))
    assert float(a.norm()) == pytest.approx(float(b.norm()), rel=1e-5)
    assert float(a @ b / (a.norm() * b.norm())) < 0.999


def test_an_empty_mask_gives_no_perturbation_and_one_look() -> None:
    model, inner = make_model(), Inner()
    before = model.get_parameter("0.weight").detach().clone()
    with rwp(1e-9).applied(model, inner, epoch=0, batch=0) as done:
        assert torch.equal(model.get_parameter("0.weight"), before)
    assert (float(done.ratio), float(done.inner_steps), float(done.share)) == (0.0, 0.0, 0.0)
    assert inner.pulls == 1


def test_a_selection_that_empties_ends_the_loop_at_the_full_size() -> None:
    """Only the smallest loss is below c_min; v raises it above, and there it ends."""
    smallest = float(losses_of(make_model()).detach().min())
    inner = Inner()
    with rwp(smallest * 1.001).applied(make_model(), inner, epoch=0, batch=0) as done:
        assert float(done.ratio) == pytest.approx(0.05, rel=1e-5)
    assert float(done.share) == pytest.approx(0.2)
    assert 1 <= float(done.inner_steps) < 10
    assert inner.pulls == float(done.inner_steps) + 1


@pytest.mark.parametrize(("closed", "expected"), [(False, [True, False, False]), (True, [True, True, False])])
def test_a_loss_that_is_exactly_c_min(closed: bool, expected: list[bool]) -> None:
    losses = torch.tensor([1.5, 1.75, float("nan")])
    assert LossRange(high=1.75, closed=closed).select(losses).tolist() == expected


@pytest.mark.parametrize(("closed", "share"), [(False, 0.4), (True, 0.6)])
def test_rwp_at_a_loss_that_is_exactly_c_min(closed: bool, share: float) -> None:
    third = float(losses_of(make_model()).detach().sort().values[2])
    selected = LossRange(high=third, closed=closed)
    perturbation = RobustWeightPerturbation(
        ball=RelativeBall(gamma=0.05, norm="global"), selected=selected, num_steps=3
    )
    with perturbation.applied(make_model(), Inner(), epoch=0, batch=0) as done:
        assert float(done.share) == pytest.approx(share)


def test_random_noise_belongs_to_seed_epoch_and_batch() -> None:
    def noise(seed: int = 0, epoch: int = 0, batch: int = 0) -> Tensor:
        model = make_model()
        before = model.get_parameter("4.weight").detach().clone()
        perturbation = RandomWeightPerturbation(ball=RelativeBall(gamma=0.05), seed=seed)
        with perturbation.applied(model, Inner(), epoch=epoch, batch=batch):
            return model.get_parameter("4.weight").detach() - before

    assert torch.equal(noise(), noise())
    others = [noise(seed=1), noise(epoch=1), noise(batch=1)]
    assert not any(torch.equal(noise(), other) for other in others)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan, math.inf])
def test_a_gamma_that_is_no_size_is_refused(gamma: float) -> None:
    with pytest.raises(InputError, match="gamma of a weight perturbation is a finite number above 0"):
        RelativeBall(gamma=gamma)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: AfterWarmup(perturbation=awp(), num_epochs=-1), "0 epochs or more, got -1", id="warmup"),
        pytest.param(lambda: awp(num_steps=0), "at least 1 step and 1 alternation, got 0, 1", id="steps"),
        pytest.param(lambda: rwp(1.0, num_steps=0), "at least 1 step, got 0", id="rwp-steps"),
        pytest.param(lambda: rwp(1.0, accumulation="x"), "one of reference, paper, got 'x'", id="accumulation"),
        pytest.param(lambda: rwp(math.inf), "selects by a loss c_min, got all losses", id="c_min"),
        pytest.param(lambda: RelativeBall(gamma=1.0, norm="x"), "the norm of .* layer, global, got 'x'", id="norm"),
        pytest.param(lambda: RelativeBall(gamma=1.0, size="x"), "the size of .* l2, l1, got 'x'", id="size"),
        pytest.param(lambda: LossRange(low=2.0, high=1.0), "from a number to a larger one, got 2.0:1.0", id="range"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "low", "high"), [("0:1.5", 0.0, 1.5), ("1.5:inf", 1.5, math.inf), (" 0.5 : 1 ", 0.5, 1.0)]
)
def test_loss_ranges_are_read(text: str, low: float, high: float) -> None:
    assert parse_loss_range(text) == LossRange(low=low, high=high)


@pytest.mark.parametrize("text", ["", "1.5", "2:1", "a:b", "nan:1", "0:1:2"])
def test_what_is_no_loss_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"a range of losses is written 0:1\.5"):
        parse_loss_range(text)

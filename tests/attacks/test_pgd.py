from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape.attacks.pgd import FGSM, PGD, NoAttack, input_gradient
from landscape.attacks.suite import parse_attack
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError
from landscape.losses import cross_entropy


def linear_model(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Two classes with logits (+w.x, -w.x)."""
    return lambda inputs: torch.stack([inputs.flatten(1) @ weight, -(inputs.flatten(1) @ weight)], dim=1)


def l2_optimum(weight: Tensor, inputs: Tensor, epsilon: float) -> Tensor:
    """The largest drop of w.x in the L2 ball and the pixel box, for each row: bisection on the Lagrange multiplier.

    The optimum is delta_i = clip(-t w_i, -x_i, 1 - x_i) with the t >= 0 that makes ||delta|| = epsilon.
    """
    low, high = torch.zeros(len(inputs), 1, dtype=torch.float64), torch.full((len(inputs), 1), 1e9, dtype=torch.float64)
    for _ in range(200):
        middle = (low + high) / 2
        inside = (-middle * weight).clamp(-inputs, 1 - inputs).norm(dim=1, keepdim=True) <= epsilon
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return -((-low * weight).clamp(-inputs, 1 - inputs) @ weight)


def test_linf_reaches_the_optimum_of_a_linear_model_with_clipping() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, generator=generator, dtype=torch.float64)
    inputs = torch.rand(40, 3, 2, 2, generator=generator, dtype=torch.float64)
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.3), step_size=0.075, num_steps=10)
    adversarial = attack(linear_model(weight), inputs, torch.zeros(40, dtype=torch.long))
    best = (inputs.flatten(1) - 0.3 * weight.sign()).clamp(0, 1)
    assert (adversarial.flatten(1) - best).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("low", "high", "epsilon"),
    [pytest.param(0.4, 0.6, 0.2, id="box inactive"), pytest.param(0.0, 1.0, 1.2, id="box active")],
)
def test_l2_reaches_the_optimum_of_a_linear_model(low: float, high: float, epsilon: float) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(48, generator=generator, dtype=torch.float64) / 20
    inputs = low + (high - low) * torch.rand(40, 3, 4, 4, generator=generator, dtype=torch.float64)
    threat = ThreatModel(norm="l2", epsilon=epsilon)
    attack = PGD(threat=threat, step_size=threat.default_step_size, num_steps=100)
    adversarial = attack(linear_model(weight), inputs, torch.zeros(40, dtype=torch.long))
    ratio = -((adversarial - inputs).flatten(1) @ weight) / l2_optimum(weight, inputs.flatten(1), epsilon)
    assert bool((ratio <= 1 + 1e-9).all())
    if low > 0:
        assert (1 - ratio).abs().max() < 1e-5
    else:
        # Ball first, box second (the reference's order) has its fixed point a little inside the true optimum.
        assert bool((ratio >= 0.98).all()) and bool((ratio < 1 - 1e-3).any())


def reference_pgd(
    model: nn.Module, x: Tensor, y: Tensor, delta: Tensor, *, norm: str, eps: float, step: float, k: int
) -> Tensor:
    """PGD written out for one example at a time, as the reference does it."""
    rows = []
    for i in range(len(x)):
        xi, di = x[i], torch.max(torch.min(delta[i], 1 - x[i]), -x[i])
        for _ in range(k):
            di = di.clone().requires_grad_()
            loss = nn.functional.cross_entropy(model((xi + di)[None]), y[i : i + 1])
            (gradient,) = torch.autograd.grad(loss, di)
            with torch.no_grad():
                if norm == "linf":
                    di = torch.clamp(di + step * torch.sign(gradient), -eps, eps)
                else:
                    di = di + step * gradient / (gradient.norm() + 1e-10)
                    di = di * min(1.0, eps / float(di.norm()))
                di = torch.max(torch.min(di, 1 - xi), -xi)
        rows.append((xi + di).detach())
    return torch.stack(rows)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_iterates_equal_a_loop_over_single_examples(norm: str) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 16, 5)).double()
    inputs, labels = torch.rand(6, 1, 6, 6, dtype=torch.float64), torch.randint(5, (6,))
    attack = PGD(threat=ThreatModel(norm=norm, epsilon=0.2), step_size=0.06, num_steps=7)
    starts = attack.starts(torch.arange(6), (1, 6, 6), seed=4)
    assert starts is not None
    (ours,) = attack.restarts(model, inputs, labels, starts.double())
    expected = reference_pgd(model, inputs, labels, starts[0].double(), norm=norm, eps=0.2, step=0.06, k=7)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6 if norm == "l2" else 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 3),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**64 - 1),
    num_restarts=st.integers(1, 2),
)
def test_adversarial_examples_stay_in_ball_and_box(
    norm: str, epsilon: float, shape: tuple[int, int, int], seed: int, num_restarts: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    weight = torch.randn(math.prod(shape), generator=generator)
    inputs = torch.rand(5, *shape, generator=generator)
    epsilon = epsilon / 3 if norm == "linf" else epsilon
    threat = ThreatModel(norm=norm, epsilon=epsilon)
    attack = PGD(threat=threat, step_size=threat.default_step_size, num_steps=3, num_restarts=num_restarts)
    starts = attack.starts(torch.arange(5), shape, seed=seed)
    assert starts is not None
    for adversarial in attack.restarts(linear_model(weight), inputs, torch.zeros(5, dtype=torch.long), starts):
        delta = (adversarial - inputs).flatten(1)
        size = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
        assert bool((size <= epsilon + 1e-6).all())
        assert bool(((adversarial >= 0) & (adversarial <= 1)).all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_belong_to_examples_not_to_batches(norm: str) -> None:
    attack = PGD(threat=ThreatModel(norm=norm, epsilon=0.5), step_size=0.1, num_steps=1, num_restarts=3)
    ids = torch.tensor([5, 2, 9, 700])
    whole = attack.starts(ids, (1, 3, 3), seed=8)
    parts = [attack.starts(ids[i : i + 1], (1, 3, 3), seed=8) for i in (3, 1, 0, 2)]
    assert whole is not None
    for part, row in zip(parts, (3, 1, 0, 2), strict=True):
        assert part is not None and torch.equal(part[:, 0], whole[:, row])
    flat = whole.flatten(0, 1).flatten(1)
    assert len({tuple(row.tolist()) for row in flat}) == len(flat)
    sizes = flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)
    assert bool((sizes <= 0.5).all()) and float(sizes.max()) > 0.25


def test_restarts_keep_the_strongest_example() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 3))
    inputs, labels = torch.rand(20, 1, 3, 3), torch.randint(3, (20,))
    threat = ThreatModel(norm="linf", epsilon=0.4)
    many = PGD(threat=threat, step_size=0.2, num_steps=1, num_restarts=4)
    starts = many.starts(torch.arange(20), (1, 3, 3), seed=0)
    losses = torch.stack([cross_entropy(model(x), labels) for x in many.restarts(model, inputs, labels, starts)])
    best = cross_entropy(model(many(model, inputs, labels)), labels)
    torch.testing.assert_close(best, losses.max(dim=0).values)
    assert bool((best > losses[0] + 1e-4).any())


def test_the_attack_asks_for_no_parameter_gradient_and_keeps_the_inputs() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    inputs = torch.rand(3, 1, 2, 2)
    before = inputs.clone()
    input_gradient(model, inputs, torch.tensor([0, 1, 0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(inputs, before) and not inputs.requires_grad


def test_fgsm_is_one_step_of_epsilon_from_the_input() -> None:
    weight = torch.tensor([1.0, -2.0, 0.5, 0.1])
    inputs = torch.full((1, 1, 2, 2), 0.5)
    adversarial = FGSM(threat=ThreatModel(norm="linf", epsilon=0.1))(linear_model(weight), inputs, torch.tensor([0]))
    torch.testing.assert_close(adversarial.flatten(), torch.tensor([0.4, 0.6, 0.4, 0.4]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ThreatModel(norm="l1", epsilon=0.1), "the norm of a threat model is one of linf, l2, got 'l1'."),
        (lambda: ThreatModel(norm="l2", epsilon=-1), "epsilon is a finite number of at least 0, got -1."),
        (lambda: ThreatModel(norm="l2", epsilon=math.nan), "epsilon is a finite number of at least 0, got nan."),
        (
            lambda: ThreatModel(norm="linf", epsilon=8),
            "inputs lie in [0, 1], so an L-inf epsilon is at most 1, got 8; is it 8/255?",
        ),
        (lambda: _pgd(num_steps=0), "an attack has at least 1 step and 1 restart, got 0, 1."),
        (lambda: _pgd(num_restarts=0), "an attack has at least 1 step and 1 restart, got 1, 0."),
        (lambda: _pgd(step_size=math.inf), "the step size of an attack is a finite number of at least 0, got inf."),
        (
            lambda: _pgd(random_start=False, num_restarts=2),
            "restarts without a random start are all equal; ask for 1, got 2.",
        ),
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as failure:
        build()
    assert str(failure.value) == message


def _pgd(**settings: object) -> PGD:
    chosen: dict[str, object] = {"step_size": 0.1, "num_steps": 1} | settings
    return PGD(threat=ThreatModel(norm="linf", epsilon=0.1), **chosen)  # type: ignore[arg-type]  # wrong on purpose


THREAT = ThreatModel(norm="linf", epsilon=0.2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pgd-10", PGD(threat=THREAT, step_size=0.05, num_steps=10)),
        ("pgd-20:step=1/10", PGD(threat=THREAT, step_size=0.1, num_steps=20)),
        ("pgd-20:step=0.1,restarts=3", PGD(threat=THREAT, step_size=0.1, num_steps=20, num_restarts=3)),
        ("fgsm", PGD(threat=THREAT, step_size=0.2, num_steps=1, random_start=False)),
        ("fgsm-rs", PGD(threat=THREAT, step_size=0.2, num_steps=1)),
        ("PGD-10", PGD(threat=THREAT, step_size=0.05, num_steps=10)),
        ("none", NoAttack()),
    ],
)
def test_attacks_by_name(text: str, expected: object) -> None:
    assert parse_attack(text, THREAT) == expected


@pytest.mark.parametrize("text", ["pgd", "pgd-x", "pgd-0", "cw", "", "pgd-10:step=a", "pgd-10:steps=3", "none:step=1"])
def test_unknown_attack_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="attack"):
        parse_attack(text, THREAT)


def test_an_attack_without_threat_model_asks_for_one() -> None:
    with pytest.raises(InputError, match="needs a threat model; give --norm and --epsilon"):
        parse_attack("pgd-10", None)

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.training.objectives import OBJECTIVES, Batch
from landscape.training.perturbations import AdversarialWeightPerturbation, NoPerturbation, Perturbation
from landscape.training.step import Recipe, make_optimizer, update
from tests.oracles import LiteralTrainer

LR, DECAY, GAMMA = 0.1, 0.5, 0.3
ATTACKS = {
    "linf": {"norm": "linf", "epsilon": 0.15, "step_size": 0.04, "num_steps": 10},
    "l2": {"norm": "l2", "epsilon": 0.6, "step_size": 0.1, "num_steps": 10},
}
SHAPE = (2, 5, 5)


def make_model(seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 3),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model.train()


def make_batch(step: int, epsilon: float) -> Batch:
    generator = torch.Generator().manual_seed(100 + step)
    starts = epsilon * (2 * torch.rand(1, 6, *SHAPE, generator=generator, dtype=torch.float64) - 1)
    inputs = torch.rand(6, *SHAPE, generator=generator, dtype=torch.float64)
    return Batch(inputs=inputs, labels=torch.randint(3, (6,), generator=generator), starts=starts)


def make_recipe(objective: str, perturbation: Perturbation, *, norm: str = "linf", decay: float = DECAY) -> Recipe:
    chosen: dict[str, Any] = dict(ATTACKS[norm])
    threat = ThreatModel(norm=chosen.pop("norm"), epsilon=chosen.pop("epsilon"))
    return Recipe(
        objective=OBJECTIVES[objective],
        perturbation=perturbation,
        attack=PGD(threat=threat, **chosen),
        weight_decay=decay,
    )


@pytest.mark.parametrize(
    ("objective", "gamma", "norm", "passes"),
    [
        pytest.param("natural", 0.0, "linf", 1, id="natural"),
        pytest.param("at", 0.0, "linf", 13, id="at"),
        pytest.param("at", 0.0, "l2", 13, id="at-l2"),
        pytest.param("at", GAMMA, "linf", 13, id="at-awp"),
        pytest.param("at", GAMMA, "l2", 13, id="at-awp-l2"),
    ],
)
def test_three_steps_are_those_of_a_literal_trainer(objective: str, gamma: float, norm: str, passes: int) -> None:
    model = make_model()
    oracle = LiteralTrainer(model.state_dict())
    optimizer = make_optimizer(model, LR)
    recipe = make_recipe(
        objective, AdversarialWeightPerturbation(gamma=gamma) if gamma else NoPerturbation(), norm=norm
    )
    attack: dict[str, Any] = ATTACKS[norm]
    for step in range(3):
        batch = make_batch(step, attack["epsilon"])
        assert batch.starts is not None
        start = batch.starts[0] if objective == "at" else None
        expected = oracle.step(batch.inputs, batch.labels, start, lr=LR, decay=DECAY, gamma=gamma, **attack)
        loss, ratio = update(model, optimizer, batch, recipe, epoch=0)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
        assert ratio.item() == pytest.approx(gamma, abs=1e-12)
    state = model.state_dict()
    for name, tensor in {**oracle.weights, **oracle.buffers}.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-12, msg=name)
    for name, parameter in model.named_parameters():
        buffer = optimizer.state[parameter]["momentum_buffer"]
        torch.testing.assert_close(buffer, oracle.momentum[name], rtol=0, atol=1e-12, msg=name)
    assert int(state["1.num_batches_tracked"]) == 3 * passes


def test_awp_costs_one_more_forward_and_one_more_parameter_gradient() -> None:
    assert _passes("at", AdversarialWeightPerturbation(gamma=GAMMA)) == {"forward": 14, "input": 10, "weight": 2}
    assert _passes("at", NoPerturbation()) == {"forward": 13, "input": 10, "weight": 1}
    assert _passes("natural", NoPerturbation()) == {"forward": 1, "input": 0, "weight": 1}
    assert _passes("at", AdversarialWeightPerturbation(gamma=GAMMA, warmup=1))["forward"] == 13


def _passes(objective: str, perturbation: Perturbation) -> dict[str, int]:
    """Counts of one update: forward passes, gradients that reach the inputs, gradients that reach the weights."""
    model = make_model()
    counts = {"forward": 0, "input": 0, "weight": 0}

    def count(name: str) -> None:
        counts[name] += 1

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, tensor: Tensor) -> Tensor:
            return tensor.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            count("input")
            return gradient

    def before(module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        count("forward")
        return (Watched.apply(arguments[0]),)  # type: ignore[no-untyped-call]

    model.register_forward_pre_hook(before)
    weight: Any = model.get_parameter("0.weight")
    weight.register_hook(lambda gradient: count("weight"))
    update(model, make_optimizer(model, LR), make_batch(0, 0.15), make_recipe(objective, perturbation), epoch=0)
    return counts


def test_weight_decay_reaches_every_parameter_that_has_a_gradient() -> None:
    plain, decayed = make_model(), make_model()
    for model, decay in ((plain, 0.0), (decayed, 0.5)):
        update(
            model,
            make_optimizer(model, LR),
            make_batch(0, 0.1),
            make_recipe("natural", NoPerturbation(), decay=decay),
            epoch=0,
        )
    start = dict(make_model().named_parameters())
    for (name, a), b in zip(plain.named_parameters(), decayed.parameters(), strict=True):
        torch.testing.assert_close(a - b, LR * 0.5 * start[name], rtol=0, atol=1e-12)


def test_the_step_does_not_draw_global_random_numbers_nor_change_the_mode() -> None:
    model, before = make_model(), torch.get_rng_state()
    update(
        model,
        make_optimizer(model, LR),
        make_batch(0, 0.1),
        make_recipe("at", AdversarialWeightPerturbation(gamma=0.1)),
        epoch=0,
    )
    assert torch.equal(before, torch.get_rng_state())
    assert model.training

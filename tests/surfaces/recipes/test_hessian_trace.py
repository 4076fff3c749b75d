from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from landscape.attacks.pgd import PGD, strongest
from landscape.attacks.threat import ThreatModel
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.surfaces.recipes.hessian_trace import HessianTraceProbes
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import ATTACK, network, tiny, tiny_examples

TINY_ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.05, num_steps=5)


def dense_hessian(net: nn.Module, recipe: HessianTraceProbes) -> Tensor:
    """d^2 L / dw^2 on the examples made at w, as a matrix over all parameters in their order."""
    weights, examples = parameters_of(net), recipe.examples
    inputs = examples.inputs.double()
    if recipe.attack is not None:
        inputs = strongest(recipe.attack, net, inputs, examples.labels, ids=examples.ids, seed=recipe.seed)
    flat = torch.cat([weight.reshape(-1) for weight in weights.values()])

    def loss(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [weight.numel() for weight in weights.values()])
        placed = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(net, placed, (inputs,)), examples.labels)

    hessian: Tensor = jacrev(jacrev(loss))(flat)
    return hessian


@pytest.mark.parametrize("attack", [TINY_ATTACK, None], ids=["adversarial", "natural"])
def test_quadratic_forms_are_those_of_the_dense_hessian(attack: PGD | None) -> None:
    net = tiny(nn.Tanh())
    recipe = HessianTraceProbes(model=net, examples=tiny_examples(), attack=attack, count=300)
    weights, hessian = parameters_of(net), dense_hessian(net, recipe)
    forms = torch.tensor(recipe.quadratic_forms(weights), dtype=torch.float64)
    for index in range(5):
        probe = recipe.direction(weights, index)
        v = torch.cat([part.reshape(-1) for part in probe.values()])
        assert list(probe) == list(weights) and set(v.tolist()) == {-1.0, 1.0}
        assert float(forms[index]) == pytest.approx(float(v @ hessian @ v), rel=1e-9)
    error = float(forms.std()) / 300**0.5
    assert abs(float(forms.mean()) - float(torch.trace(hessian))) < 4 * error


def test_the_variance_of_the_forms_is_twice_the_squares_off_the_diagonal() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)).double()
    recipe = HessianTraceProbes(model=net, examples=tiny_examples(6), attack=None, count=40)
    hessian = dense_hessian(net, recipe)
    spread = torch.tensor(recipe.quadratic_forms(parameters_of(net))).std()
    off_diagonal = hessian - torch.diag(torch.diag(hessian))
    assert float(spread) == pytest.approx(float((2 * (off_diagonal**2).sum()).sqrt()), rel=0.35)


def test_single_precision_and_the_layers_asked_for() -> None:
    examples = load_examples("digits", split="train", num_examples=60)
    net = network(0)
    single = HessianTraceProbes(model=net, examples=examples, attack=ATTACK, count=2, layers="^4")
    assert single.moving(parameters_of(net)) == ["4.weight", "4.bias"]
    ours = single.quadratic_forms(parameters_of(net))
    double = replace(single, model=network(0).double())
    assert ours == pytest.approx(double.quadratic_forms(parameters_of(network(0).double())), rel=1e-3)
    assert ours == replace(single).facts(parameters_of(net), 1)["quadratic_forms"]


def test_the_key_holds_probes_and_content() -> None:
    net, examples = tiny(nn.ReLU()), tiny_examples()
    recipe = HessianTraceProbes(model=net, examples=examples, attack=TINY_ATTACK, count=2)
    for other in ({"count": 3}, {"attack": None}, {"seed": 1}, {"layers": "1"}, {"examples": examples.take([1, 2])}):
        assert replace(recipe, **other).settings() != recipe.settings()
    assert recipe.landmarks(parameters_of(net), 1) == []


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="a trace takes at least 1 probe, got 0"):
        HessianTraceProbes(model=tiny(nn.ReLU()), examples=tiny_examples(), attack=None, count=0)

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from landscape.attacks.pgd import PGD, strongest
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.recipes.worst_case import WorstCaseDirection
from landscape.surfaces.surface import Grid
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import ATTACK, network

R = 0.01


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=60)


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint("digits-at")


def attack_of(checkpoint: Checkpoint) -> PGD:
    assert checkpoint.threat is not None
    return PGD(threat=checkpoint.threat, step_size=0.0375, num_steps=10)


def changes(checkpoint: Checkpoint, examples: Examples, recipe: Any, count: int) -> tuple[Any, Any]:
    """(D,) changes of the mean adversarial loss at -R and R."""
    surface = compute_surface(
        checkpoint,
        examples,
        attack=attack_of(checkpoint),
        directions=recipe,
        num_directions=count,
        grid=Grid(alpha=(-R, R)),
        device="cpu",
    )
    below, above = (surface.mean() - surface.centre_mean()).T
    return below, above


@pytest.mark.parametrize("name", ["digits-at", "digits-at-awp"])
def test_loss_rises_far_more_than_along_random_directions_and_falls_behind(name: str, examples: Examples) -> None:
    checkpoint = load_checkpoint(name)
    recipe = WorstCaseDirection(model=checkpoint, examples=examples, attack=attack_of(checkpoint))
    below, above = changes(checkpoint, examples, recipe, 1)
    random_below, random_above = changes(checkpoint, examples, RandomDirections(norm="layer"), 10)
    largest = ((random_below + random_above) / 2).max()
    assert above[0] >= 5 * max(largest, random_above.max(), random_below.max()) > 0
    assert below[0] < 0


def test_ten_steps_rise_at_least_as_much_as_one(bundled: Checkpoint, examples: Examples) -> None:
    recipe = WorstCaseDirection(model=bundled, examples=examples, attack=attack_of(bundled))
    ten, one = (changes(bundled, examples, replace(recipe, num_steps=steps), 1)[1][0] for steps in (10, 1))
    assert ten >= one


def test_one_step_is_the_perturbation_of_the_awp_paper(bundled: Checkpoint) -> None:
    few = load_examples("digits", split="train", num_examples=30)
    attack = attack_of(bundled)
    recipe = WorstCaseDirection(model=bundled, examples=few, attack=attack, num_steps=1, seed=3)
    direction = recipe.direction(parameters_of(bundled.model), 0)
    inputs = strongest(attack, bundled.model, few.inputs, few.labels, ids=few.ids, seed=3)
    loss = torch.nn.functional.cross_entropy(bundled.model(inputs), few.labels)
    matrices = {name: p for name, p in bundled.model.named_parameters() if p.dim() > 1}
    gradients = torch.autograd.grad(loss, list(matrices.values()))
    assert list(direction) == list(matrices)
    for (name, weight), gradient in zip(matrices.items(), gradients, strict=True):
        expected = weight.detach().norm() * gradient / gradient.norm()
        torch.testing.assert_close(direction[name], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_every_layer_has_the_length_of_its_weights() -> None:
    net, few = network(0), load_examples("digits", split="train", num_examples=10)
    weights = parameters_of(net)
    direction = WorstCaseDirection(model=net, examples=few, attack=ATTACK, num_steps=3).direction(weights, 0)
    assert list(direction) == ["0.weight", "4.weight"]
    for name, part in direction.items():
        assert float(part.norm()) == pytest.approx(float(weights[name].norm()), rel=1e-5)
    only = WorstCaseDirection(model=net, examples=few, attack=None, layers="^4").direction(weights, 0)
    assert list(only) == ["4.weight"]


def test_the_model_is_not_touched() -> None:
    net, few = network(0).train(), load_examples("digits", split="train", num_examples=10)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    WorstCaseDirection(model=net, examples=few, attack=ATTACK, num_steps=2).direction(parameters_of(net), 0)
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_the_key_holds_model_examples_attack_and_ascent() -> None:
    net, few = network(0), load_examples("digits", split="train", num_examples=10)
    recipe = WorstCaseDirection(model=net, examples=few, attack=ATTACK)
    variants: list[dict[str, Any]] = [
        {},
        {"model": network(1)},
        {"examples": few.take(range(9))},
        {"attack": replace(ATTACK, num_steps=4)},
        {"attack": None},
        {"gamma": 0.02},
        {"num_steps": 2},
        {"layers": "4"},
        {"seed": 1},
    ]
    settings = [str(replace(recipe, **variant).settings()) for variant in variants]
    assert len(set(settings)) == len(variants)
    assert str(replace(recipe, device=torch.device("cpu")).settings()) == settings[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 0.0}, "gamma of a worst-case direction is a finite number above 0, got 0."),
        ({"num_steps": 0}, "a worst-case direction takes at least 1 step, got 0."),
        ({"layers": "("}, "the layers '(' are no regular expression"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as failure:
        WorstCaseDirection(model=network(0), examples=load_examples("digits", num_examples=2), attack=None, **wrong)
    assert str(failure.value).startswith(message)


def test_the_second_axis_of_a_plane_is_random() -> None:
    weights, few = parameters_of(network(0)), load_examples("digits", split="train", num_examples=2)
    second = WorstCaseDirection(model=network(0), examples=few, attack=None, seed=4).direction(weights, 1)
    expected = RandomDirections(seed=4, norm="layer").direction(weights, 1)
    assert all(torch.equal(second[name], expected[name]) for name in expected)

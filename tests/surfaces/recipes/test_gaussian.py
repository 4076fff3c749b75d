from __future__ import annotations

import math

import pytest
import torch

from landscape.errors import InputError
from landscape.surfaces.recipes.gaussian import GaussianWeights
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import network


@pytest.mark.parametrize("sigma", ["layer", "literal"])
def test_the_size_of_every_layer_is_that_of_its_weights(sigma: str) -> None:
    weights = parameters_of(network())
    recipe = GaussianWeights(sigma=sigma)
    draws = [recipe.direction(weights, index) for index in range(20)]
    assert list(draws[0]) == ["0.weight", "4.weight"]
    for name in draws[0]:
        count = weights[name].numel()
        squares = sum(float(draw[name].double().square().sum()) for draw in draws) / 20
        expected = float(weights[name].double().norm()) ** 2 * (1 if sigma == "layer" else count)
        assert squares == pytest.approx(expected, rel=5 * math.sqrt(2 / (20 * count)))


def test_draws_are_independent_of_one_another_and_the_same_for_models_of_one_shape() -> None:
    weights, others = parameters_of(network(0)), parameters_of(network(1))
    recipe = GaussianWeights()
    first, second = (recipe.direction(weights, index)["4.weight"].reshape(-1) for index in (0, 1))
    assert abs(float(torch.nn.functional.cosine_similarity(first, second, dim=0))) < 5 / math.sqrt(len(first))
    theirs = recipe.direction(others, 0)["4.weight"].reshape(-1)
    torch.testing.assert_close(theirs / others["4.weight"].norm(), first / weights["4.weight"].norm())
    assert torch.equal(recipe.direction(weights, 0)["4.weight"].reshape(-1), first)
    assert not torch.equal(GaussianWeights(seed=1).direction(weights, 0)["4.weight"].reshape(-1), first)


def test_only_the_named_layers_move_and_their_draws_stay() -> None:
    weights = parameters_of(network())
    part = GaussianWeights(layers="^4").direction(weights, 3)
    assert list(part) == ["4.weight"]
    assert torch.equal(part["4.weight"], GaussianWeights().direction(weights, 3)["4.weight"])


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="one of layer, literal, got 'paper'"):
        GaussianWeights(sigma="paper")
    with pytest.raises(InputError, match="no regular expression"):
        GaussianWeights(layers="(")
    with pytest.raises(InputError, match="no parameter moves"):
        GaussianWeights(layers="nowhere").moving(parameters_of(network()))

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import InputError
from landscape.models.normalize import NormalizedModel
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.layer_shares import layer_shares
from landscape.weights import parameters_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 10))


@pytest.mark.parametrize("norm", ["filter", "layer", "model", "none"])
def test_shares_are_squared_lengths_of_the_parts(norm: str) -> None:
    net, recipe = network(), RandomDirections(norm=norm, one_dim="element", seed=3)
    direction = recipe.direction(parameters_of(net), 0)
    squares = {name: float((part.double().numpy() ** 2).sum()) for name, part in direction.items()}
    found = layer_shares(net, recipe)
    assert [one.name for one in found] == [name for name, _ in net.named_parameters()]
    for one in found:
        assert one.share == pytest.approx(squares[one.name] / sum(squares.values()), rel=1e-9)
    assert sum(one.share for one in found) == pytest.approx(1.0)


def test_filter_normalized_shares_are_those_of_the_weights() -> None:
    net = network()
    weights = {name: weight.double().numpy() for name, weight in parameters_of(net).items() if weight.dim() > 1}
    total = sum((weight**2).sum() for weight in weights.values())
    found = {one.name: one for one in layer_shares(net, RandomDirections())}
    for name, weight in weights.items():
        assert found[name].share == pytest.approx((weight**2).sum() / total, rel=1e-5)
    assert found["0.weight"].shape == (6, 1, 3, 3)
    assert [found[name].num_filters for name in ("0.weight", "3.weight", "1.weight")] == [6, 10, 0]
    np.testing.assert_array_equal([one.moves for one in found.values()], [True, False, False, False, True, False])


def test_a_pattern_moves_its_matches_alone_whatever_normalizes_the_inputs() -> None:
    found = layer_shares(NormalizedModel(network(), (0.5,), (0.5,)), RandomDirections(layers="^3"))
    assert {one.name: one.share for one in found if one.moves} == {"3.weight": 1.0}
    assert {one.share for one in found if not one.moves} == {0.0}


def test_a_model_of_zeros_has_no_shares() -> None:
    net = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(net.weight)
    assert [one.share for one in layer_shares(net, RandomDirections())] == [0.0]


def test_nothing_that_moves_is_refused() -> None:
    with pytest.raises(InputError, match="no parameter moves"):
        layer_shares(network(), RandomDirections(layers="nothing"))

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from landscape.errors import InputError
from landscape.surfaces.directions import RandomDirections, filter_normalized, normalized, random_direction
from landscape.weights import Weights, parameters_of


def network() -> nn.Sequential:
    """Every kind of filter: plain, grouped, depthwise and pointwise convolutions, BatchNorm, linear rows."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 16, 1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def frobenius(values: torch.Tensor) -> float:
    return math.sqrt(sum(float(value) ** 2 for value in values.reshape(-1)))


def test_every_filter_of_the_direction_has_its_filters_norm() -> None:
    weights = parameters_of(network())
    direction = filter_normalized(random_direction(weights, seed=1, index=0), weights)
    checked = 0
    for name, weight in weights.items():
        if weight.dim() <= 1:
            assert name not in direction
            continue
        for filter_w, filter_d in zip(weight, direction[name], strict=True):
            assert frobenius(filter_d) == pytest.approx(frobenius(filter_w), rel=1e-6)
            checked += 1
    assert checked == 8 + 8 + 8 + 16 + 5


def test_literal_transcription_of_the_formula() -> None:
    weights = parameters_of(network())
    draws = random_direction(weights, seed=3, index=2)
    direction = filter_normalized(draws, weights)
    for name, d in direction.items():
        for f in range(len(d)):
            expected = draws[name][f].double() / frobenius(draws[name][f]) * frobenius(weights[name][f])
            torch.testing.assert_close(d[f].double(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("norm", "pieces"),
    [
        ("layer", lambda parts: list(parts.values())),
        ("model", lambda parts: [torch.cat([part.reshape(-1) for part in parts.values()])]),
    ],
)
def test_coarser_norms(norm: str, pieces: object) -> None:
    weights = parameters_of(network())
    direction = normalized(random_direction(weights, seed=0, index=0), weights, norm=norm, one_dim="zero")
    kept = {name: weights[name] for name in direction}
    for d, w in zip(pieces(direction), pieces(kept), strict=True):  # type: ignore[operator]
        assert frobenius(d) == pytest.approx(frobenius(w), rel=1e-6)


def test_no_norm_keeps_the_gaussian_numbers() -> None:
    weights = parameters_of(network())
    draws = random_direction(weights, seed=0, index=0)
    direction = normalized(draws, weights, norm="none", one_dim="zero")
    assert all(torch.equal(direction[name], draws[name]) for name in direction)


def test_one_dimensional_parameters_follow_their_rule() -> None:
    weights = parameters_of(network())
    vectors = [name for name, weight in weights.items() if weight.dim() == 1]
    draws = random_direction(weights, seed=0, index=0)
    copied = normalized(draws, weights, norm="filter", one_dim="copy")
    signed = normalized(draws, weights, norm="filter", one_dim="element")
    for name in vectors:
        assert torch.equal(copied[name], weights[name])
        assert torch.equal(signed[name].abs(), weights[name].abs())
        assert torch.equal(signed[name], draws[name].sign() * weights[name].abs())


def test_a_filter_of_zeros_gives_a_direction_of_zeros() -> None:
    weights = {"w": torch.ones(3, 4)}
    weights["w"][1] = 0
    draws = random_direction(weights, seed=0, index=0)
    assert torch.equal(filter_normalized(draws, weights)["w"][1], torch.zeros(4))
    still = filter_normalized({"w": torch.zeros(3, 4)}, weights)["w"]
    assert torch.equal(still, torch.zeros(3, 4))


def cosine(a: Weights, b: Weights) -> float:
    x, y = (torch.cat([part.reshape(-1).double() for part in d.values()]) for d in (a, b))
    return float(x @ y / (x.norm() * y.norm()))


def test_directions_are_centred_distinct_and_nearly_orthogonal() -> None:
    weights = parameters_of(network())
    recipe = RandomDirections(seed=7)
    directions = [recipe.direction(weights, index) for index in range(6)]
    filters = [(filter_w.numel(), frobenius(filter_w) ** 2) for w in directions[0] for filter_w in weights[w]]
    s = math.sqrt(sum(size**2 / n for n, size in filters)) / sum(size for _, size in filters)
    for i in range(6):
        values = torch.cat([part.reshape(-1) / part.std() for part in directions[i].values()])
        assert abs(float(values.mean())) < 5 / math.sqrt(len(values))
        for j in range(i):
            assert abs(cosine(directions[i], directions[j])) <= 5 * s


def test_direction_depends_on_seed_and_index_alone() -> None:
    weights = parameters_of(network())
    again = {name: weight * 2 for name, weight in weights.items()}
    first, second = random_direction(weights, seed=4, index=1), random_direction(again, seed=4, index=1)
    assert all(torch.equal(first[name], second[name]) for name in weights)
    assert cosine(first, random_direction(weights, seed=4, index=2)) < 0.5
    assert cosine(first, random_direction(weights, seed=5, index=1)) < 0.5
    doubled = RandomDirections(seed=4).direction(again, 1)
    for name, part in RandomDirections(seed=4).direction(weights, 1).items():
        torch.testing.assert_close(doubled[name], 2 * part)


def test_only_the_named_layers_move() -> None:
    direction = RandomDirections(layers=r"^(0|6)\.").direction(parameters_of(network()), 0)
    assert list(direction) == ["0.weight", "6.weight"]
    whole = RandomDirections().direction(parameters_of(network()), 0)
    assert torch.equal(direction["6.weight"], whole["6.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "filters"}, "directions are normalized by filter, layer, model, none, got 'filters'."),
        ({"one_dim": "skip"}, "one-dimensional parameters follow zero, copy, element, got 'skip'."),
        ({"layers": "("}, "the layers '(' are no regular expression"),
    ],
)
def test_unknown_rules_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as failure:
        RandomDirections(**settings)  # type: ignore[arg-type]
    assert str(failure.value).startswith(message)


def test_a_direction_in_which_nothing_moves_is_refused() -> None:
    message = r"no parameter moves with layers 'nothing' .* the model has 0.weight, 0.bias, "
    with pytest.raises(InputError, match=message):
        RandomDirections(layers="nothing").direction(parameters_of(network()), 0)

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks.measure import measure
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.recipes.interpolation import Interpolation
from landscape.surfaces.surface import Grid, Surface
from landscape.surfaces.sweep import Sweep
from landscape.weights import parameters_of, state_of
from tests.surfaces.recipes.nets import ATTACK, network, statistics


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=12)


def surface_of(net: nn.Module, examples: Examples, grid: Grid | str, *others: nn.Module, **changes: Any) -> Surface:
    recipe = Interpolation(others=others, **changes)
    return compute_surface(
        net, examples, attack=ATTACK, directions=recipe, num_directions=1, grid=grid, device="cpu", batch_size=12
    )


def assert_same_point(surface: Surface, index: tuple[int, ...], other: Surface) -> None:
    for name, array in other.centre.arrays().items():
        np.testing.assert_array_equal(surface.arrays[name][index], array, err_msg=name)


def test_the_ends_are_the_two_models_bit_for_bit(examples: Examples) -> None:
    a, b = network(0), network(1)
    surface = surface_of(a, examples, "0:1:5", b)
    assert_same_point(surface, (0, 0), surface)
    assert_same_point(surface, (0, 4), surface_of(b, examples, "0:1:2", a))
    assert not np.array_equal(surface.adversarial_loss[0, 0], surface.adversarial_loss[0, 4])


def test_states_are_loaded_at_the_ends_and_mixed_between_them() -> None:
    a, b = network(0), network(1)
    statistics(b)[2].add_(7)
    center, other = state_of(a), state_of(b)
    recipe = Interpolation(others=[b])
    assert recipe.state(center, {}) is center and recipe.state(center, {0: 0.0}) is center
    end = recipe.state(center, {0: 1.0})
    assert list(end) == list(center) and all(torch.equal(end[name], other[name]) for name in other)
    for t in (0.3, -0.2, 1.4):
        mixed = recipe.state(center, {0: t})
        for name in center:
            if center[name].is_floating_point():
                expected = (1 - t) * center[name].double() + t * other[name].double()
                torch.testing.assert_close(mixed[name].double(), expected, rtol=1e-6, atol=1e-7)
            else:
                assert torch.equal(mixed[name], center[name])


def test_a_node_between_is_measured_on_mixed_weights_and_statistics(examples: Examples) -> None:
    a, b = network(0), network(1)
    surface = surface_of(a, examples, "0:1:3", b)
    mixed = copy.deepcopy(a)
    state = {name: (x + y) / 2 if x.is_floating_point() else x for (name, x), y in zip(
        a.state_dict().items(), b.state_dict().values(), strict=True
    )}  # fmt: skip
    mixed.load_state_dict(state)
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    expected = measure(mixed.requires_grad_(False), examples.inputs, examples.labels, ATTACK, starts=starts)
    np.testing.assert_allclose(surface.adversarial_loss[0, 1], expected.adversarial_loss, rtol=1e-4, atol=1e-5)
    frozen = copy.deepcopy(mixed)
    for there, here in zip(statistics(frozen), statistics(a), strict=True):
        there.copy_(here)
    wrong = measure(frozen, examples.inputs, examples.labels, ATTACK, starts=starts)
    assert np.abs(wrong.adversarial_loss - expected.adversarial_loss).max() > 0.01


def test_the_centre_is_itself_again_after_the_other_end(examples: Examples) -> None:
    a, b = network(0), network(1)
    plan = plan_surface(
        a, examples, attack=ATTACK, directions=Interpolation(others=[b]), num_directions=1, grid="0:1:2", device="cpu"
    ).ready()
    sweep = Sweep(plan.model, examples, plan.settings, plan.device)
    before, there, after = sweep((-1,)), sweep((0, 1)), sweep((-1,))
    np.testing.assert_array_equal(before.adversarial_loss, after.adversarial_loss)
    assert not np.array_equal(before.adversarial_loss, there.adversarial_loss)
    assert torch.equal(statistics(a)[1], statistics(network(0))[1])


def test_a_plane_goes_through_three_models(examples: Examples) -> None:
    nets = [network(seed) for seed in range(3)]
    surface = surface_of(nets[0], examples, Grid.parse("0:1:2", "0:1:2"), *nets[1:])
    assert_same_point(surface, (0, 0, 0), surface)
    assert_same_point(surface, (0, 1, 0), surface_of(nets[1], examples, "0:1:2", nets[0]))
    assert_same_point(surface, (0, 0, 1), surface_of(nets[2], examples, "0:1:2", nets[0]))
    marks = surface.provenance[0]["directions"]["landmarks"]
    assert [mark["position"] for mark in marks] == [[1.0, 0.0], [0.0, 1.0]]
    assert marks[0]["loss"] == pytest.approx(float(surface.mean()[0, 1, 0]))
    assert marks[1]["natural-error"] == pytest.approx(float(surface.mean("natural-error")[0, 0, 1]))


def test_orthogonal_axes_keep_the_plane_and_say_where_the_models_lie() -> None:
    nets = [network(seed) for seed in range(3)]
    weights, center = parameters_of(nets[0]), state_of(nets[0])
    plain, orthogonal = (Interpolation(others=nets[1:], orthogonal=flag) for flag in (False, True))
    first, second = (torch.cat([d.reshape(-1) for d in orthogonal.direction(weights, i).values()]) for i in (0, 1))
    old = torch.cat([d.reshape(-1) for d in plain.direction(weights, 1).values()])
    assert abs(float(first @ second)) < 1e-5 * float(first.norm() * second.norm())
    assert float(second.norm()) == pytest.approx(float(old.norm()), rel=1e-5)
    for mark, net in zip(orthogonal.landmarks(weights, 2), nets[1:], strict=True):
        found = orthogonal.state(center, dict(enumerate(mark.position)))
        for name, tensor in state_of(net).items():
            if tensor.is_floating_point():
                torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)
    assert orthogonal.settings() != plain.settings()


def test_models_on_one_line_span_no_orthogonal_plane() -> None:
    a, b = network(0), network(1)
    with pytest.raises(InputError, match="the models of a plane lie on one line; name another one"):
        Interpolation(others=[b, b], orthogonal=True).direction(parameters_of(a), 1)


def test_a_negative_variance_outside_the_range_is_refused(examples: Examples) -> None:
    a, b = network(0), network(1)
    statistics(b)[1].mul_(0.1)
    with pytest.raises(InputError) as failure:
        surface_of(a, examples, "0:2:5", b)
    assert str(failure.value) == (
        "the running variance 1.running_var would be negative at t = 2; stay closer to the range [0, 1]."
    )
    assert surface_of(a, examples, "-0.5:1:4", b).complete


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(0, width=4), "Sequential is another network than the one at the centre: 0.weight is"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "only one of them has 0.weight."),
        (nn.Sequential(*network(0), nn.BatchNorm1d(10, affine=False)), "only one of them has 5.running_mean."),
    ],
    ids=["shape", "parameters", "buffers"],
)
def test_other_networks_are_refused(other: nn.Module, message: str, examples: Examples) -> None:
    with pytest.raises(InputError) as failure:
        surface_of(network(0), examples, "0:1:2", other)
    assert message in str(failure.value)


def test_as_many_models_as_directions(examples: Examples) -> None:
    with pytest.raises(InputError, match="needs at least one other model, got none"):
        surface_of(network(0), examples, "0:1:2")
    with pytest.raises(InputError, match="direction 2 of an interpolation leads to another model, got 1"):
        surface_of(network(0), examples, Grid.parse("0:1:2", "0:1:2"), network(1))


def test_the_key_follows_the_content_of_the_other_model(examples: Examples) -> None:
    moved = network(1)
    statistics(moved)[0][0] += 1
    keys = {
        plan_surface(
            network(0), examples, attack=None, directions=Interpolation(others=[b]), num_directions=1, grid="0:1:2"
        ).key
        for b in (network(1), network(1), moved, network(2))
    }
    assert len(keys) == 3

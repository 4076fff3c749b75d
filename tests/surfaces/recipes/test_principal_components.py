from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks.measure import measure
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.recipes.principal_components import PrincipalComponents, random_walk_variance
from landscape.surfaces.surface import Grid
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import ATTACK, network, statistics


def walk(num: int) -> list[nn.Sequential]:
    """A path of networks, each a random step from the one before."""
    generator = torch.Generator().manual_seed(0)
    nets = [network(0)]
    for step in range(1, num):
        nets.append(network(0))
        nets[-1].load_state_dict(nets[-2].state_dict())
        with torch.no_grad():
            for parameter in nets[-1].parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3 / step)
        statistics(nets[-1])[0].add_(0.1)
    return nets


def matrix(nets: list[nn.Sequential]) -> np.ndarray:
    rows = [torch.cat([p.detach().double().reshape(-1) for p in net.parameters()]) for net in nets]
    return torch.stack(rows).numpy()


def test_components_shares_and_coordinates_are_those_of_a_singular_value_decomposition() -> None:
    nets = walk(6)
    points = matrix(nets)
    _, singular, components = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    recipe, weights = PrincipalComponents(path=nets[:-1]), parameters_of(nets[-1])
    shares = recipe.explained_variance(weights)
    np.testing.assert_allclose(shares, (singular**2 / (singular**2).sum())[:5], rtol=1e-6)
    marks = recipe.landmarks(weights, 3)
    for k in range(3):
        ours = torch.cat([part.reshape(-1) for part in recipe.direction(weights, k).values()]).double().numpy()
        assert np.linalg.norm(ours) == pytest.approx(1, rel=1e-5)
        assert abs(ours @ components[k]) == pytest.approx(1, rel=1e-5)
        np.testing.assert_allclose(
            [mark.position[k] for mark in marks], (points[:-1] - points[-1]) @ ours, rtol=1e-4, atol=1e-5
        )
        assert marks[0].position[k] >= 0


def test_the_plane_holds_the_last_checkpoint_at_the_origin_and_the_path_has_its_own_losses() -> None:
    nets, examples = walk(4), load_examples("digits", split="train", num_examples=12)
    recipe = PrincipalComponents(path=nets[:-1], names=["one", "two", "three"])
    surface = compute_surface(
        nets[-1],
        examples,
        attack=ATTACK,
        directions=recipe,
        num_directions=1,
        grid=Grid(alpha=(0.0, 1.0), beta=(0.0, 1.0)),
        device="cpu",
        batch_size=12,
    )
    np.testing.assert_array_equal(surface.adversarial_loss[0, 0, 0], surface.centre.adversarial_loss)
    found = surface.provenance[0]["directions"]
    assert found["explained_variance"] == recipe.explained_variance(parameters_of(nets[-1]))[:2]
    assert [mark["name"] for mark in found["landmarks"]] == ["one", "two", "three"]
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    for mark, net in zip(found["landmarks"], nets, strict=False):
        true = measure(net.requires_grad_(False), examples.inputs, examples.labels, ATTACK, starts=starts)
        assert mark["loss"] == pytest.approx(float(true.adversarial_loss.mean()), rel=1e-4)
        assert mark["natural-loss"] == pytest.approx(float(true.clean_loss.mean()), rel=1e-4)
        assert mark["robust-error"] == pytest.approx(1 - float(true.adversarial_correct.mean()))


def test_a_path_in_the_plane_is_reached_at_its_coordinates() -> None:
    nets = walk(3)  # two displacements: the plane holds the whole path, up to running statistics
    recipe, weights = PrincipalComponents(path=nets[:-1]), parameters_of(nets[-1])
    directions = [recipe.direction(weights, k) for k in range(2)]
    for mark, net in zip(recipe.landmarks(weights, 2), nets, strict=False):
        for name, parameter in net.named_parameters():
            there = weights[name].clone()
            for x, direction in zip(mark.position, directions, strict=True):
                there += x * direction[name]
            torch.testing.assert_close(there, parameter.detach(), rtol=1e-4, atol=1e-5)


def test_random_walk_is_the_null_of_explained_variance() -> None:
    n = 9
    steps = np.tril(np.ones((n, n)))  # in many dimensions steps are orthonormal
    centering = np.eye(n) - 1 / n
    expected = np.linalg.eigvalsh(centering @ steps @ steps.T @ centering)[::-1][: n - 1]
    np.testing.assert_allclose(random_walk_variance(n), expected / expected.sum(), rtol=1e-9)
    assert random_walk_variance(200)[0] == pytest.approx(0.608, abs=0.001)


def test_paths_that_do_not_fit_are_refused() -> None:
    weights = parameters_of(network(0))
    with pytest.raises(InputError, match="a path of at least one checkpoint beside the last, got none"):
        PrincipalComponents(path=[]).moving(weights)
    with pytest.raises(InputError, match="is another network than the last one of the path; leave it out"):
        PrincipalComponents(path=[network(0, width=4)]).moving(weights)
    recipe = PrincipalComponents(path=[network(1), network(1)])
    with pytest.raises(InputError, match="a path of 3 checkpoints has 1 principal components, got 2"):
        recipe.direction(weights, 1)


def test_the_key_holds_the_path_in_its_order() -> None:
    a, b = network(1), network(2)
    settings = [PrincipalComponents(path=path).settings() for path in ([a, b], [b, a], [a])]
    assert settings[0] != settings[1] and settings[0] != settings[2]
    assert settings[0] == PrincipalComponents(path=[a, b], names=["x", "y"]).settings()

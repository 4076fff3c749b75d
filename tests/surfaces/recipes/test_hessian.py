from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from landscape.attacks.pgd import PGD, strongest
from landscape.attacks.threat import ThreatModel
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.models.noisy import NoiseDraws, NoiseName, inject_noise, set_noise
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.recipes.hessian import HessianDirections
from landscape.surfaces.surface import Surface
from landscape.weights import Weights, parameters_of
from tests.surfaces.recipes.nets import ATTACK, network, tiny, tiny_examples

TINY_ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.05, num_steps=5)


def fixed_loss(net: nn.Module, recipe: HessianDirections) -> Callable[[Weights], Tensor]:
    """The mean loss on adversarial examples made at the centre, as a function of all weights."""
    examples = recipe.examples
    dtype = next(net.parameters()).dtype
    inputs, labels = examples.inputs.to(dtype), examples.labels
    if recipe.attack is not None:
        inputs = strongest(recipe.attack, net, inputs, labels, ids=examples.ids, seed=recipe.seed)
    return lambda weights: torch.nn.functional.cross_entropy(functional_call(net, weights, (inputs,)), labels)


def dense_hessian(net: nn.Module, recipe: HessianDirections) -> Tensor:
    weights, loss = parameters_of(net), fixed_loss(net, recipe)
    flat = torch.cat([weight.reshape(-1) for weight in weights.values()])

    def of_flat(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [weight.numel() for weight in weights.values()])
        return loss({name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)})

    hessian: Tensor = jacrev(jacrev(of_flat))(flat)
    return hessian


def dense_spectrum(net: nn.Module, recipe: HessianDirections) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(dense_hessian(net, recipe))
    return values.flip(0), vectors.flip(1)


@pytest.mark.parametrize("attack", [TINY_ATTACK, None], ids=["adversarial", "natural"])
def test_equals_a_dense_solver_on_a_tiny_network(attack: PGD | None) -> None:
    net = tiny(nn.ReLU())
    recipe = HessianDirections(model=net, examples=tiny_examples(), attack=attack, count=4)
    weights = parameters_of(net)
    values, vectors = dense_spectrum(net, recipe)
    np.testing.assert_allclose(recipe.eigenvalues(weights), values[:4].numpy(), rtol=1e-6)
    for index in range(4):
        direction = recipe.direction(weights, index)
        ours = torch.cat([part.reshape(-1) for part in direction.values()])
        assert list(direction) == list(weights) and ours.dtype == torch.float64
        assert float(ours.norm()) == pytest.approx(1, abs=1e-9)
        assert abs(float(ours @ vectors[:, index])) == pytest.approx(1, abs=1e-5)
        assert float(ours[ours.abs().argmax()]) > 0


def curvature(net: nn.Module, recipe: HessianDirections, step: float) -> float:
    """[L(w + h v) - 2 L(w) + L(w - h v)] / h^2 along the top eigenvector."""
    weights, loss = parameters_of(net), fixed_loss(net, recipe)
    direction = recipe.direction(weights, 0)
    at = [
        float(loss({name: weight + h * direction[name] for name, weight in weights.items()})) for h in (-step, 0, step)
    ]
    return (at[0] - 2 * at[1] + at[2]) / step**2


def test_finite_differences_agree_with_the_eigenvalue() -> None:
    net = network(0).double()
    recipe = HessianDirections(
        model=net, examples=load_examples("digits", split="train", num_examples=40), attack=ATTACK
    )
    (eigenvalue,) = recipe.eigenvalues(parameters_of(net))
    assert curvature(net, recipe, 1e-6) == pytest.approx(eigenvalue, rel=0.005)


def test_finite_differences_agree_at_larger_steps_where_there_are_no_kinks() -> None:
    net = network(0).double()
    net[2] = nn.Softplus()
    recipe = HessianDirections(
        model=net, examples=load_examples("digits", split="train", num_examples=40), attack=ATTACK
    )
    (eigenvalue,) = recipe.eigenvalues(parameters_of(net))
    assert curvature(net, recipe, 1e-3) == pytest.approx(eigenvalue, rel=0.02)


def test_single_precision_and_batches_change_little() -> None:
    examples = load_examples("digits", split="train", num_examples=200)
    net = network(0)
    single = HessianDirections(model=net, examples=examples, attack=ATTACK, count=2)
    double = replace(single, model=network(0).double())
    ours = single.eigenvalues(parameters_of(net))
    np.testing.assert_allclose(ours, double.eigenvalues(parameters_of(network(0).double())), rtol=1e-3)
    assert ours == replace(single).eigenvalues(parameters_of(net))


def test_only_the_named_layers_are_in_the_hessian() -> None:
    net, examples = tiny(nn.Tanh()), tiny_examples()
    recipe = HessianDirections(model=net, examples=examples, attack=None, layers="^3")
    weights, loss = parameters_of(net), fixed_loss(net, recipe)
    names = ["3.weight", "3.bias"]

    def of_last(weight: Tensor, bias: Tensor) -> Tensor:
        return loss({**weights, "3.weight": weight, "3.bias": bias})

    blocks: Any = jacrev(jacrev(of_last, argnums=(0, 1)), argnums=(0, 1))(weights[names[0]], weights[names[1]])
    sizes = [weights[name].numel() for name in names]
    dense = torch.cat([torch.cat([blocks[i][j].reshape(sizes[i], sizes[j]) for j in (0, 1)], dim=1) for i in (0, 1)])
    assert recipe.eigenvalues(weights)[0] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)
    assert list(recipe.direction(weights, 0)) == names


def test_eigenvalues_are_kept_beside_the_surface_and_the_key_holds_the_content() -> None:
    net, examples = network(0), load_examples("digits", split="train", num_examples=20)
    recipe = HessianDirections(model=net, examples=examples, attack=ATTACK, count=2)
    surface = compute_surface(
        net, examples, attack=ATTACK, directions=recipe, num_directions=2, grid="-1:1:3", device="cpu"
    )
    assert surface.provenance[0]["directions"] == {"eigenvalues": recipe.eigenvalues(parameters_of(net))}
    assert surface.spec["directions"]["examples"]["digest"] == examples.digest()
    other = replace(recipe, examples=examples.take(range(10)))
    assert other.settings() != recipe.settings() != replace(recipe, attack=None).settings()


def test_points_along_vectors_that_were_computed_with_others_are_not_shared(tmp_path: Path) -> None:
    net, examples = network(0), load_examples("digits", split="train", num_examples=20)
    common: dict[str, Any] = {"attack": ATTACK, "grid": "-1:1:3", "device": "cpu"}

    def drawn(asked: int, count: int, cache: Path | None) -> Surface:
        recipe = HessianDirections(model=net, examples=examples, attack=ATTACK, count=asked)
        return compute_surface(net, examples, directions=recipe, num_directions=count, cache_dir=cache, **common)

    drawn(1, 1, tmp_path)
    two, alone = drawn(2, 2, tmp_path), drawn(2, 2, None)
    assert two.key == alone.key and not any("reused_from" in entry for entry in two.provenance)
    np.testing.assert_array_equal(two.adversarial_loss, alone.adversarial_loss)
    # The key says how many are drawn, so that is how many are computed.
    more, one = drawn(3, 1, None), drawn(1, 1, None)
    assert more.key == one.key
    np.testing.assert_array_equal(more.adversarial_loss, one.adversarial_loss)


def test_of_a_noisy_network_the_loss_is_a_mean_over_draws() -> None:
    net = inject_noise(tiny(nn.Tanh()))
    recipe = HessianDirections(model=net, examples=tiny_examples(), attack=None, noise=NoiseDraws(seed=3, count=2))
    weights, parts = parameters_of(net), []
    for draw in (0, 1):
        set_noise(net, NoiseName(seed=3, draw=draw))
        parts.append(dense_hessian(net, recipe))
    expected = torch.linalg.eigvalsh((parts[0] + parts[1]) / 2)[-1]
    set_noise(net, NoiseName(seed=9, draw=9))  # what the model was used for last does not matter
    assert recipe.eigenvalues(weights)[0] == pytest.approx(float(expected), rel=1e-6)
    assert recipe.settings()["noise"] == {"kind": "pni-w", "seed": 3, "draws": 2}
    assert "noise" not in replace(recipe, noise=NoiseDraws()).settings()
    assert "noise" not in replace(recipe, model=tiny(nn.Tanh())).settings()


def test_wrong_numbers_are_refused() -> None:
    net, examples = tiny(nn.ReLU()), tiny_examples()
    with pytest.raises(InputError, match="at least 1 eigenvector is asked for, got 0"):
        HessianDirections(model=net, examples=examples, attack=None, count=0)
    with pytest.raises(InputError, match="43 eigenvectors need more than 43 weights that move, got 43"):
        HessianDirections(model=net, examples=examples, attack=None, count=43).moving(parameters_of(net))
    with pytest.raises(InputError, match="1 Hessian eigenvectors were computed, got a call for 2"):
        HessianDirections(model=net, examples=examples, attack=None).direction(parameters_of(net), 1)

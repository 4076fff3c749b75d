"""Networks with parametric noise, measured draw by draw and averaged; test_compute has the rest of a sweep."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.losses import cross_entropy
from landscape.models.noisy import NoiseName, inject_noise, set_noise
from landscape.models.registry import build_model
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.cost import estimate_cost
from landscape.surfaces.directions import filter_normalized, random_direction
from landscape.surfaces.eval_mode import PlainModel
from landscape.surfaces.export import means_at
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.store import load_surface
from landscape.surfaces.surface import CENTRE, Surface
from landscape.weights import parameters_of

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", num_examples=24)


def plain() -> nn.Module:
    torch.manual_seed(0)
    network = build_model("small_cnn", width=2)
    network(torch.rand(64, 1, 8, 8))
    return network.eval()


def noisy(alpha: float = 0.5) -> nn.Module:
    return inject_noise(plain(), alpha=alpha)


def surface_of(network: nn.Module, examples: Examples, **changes: Any) -> Surface:
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 2, "grid": "-1:1:3", "device": "cpu", **changes}
    return compute_surface(network, examples, **settings)


def literal(network: nn.Module, examples: Examples, *, draws: int, seed: int, fixed: bool = False) -> dict[str, Any]:
    """Losses and counts at direction 1, alpha = 1, draw by draw on a copy whose noise and weights are set by hand."""
    weights = parameters_of(network)
    direction = filter_normalized(random_direction(weights, seed=seed, index=1), weights)
    rows = []
    for draw in range(draws):
        moved = copy.deepcopy(network)
        set_noise(moved, NoiseName(seed=seed, draw=draw))

        def attacked(model: nn.Module) -> Tensor:
            return ATTACK(model, examples.inputs, examples.labels, ids=examples.ids, seed=seed)

        made = attacked(moved) if fixed else None
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                if name in direction:
                    parameter.add_(direction[name])
            inputs = attacked(moved) if made is None else made
            logits = moved(inputs)
            rows.append((cross_entropy(logits, examples.labels).numpy(), logits.argmax(1) == examples.labels))
    losses, verdicts = zip(*rows, strict=True)
    return {"loss": np.mean(losses, axis=0), "count": np.sum([v.numpy() for v in verdicts], axis=0)}


@pytest.mark.parametrize("objective", ["adversarial", "fixed"])
def test_numbers_are_means_over_draws_that_share_nothing_but_the_weights(examples: Examples, objective: str) -> None:
    network = noisy()
    surface = surface_of(network, examples, seed=3, noise_draws=3, objective=objective, batch_size=7)
    expected = literal(network, examples, draws=3, seed=3, fixed=objective == "fixed")
    np.testing.assert_allclose(surface.adversarial_loss[1, 2], expected["loss"], rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(surface.adversarial_correct[1, 2], expected["count"])
    assert set(surface.adversarial_correct.reshape(-1)) <= {0, 1, 2, 3} and expected["count"].max() > 1
    errors = surface.values("robust-error")[1, 2]
    np.testing.assert_allclose(errors, 1 - expected["count"] / 3)
    assert surface.mean("robust-error")[1, 2] == pytest.approx(errors.mean())
    assert surface.accuracy()[1, 2] == pytest.approx(1 - errors.mean())
    assert surface.centre_mean("natural-error") == pytest.approx(1 - surface.centre.clean_correct.mean() / 3)


def test_draws_are_common_to_surfaces_and_their_mean_is_that_of_single_ones(examples: Examples) -> None:
    network = noisy()
    one, four = (surface_of(network, examples, noise_draws=count) for count in (1, 4))
    expected = literal(network, examples, draws=1, seed=0)
    np.testing.assert_allclose(one.adversarial_loss[1, 2], expected["loss"], rtol=2e-4, atol=1e-5)
    assert not np.allclose(one.mean(), four.mean(), rtol=1e-3)
    again = surface_of(network, examples, noise_draws=4)
    for name, array in four.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_the_batch_does_not_change_what_an_example_meets(examples: Examples) -> None:
    network = noisy()
    whole = surface_of(network, examples, noise_draws=2)
    parts = surface_of(network, examples, noise_draws=2, batch_size=5)
    some = surface_of(network, examples.take([20, 3]), noise_draws=2)
    np.testing.assert_allclose(parts.adversarial_loss, whole.adversarial_loss, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(some.adversarial_loss, whole.adversarial_loss[..., [20, 3]], rtol=1e-3, atol=1e-4)


def test_a_network_whose_scales_are_zero_is_the_plain_one(examples: Examples) -> None:
    a, b = surface_of(plain(), examples), surface_of(noisy(alpha=0.0), examples, noise_draws=3)
    np.testing.assert_allclose(b.centre.adversarial_loss, a.centre.adversarial_loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(b.centre.adversarial_correct, 3 * a.centre.adversarial_correct)


def test_the_key_knows_the_noise_of_noisy_networks_only(examples: Examples) -> None:
    def key(network: nn.Module, **changes: Any) -> str:
        return plan_surface(network, examples, attack=ATTACK, device="cpu", **changes).key

    assert key(plain()) == key(plain(), noise_draws=5)
    assert len({key(noisy(), **changes) for changes in ({}, {"noise_draws": 2}, {"seed": 1})}) == 3
    left_over = noisy()
    set_noise(left_over, NoiseName(draw=7))
    assert key(left_over) == key(noisy())
    spec = plan_surface(noisy(), examples, attack=ATTACK, seed=4, noise_draws=2, device="cpu").spec
    assert spec["noise"] == {"kind": "pni-w", "seed": 4, "draws": 2}
    assert "noise" not in plan_surface(plain(), examples, attack=ATTACK, device="cpu").spec


def test_surfaces_with_draws_come_back_from_the_cache(examples: Examples, tmp_path: Path) -> None:
    first = surface_of(noisy(), examples, noise_draws=3, cache_dir=tmp_path)
    again = surface_of(noisy(), examples, noise_draws=3, cache_dir=tmp_path)
    stored = load_surface(tmp_path / f"{first.key}.h5")
    assert stored.num_draws == 3
    np.testing.assert_array_equal(again.accuracy(), first.accuracy())
    np.testing.assert_array_equal(stored.accuracy(), first.accuracy())


def test_exported_errors_are_means_over_draws(examples: Examples) -> None:
    surface = surface_of(noisy(), examples, noise_draws=3)
    assert means_at(surface, (1, 2))["robust_error"] == pytest.approx(surface.mean("robust-error")[1, 2])
    assert means_at(surface, CENTRE)["natural_error"] == pytest.approx(surface.centre_mean("natural-error"))


def test_a_plain_evaluation_has_the_first_draw_of_the_sweep(examples: Examples) -> None:
    plan = plan_surface(noisy(), examples, attack=ATTACK, grid="-1:1:3", seed=5, device="cpu").ready()
    centre = surface_of(noisy(), examples, seed=5).centre
    np.testing.assert_allclose(PlainModel(plan).measurement().adversarial_loss, centre.adversarial_loss, rtol=1e-4)


@pytest.mark.parametrize("batchnorm", ["reestimate", "batch"])
def test_statistics_of_batches_are_those_of_every_draw(examples: Examples, batchnorm: str) -> None:
    network = noisy()
    one, two = (surface_of(network, examples, noise_draws=count, batchnorm=batchnorm) for count in (1, 2))
    assert np.isfinite(two.mean()).all()
    assert not np.allclose(one.mean(), two.mean(), rtol=1e-3)


def test_the_cost_counts_every_draw(examples: Examples) -> None:
    costs = [
        estimate_cost(plan_surface(network, examples, attack=ATTACK, noise_draws=3, device="cpu"))
        for network in (plain(), noisy())
    ]
    assert [cost.passes_per_example for cost in costs] == [2 * 3 + 2, 3 * (2 * 3 + 2)]


def test_the_callers_network_keeps_its_noise(examples: Examples) -> None:
    network = noisy()
    set_noise(network, NoiseName(draw=9))
    before = network(examples.inputs)
    surface = surface_of(network, examples, noise_draws=2)
    assert surface.point_status(CENTRE) == 1
    assert torch.equal(network(examples.inputs), before)

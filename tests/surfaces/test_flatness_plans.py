"""Every measure of flatness against its closed form, from the plan to the number."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.analysis.flatness import Measure, difference
from landscape.analysis.flatness_measures import (
    curvature,
    hessian_trace,
    pac_bayes_terms,
    rises,
    top_eigenvalue,
    worst_case_rise,
)
from landscape.datasets.examples import Examples
from landscape.errors import InputError
from landscape.surfaces.compute import run_plan
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.flatness_plans import (
    WINDOW_NODES,
    eigenvalue_plan,
    flatness_grid,
    pac_bayes_plan,
    trace_plan,
    worst_case_plan,
)
from landscape.surfaces.measured_losses import Margin
from landscape.surfaces.plan import SurfacePlan, plan_surface
from landscape.surfaces.store import load_surface
from landscape.surfaces.surface import Surface
from landscape.weights import parameters_of
from tests.surfaces.quadratic import Quadratic, examples_of_label_0, matrix_of

RADII = (0.1, 0.5)

NUM_DIRECTIONS = 4


def plan_of(net: torch.nn.Module, examples: Examples, num_directions: int = NUM_DIRECTIONS) -> SurfacePlan:
    grid = flatness_grid(RADII, curvature=True)
    return plan_surface(net, examples, attack=None, directions=num_directions, grid=grid, device="cpu")


@pytest.fixture(scope="module")
def examples() -> Examples:
    return examples_of_label_0()


@pytest.fixture(scope="module")
def net() -> Quadratic:
    return Quadratic()


@pytest.fixture(scope="module")
def plan(net: Quadratic, examples: Examples) -> SurfacePlan:
    return plan_of(net, examples)


@pytest.fixture(scope="module")
def surface(plan: SurfacePlan) -> Surface:
    return run_plan(plan)


def scales_of(examples: Examples) -> Tensor:
    return examples.inputs.double().flatten(1).mean(dim=1)


def bends(net: Quadratic, count: int = NUM_DIRECTIONS) -> Tensor:
    """d^T A d of each filter-normalized direction."""
    weights, recipe = parameters_of(net), RandomDirections()
    flat = [recipe.direction(weights, index)["weight"].reshape(-1) for index in range(count)]
    return torch.stack([d @ matrix_of(net) @ d for d in flat])


def test_the_grid_has_the_radii_and_the_window_and_no_node_at_0() -> None:
    assert flatness_grid((0.25, 1), curvature=False).alpha == (-1.0, -0.25, 0.25, 1.0)
    nodes = flatness_grid((0.25, 1), curvature=True).alpha
    assert set(nodes) == {sign * node for node in (*WINDOW_NODES, 1.0) for sign in (-1.0, 1.0)}
    with pytest.raises(InputError, match="alpha needs at least one node"):
        flatness_grid((), curvature=False)


def test_rise_and_curvature_of_a_quadratic_are_exact(net: Quadratic, examples: Examples, surface: Surface) -> None:
    expected = torch.outer(bends(net), scales_of(examples)).numpy()
    bent = curvature(surface)
    assert bent is not None and bent.note == ""
    np.testing.assert_allclose(bent.samples, expected, rtol=1e-4)
    assert bent.value == pytest.approx(expected.mean(), rel=1e-5)
    for radius, rise in zip(RADII, rises(surface, RADII), strict=True):
        assert (rise.name, rise.interpolated) == (f"rise({radius:g})", False)
        np.testing.assert_allclose(rise.samples, radius**2 / 2 * expected, rtol=2e-4)


def test_the_eigenvalue_is_that_of_the_matrix(net: Quadratic, examples: Examples, plan: SurfacePlan) -> None:
    measure = top_eigenvalue(run_plan(eigenvalue_plan(plan)))
    expected = float(torch.linalg.eigvalsh(matrix_of(net))[-1] * scales_of(examples).mean())
    assert measure.value == pytest.approx(expected, rel=1e-8) and math.isnan(measure.standard_error)


def test_the_trace_is_that_of_the_matrix_within_its_error(
    net: Quadratic, examples: Examples, plan: SurfacePlan
) -> None:
    measure = hessian_trace(run_plan(trace_plan(plan, num_probes=200)))
    hessian = matrix_of(net) * scales_of(examples).mean()
    off_diagonal = hessian - torch.diag(torch.diag(hessian))
    error = math.sqrt(2 * float((off_diagonal**2).sum()) / 200)
    assert measure.standard_error == pytest.approx(error, rel=0.3) and measure.num_draws == 200
    assert abs(measure.value - float(torch.trace(hessian))) < 4 * error


def test_the_worst_case_of_a_quadratic_lies_between_every_other_direction_and_its_maximum(
    net: Quadratic, examples: Examples, plan: SurfacePlan
) -> None:
    gamma = 0.02
    measure = worst_case_rise(run_plan(worst_case_plan(plan, gamma)))
    weights = net.weight.detach().reshape(-1)
    assert isinstance(net.minimum, Tensor)
    gradient, radius = matrix_of(net) @ (weights - net.minimum), gamma * float(weights.norm())
    scale = float(scales_of(examples).mean())
    along_gradient = scale * float(
        radius * gradient.norm() + radius**2 / 2 * gradient @ matrix_of(net) @ gradient / (gradient @ gradient)
    )
    bound = scale * (radius * float(gradient.norm()) + radius**2 / 2 * float(torch.linalg.eigvalsh(matrix_of(net))[-1]))
    assert 0.999 * along_gradient < measure.value < bound
    assert measure.name == "worst-case(0.02)" and measure.num_draws == 1
    assert measure.standard_error == pytest.approx(float(measure.samples.std(ddof=1)) / math.sqrt(12))


@pytest.mark.parametrize("sigma", ["layer", "literal"])
def test_the_pac_bayes_term_of_a_quadratic_is_half_sigma_squared_times_the_trace(
    sigma: str, net: Quadratic, examples: Examples, plan: SurfacePlan
) -> None:
    """E[(w + u)^T A (w + u)] - w^T A w = sigma^2 tr A; both signs of a draw leave no linear term."""
    scale = 0.1
    surface = run_plan(pac_bayes_plan(plan, scale, sigma=sigma, draws=400))
    errors, losses = pac_bayes_terms(surface)
    weight = net.weight.detach()
    variance = scale**2 * float(weight.norm()) ** 2 / (weight.numel() if sigma == "layer" else 1)
    expected = variance / 2 * float(torch.trace(matrix_of(net)) * scales_of(examples).mean())
    over_draws = float(losses.samples.mean(axis=1).std(ddof=1)) / math.sqrt(400)
    assert abs(losses.value - expected) < 4 * over_draws < 0.4 * expected
    assert (losses.name, errors.unit, losses.num_draws) == ("pac-bayes(0.1) CE", "share", 400)


def test_the_pac_bayes_term_is_of_the_cross_entropy_whatever_loss_is_measured(plan: SurfacePlan) -> None:
    of_margins = replace(plan, settings=replace(plan.settings, loss=Margin()))
    assert pac_bayes_plan(of_margins, 0.1, draws=2).key == pac_bayes_plan(plan, 0.1, draws=2).key
    assert worst_case_plan(of_margins, 0.1).key != worst_case_plan(plan, 0.1).key


def test_the_expected_error_of_a_linear_model_is_a_normal_distribution() -> None:
    """Clean 0-1 error under N(W, sigma^2): mean over examples of Phi(-margin / (sqrt(2) sigma ||x||)), two classes."""
    generator = torch.Generator().manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    weight = torch.randn(2, 4, generator=generator)
    net[1].weight = torch.nn.Parameter(weight.clone())
    inputs = torch.rand(60, 1, 2, 2, generator=generator)
    labels = torch.randint(0, 2, (60,), generator=generator)
    scale, draws = 0.5, 400
    plan = plan_surface(net, (inputs, labels), attack=None, directions=2, grid="-1:1:3", device="cpu")
    errors, _ = pac_bayes_terms(run_plan(pac_bayes_plan(plan, scale, draws=draws)))

    flat = inputs.flatten(1).double()
    rows = weight.double()
    margin = torch.where(labels == 0, 1.0, -1.0) * (flat @ (rows[0] - rows[1]))
    sigma = scale * float(rows.norm()) / math.sqrt(8)
    expected = torch.special.ndtr(-margin / (math.sqrt(2) * sigma * flat.norm(dim=1)))
    centre = (margin < 0).double()
    over_draws = float(errors.samples.mean(axis=1).std(ddof=1)) / math.sqrt(draws)
    assert abs(errors.value - float((expected - centre).mean())) < 4 * over_draws < 0.02


def test_two_models_are_paired_draw_by_draw(net: Quadratic, examples: Examples, plan: SurfacePlan) -> None:
    other = plan_of(Quadratic(seed=1), examples)

    def both(make: object) -> tuple[Measure, Measure]:
        assert callable(make)
        return make(plan), make(other)

    pairs = [
        both(lambda one: rises(run_plan(one), (0.5,))[0]),
        both(lambda one: hessian_trace(run_plan(trace_plan(one, num_probes=20)))),
        both(lambda one: pac_bayes_terms(run_plan(pac_bayes_plan(one, 0.1, draws=5)))[1]),
    ]
    for a, b in pairs:
        found = difference(a, b)
        assert found.paired and found.low is not None and found.high is not None
        assert found.low < a.value - b.value < found.high
    worst = difference(*both(lambda one: worst_case_rise(run_plan(worst_case_plan(one, 0.01)))))
    assert worst.low is None and worst.standard_error > 0
    fewer = hessian_trace(run_plan(trace_plan(other, num_probes=10)))
    assert not difference(pairs[1][0], fewer).paired


def test_every_measure_is_kept_in_the_cache(plan: SurfacePlan, tmp_path: Path) -> None:
    for made in (eigenvalue_plan(plan), trace_plan(plan, num_probes=3), pac_bayes_plan(plan, 0.1, draws=2)):
        first = run_plan(made, cache_dir=tmp_path)
        again = load_surface(tmp_path / f"{made.key}.h5")
        assert again.complete and again.provenance[0].get("directions") == first.provenance[0].get("directions")
    assert trace_plan(plan, num_probes=3).key != trace_plan(plan, num_probes=4).key


def test_layers_that_are_not_there_are_refused(plan: SurfacePlan) -> None:
    for make in (eigenvalue_plan, trace_plan):
        with pytest.raises(InputError, match="no parameter moves with layers 'nowhere'"):
            make(plan, layers="nowhere")

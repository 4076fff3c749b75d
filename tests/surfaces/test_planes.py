from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.protocols import DirectionRecipe
from landscape.surfaces.compute import compute_surface, run_plan
from landscape.surfaces.cost import estimate_cost
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.plan import SurfacePlan, plan_surface
from landscape.surfaces.planes import Orthogonal, cosine, orthogonal_pairs
from landscape.surfaces.recipes.interpolation import Interpolation
from landscape.surfaces.recipes.principal_components import PrincipalComponents
from landscape.surfaces.store import SurfaceStore
from landscape.surfaces.surface import ARRAYS, DONE, Grid
from landscape.weights import Weights, displaced, parameters_of
from tests.surfaces.killing import die_often
from tests.surfaces.small import assert_same, deep_copied, network

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3)
GRID = Grid.parse("-1:1:5", "-1/2:1:4")


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=12)


def plan_of(examples: Examples, recipe: DirectionRecipe, planes: int = 1, grid: Grid = GRID) -> SurfacePlan:
    return plan_surface(
        network(), examples, attack=ATTACK, directions=recipe, num_directions=planes, grid=grid, device="cpu"
    )


def many_shapes() -> Weights:
    """Every kind of block: filters of several sizes, of one number, rows, biases."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.Linear(16, 5)
    )
    return {**parameters_of(net), "single": torch.randn(4, 1)}


def flat(direction: Weights) -> np.ndarray:
    return np.concatenate([part.double().numpy().ravel() for part in direction.values()])


def literal_cosine(first: Weights, second: Weights) -> float:
    a, b = flat(first), flat(second)
    return float(sum(a * b) / math.sqrt(sum(a * a) * sum(b * b)))


@pytest.mark.parametrize("norm", ["filter", "layer", "model", "none"])
@pytest.mark.parametrize("one_dim", ["zero", "copy", "element"])
@pytest.mark.parametrize("by", ["filter", "model"])
def test_the_second_direction_is_orthogonal_to_the_first(norm: str, one_dim: str, by: str) -> None:
    weights = many_shapes()
    recipe = Orthogonal(RandomDirections(seed=3, norm=norm, one_dim=one_dim), by=by)
    for plane in range(2):
        first, second = recipe.direction(weights, 2 * plane), recipe.direction(weights, 2 * plane + 1)
        assert abs(literal_cosine(first, second)) < 1e-6
        assert cosine(first, second) == pytest.approx(literal_cosine(first, second), abs=1e-9)


def test_every_filter_keeps_the_norm_that_the_recipe_gave_it() -> None:
    weights = many_shapes()
    plain = RandomDirections(seed=1)
    first, second = plain.direction(weights, 0), Orthogonal(plain).direction(weights, 1)
    checked = 0
    for name, part in second.items():
        if name == "single":
            continue
        for made, weight, along in zip(part, weights[name], first[name], strict=True):
            assert float(made.double().norm()) == pytest.approx(float(weight.double().norm()), rel=1e-6)
            assert abs(float((made.double() * along.double()).sum())) <= 1e-6 * float(made.norm() * along.norm())
            checked += 1
    assert checked == 8 + 8 + 8 + 5
    # One number has no orthogonal number beside it.
    assert torch.equal(second["single"], torch.zeros(4, 1))
    assert bool(first["single"].all())


def test_literal_gram_schmidt_of_one_filter() -> None:
    plain, weights = RandomDirections(seed=2), {"w": torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0))}
    d, e = plain.direction(weights, 0)["w"], plain.direction(weights, 1)["w"]
    made = Orthogonal(plain).direction(weights, 1)["w"]
    for f in range(3):
        along, other = [value.double().flatten().tolist() for value in (d[f], e[f])]
        share = sum(x * y for x, y in zip(other, along, strict=True)) / sum(x * x for x in along)
        rest = [y - share * x for x, y in zip(along, other, strict=True)]
        size = math.sqrt(sum(y * y for y in other)) / math.sqrt(sum(y * y for y in rest))
        assert made[f].flatten().tolist() == pytest.approx([size * y for y in rest], rel=1e-5)


def test_as_one_block_the_plane_stays_and_the_whole_keeps_its_length() -> None:
    weights = many_shapes()
    plain = RandomDirections(seed=1, norm="layer")
    d, e, made = (
        plain.direction(weights, 0),
        plain.direction(weights, 1),
        Orthogonal(plain, "model").direction(weights, 1),
    )
    residual = np.linalg.lstsq(np.stack([flat(d), flat(e)], axis=1), flat(made), rcond=None)[1]
    assert float(residual[0]) < 1e-10
    assert np.linalg.norm(flat(made)) == pytest.approx(np.linalg.norm(flat(e)), rel=1e-6)


def test_first_directions_and_what_moves_are_the_recipes() -> None:
    weights, plain = many_shapes(), RandomDirections(seed=5, layers="^(0|single)")
    recipe = Orthogonal(plain)
    for index in (0, 2, 4):
        assert all(
            torch.equal(part, plain.direction(weights, index)[name])
            for name, part in recipe.direction(weights, index).items()
        )
    assert recipe.moving(weights) == plain.moving(weights)
    assert recipe.settings() == {**plain.settings(), "orthogonal": "filter"}


class Along:
    """Two directions that are multiples of the weights, like those towards two scaled copies of a model."""

    def settings(self) -> dict[str, object]:
        return {"kind": "along"}

    def moving(self, weights: Weights) -> list[str]:
        return list(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        return {name: (1 + index) * weight for name, weight in weights.items()}


def test_parallel_directions_are_refused() -> None:
    with pytest.raises(InputError, match="the two directions of a plane are parallel; take another"):
        orthogonal_pairs(Along()).direction(many_shapes(), 1)


def test_random_pairs_go_by_filter_and_others_stay_in_their_plane() -> None:
    assert orthogonal_pairs(RandomDirections()) == Orthogonal(RandomDirections(), by="filter")
    assert orthogonal_pairs(Along()).settings() == {"kind": "along", "orthogonal": "model"}
    interpolation = orthogonal_pairs(Interpolation(others=[]))
    assert isinstance(interpolation, Interpolation) and interpolation.orthogonal
    assert isinstance(orthogonal_pairs(PrincipalComponents(path=[])), PrincipalComponents)
    with pytest.raises(InputError, match="made orthogonal by filter or model, got 'layer'"):
        Orthogonal(RandomDirections(), "layer")


def test_random_directions_are_within_five_standard_deviations_of_orthogonal(examples: Examples) -> None:
    """SCIENCE 8: s^2 = sum_f ||w_f||^4 / n_f / (sum_f ||w_f||^2)^2."""
    plan = plan_of(examples, RandomDirections(seed=9), planes=3)
    weights = {name: weight for name, weight in parameters_of(plan.model).items() if weight.dim() > 1}
    filters = [(row.numel(), float(row.double().square().sum())) for weight in weights.values() for row in weight]
    s = math.sqrt(sum(size**2 / n for n, size in filters)) / sum(size for _, size in filters)
    (entry,) = run_plan(plan).provenance
    assert len(entry["cosines"]) == 3
    assert max(map(abs, entry["cosines"])) <= 5 * s
    assert min(map(abs, entry["cosines"])) > 1e-6


@pytest.mark.parametrize("orthogonal", [False, True], ids=["random", "orthogonal"])
def test_equals_a_double_loop_over_deep_copied_models(examples: Examples, orthogonal: bool) -> None:
    """An asymmetric grid, every node by itself: nothing is transposed, flipped or shifted (D1, D16)."""
    plain = RandomDirections(seed=0)
    surface = run_plan(plan_of(examples, Orthogonal(plain) if orthogonal else plain))
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    net = network()
    weights = parameters_of(net)
    first, second = plain.direction(weights, 0), plain.direction(weights, 1)
    if orthogonal:
        for name, part in second.items():
            for f, row in enumerate(part):
                rest = (
                    row.double()
                    - (row * first[name][f]).double().sum() / first[name][f].double().square().sum() * first[name][f]
                )
                second[name][f] = (rest * row.double().norm() / rest.norm()).float()
    assert surface.adversarial_loss.shape == (1, 5, 4, 12)
    for a, alpha in enumerate((-1.0, -0.5, 0.0, 0.5, 1.0)):
        for b, beta in enumerate((-0.5, 0.0, 0.5, 1.0)):
            model = deep_copied(deep_copied(net, first, alpha), second, beta)
            expected = measure(model, examples.inputs, examples.labels, ATTACK, starts=starts)
            np.testing.assert_allclose(
                surface.adversarial_loss[0, a, b], expected.adversarial_loss, rtol=1e-3, atol=1e-4
            )
            np.testing.assert_allclose(surface.clean_loss[0, a, b], expected.clean_loss, rtol=1e-4, atol=1e-5)


def test_the_row_at_beta_zero_is_the_curve_along_the_first_direction_bit_for_bit(examples: Examples) -> None:
    plain = RandomDirections(seed=4)
    line = run_plan(plan_of(examples, plain, planes=4, grid=Grid.parse("-1:1:5")))
    for recipe in (plain, Orthogonal(plain)):
        planes = run_plan(plan_of(examples, recipe, planes=2))
        zero = GRID.beta.index(0.0) if GRID.beta else -1
        for name in ARRAYS:
            for plane in range(2):
                np.testing.assert_array_equal(planes.arrays[name][plane, :, zero], line.arrays[name][2 * plane], name)
            np.testing.assert_array_equal(planes.arrays[name][0, 2, zero], planes.centre.arrays()[name], name)


def test_the_column_at_alpha_zero_is_the_curve_along_the_second_direction_bit_for_bit(examples: Examples) -> None:
    plain = RandomDirections(seed=4)
    line = run_plan(plan_of(examples, plain, planes=2, grid=Grid.parse("-1/2:1:4")))
    plane = run_plan(plan_of(examples, plain))
    for name in ARRAYS:
        np.testing.assert_array_equal(plane.arrays[name][0, 2], line.arrays[name][1], name)


def test_two_checkpoints_share_the_draws_but_not_the_orthogonal_surfaces(examples: Examples, tmp_path: Path) -> None:
    plain = plan_of(examples, RandomDirections())
    orthogonal = plan_of(examples, Orthogonal(RandomDirections()))
    assert plain.key != orthogonal.key
    run_plan(plain, cache_dir=tmp_path)
    assert estimate_cost(orthogonal, cache_dir=tmp_path).num_points == 21
    assert "cosines" not in run_plan(plan_of(examples, RandomDirections(), grid=Grid.parse("-1:1:2"))).provenance[0]


def test_a_finer_grid_takes_over_points_and_keeps_the_cosine(examples: Examples, tmp_path: Path) -> None:
    run_plan(plan_of(examples, RandomDirections()), cache_dir=tmp_path)
    finer = run_plan(plan_of(examples, RandomDirections(), grid=Grid.parse("-1:1:9", "-1/2:1:4")), cache_dir=tmp_path)
    assert finer.complete
    cosines = {tuple(entry["cosines"]) for entry in finer.provenance}
    assert len(finer.provenance) == 2 and len(cosines) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 of a forked child needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # any fork, since 3.12
def test_kill_minus_nine_at_eight_places_loses_nothing_and_changes_no_bit(examples: Examples, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked child has no worker threads to wait for
    try:
        plan = plan_of(examples, Orthogonal(RandomDirections()), planes=2, grid=Grid.parse("-1:1:11", "-1:1:7"))
        expected = run_plan(plan)
        acknowledged = die_often(plan, tmp_path, np.random.default_rng(1).integers(1, 20, size=8))
        assert 40 < acknowledged < expected.num_points
        final = run_plan(plan, cache_dir=tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert final.complete
    assert_same(final, expected)
    assert {tuple(entry["cosines"]) for entry in final.provenance} == {tuple(expected.provenance[0]["cosines"])}


def test_a_plane_of_a_million_stored_values_opens_in_xarray(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")

    class Linear(nn.Module):
        """Logits that say where the weights are."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 4))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs.flatten(1) @ self.weight.T

    inputs = torch.rand(2500, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    surface = compute_surface(
        Linear(),
        (inputs, torch.arange(2500) % 2),
        attack=None,
        directions=1,
        grid=Grid.parse("-1:1:25", "-1/2:1/2:16"),
        device="cpu",
        cache_dir=tmp_path,
    )
    assert surface.adversarial_loss.size == 1_000_000
    with xarray.open_dataset(SurfaceStore(tmp_path).path(surface.key), engine="h5netcdf") as data:
        assert dict(data.sizes) == {"direction": 1, "alpha": 25, "beta": 16, "example": 2500}
        assert int((data["status"] == DONE).sum()) == 400
        mean = data["adversarial_loss"].astype("float64").mean("example").isel(direction=0)
        np.testing.assert_allclose(mean.transpose("alpha", "beta").values, surface.mean()[0], rtol=1e-12)
        weights = parameters_of(Linear())
        directions = [RandomDirections(seed=0).direction(weights, index) for index in (0, 1)]
        moved = displaced(weights, *zip((0.25, 0.5), directions, strict=True))["weight"]
        expected = nn.functional.cross_entropy(inputs.flatten(1) @ moved.T, torch.arange(2500) % 2, reduction="none")
        found = data["clean_loss"].sel(direction=0, alpha=0.25, beta=0.5).values
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)

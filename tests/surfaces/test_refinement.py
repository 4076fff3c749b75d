from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.surfaces.catalogue import list_surfaces
from landscape.surfaces.compute import compute_surface, is_stored, run_plan
from landscape.surfaces.cost import estimate_cost
from landscape.surfaces.export import export_surface
from landscape.surfaces.plan import Shard, SurfacePlan, plan_surface
from landscape.surfaces.refinement import asked_nodes, filled
from landscape.surfaces.store import SurfaceStore
from landscape.surfaces.surface import CENTRE, DONE, MISSING, NOT_FINITE, Grid, Surface
from tests.surfaces.formulas import FAR, AlongWeights, Formula, FormulaModel, blank_examples
from tests.surfaces.killing import die_often
from tests.surfaces.small import assert_same, network

Function = Callable[[float, float], float]
Node = tuple[int, int]


def valley(alpha: float, beta: float) -> float:
    """Sharp along a slanted line, flat beside it."""
    return 4 * abs(alpha - 0.2 * beta + 0.3)


FUNCTIONS: dict[str, tuple[Function, float]] = {
    "valley": (valley, 0.05),
    "bowl": (lambda a, b: 0.3 + 5 * a**2 + 3 * b**2 + 4 * a**4 + a**2 * b**4, 0.1),
    "peak": (lambda a, b: math.exp(-20 * ((a - 0.5) ** 2 + (b + 0.4) ** 2)), 0.01),
    "waves": (lambda a, b: math.sin(4 * a) * math.cos(3 * b + 1), 0.05),
    "cliff": (lambda a, b: 3.0 if a + 2 * b > 0.1 else 0.5, 0.5),
}

GRIDS = {
    "21 x 21": Grid.parse("-1:1:21", "-1:1:21"),
    "18 x 23, where no stride ends": Grid.parse("-1:1/2:18", "-1/2:1:23"),
    "uneven steps": Grid(
        alpha=tuple(-1 + 2 * (i / 19) ** 1.5 for i in range(20)), beta=tuple(math.sinh(i / 8 - 1) for i in range(17))
    ),
}


def slow_nodes(function: Function, grid: Grid, tolerance: float) -> dict[Node, float]:
    """The rule as it is written, node by node: what is measured, with its value."""
    assert grid.beta is not None
    axes = (grid.alpha, grid.beta)
    measured: dict[Node, float] = {}

    def level(axis: int, stride: int) -> list[int]:
        last, origin = len(axes[axis]) - 1, axes[axis].index(0.0) if 0.0 in axes[axis] else 0
        return [place for place in range(last + 1) if place in (0, last) or (place - origin) % stride == 0]

    def cubic(axis: int, places: list[int], values: list[float], at: float) -> float:
        """Newton's divided differences through four nodes: two on either side, or what the end leaves."""
        before = sum(axes[axis][place] < at for place in places)
        first = min(max(before - 2, 0), len(places) - 4)
        x = [axes[axis][place] for place in places[first : first + 4]]
        table = values[first : first + 4]
        for order in (1, 2, 3):
            for k in range(3, order - 1, -1):
                table[k] = (table[k] - table[k - 1]) / (x[k] - x[k - order])
        return table[0] + (at - x[0]) * (table[1] + (at - x[1]) * (table[2] + (at - x[2]) * table[3]))

    def bend(value: dict[Node, float], node: Node, axis: int, places: list[int]) -> float:
        if node[axis] in (places[0], places[-1]):
            return 0.0
        others = [place for place in places if place != node[axis]]
        row = [value[(place, node[1]) if axis == 0 else (node[0], place)] for place in others]
        return abs(value[node] - cubic(axis, others, row, axes[axis][node[axis]]))

    def measure(i: int, j: int) -> None:
        measured[i, j] = function(axes[0][i], axes[1][j])

    for i in level(0, 4):
        for j in level(1, 4):
            measure(i, j)
    value = dict(measured)
    for stride in (4, 2):
        rows, columns = level(0, stride), level(1, stride)
        wanted: set[Node] = set()
        for top, bottom in zip(rows, rows[1:], strict=False):
            for left, right in zip(columns, columns[1:], strict=False):
                corners = [(top, left), (top, right), (bottom, left), (bottom, right)]
                if any(bend(value, c, 0, rows) > tolerance or bend(value, c, 1, columns) > tolerance for c in corners):
                    wanted |= {
                        (i, j)
                        for i in level(0, stride // 2)
                        for j in level(1, stride // 2)
                        if top <= i <= bottom and left <= j <= right
                    }
        for i, j in sorted(wanted - measured.keys()):
            measure(i, j)
        coarse = {(i, j): value[i, j] for i in rows for j in columns}
        between = {
            (i, j): cubic(0, rows, [coarse[row, j] for row in rows], axes[0][i])
            for i in level(0, stride // 2)
            for j in columns
        }
        for i in level(0, stride // 2):
            for j in level(1, stride // 2):
                if (i, j) in measured:
                    value[i, j] = measured[i, j]
                elif (i, j) not in coarse:
                    value[i, j] = cubic(1, columns, [between[i, column] for column in columns], axes[1][j])
    return measured


def values_of(function: Function, grid: Grid) -> np.ndarray[Any, Any]:
    return np.array([[function(a, b) for b in grid.beta or ()] for a in grid.alpha])


def measured_nodes(function: Function, grid: Grid) -> np.ndarray[Any, Any]:
    """What `asked_nodes` ends with when it is given what it asks for, until it asks for no more."""
    values, known = values_of(function, grid), np.zeros(grid.shape, np.bool_)
    for _ in range(4):
        asked = asked_nodes(grid, np.where(known, values, np.nan), known)
        assert not (known & ~asked).any()
        known = asked
    return known


def plan_of(formula: Formula, grid: Grid, **changes: Any) -> SurfacePlan:
    settings: dict[str, Any] = {"attack": None, "directions": AlongWeights(), "num_directions": 1, "device": "cpu"}
    return plan_surface(FormulaModel(formula), blank_examples(), grid=grid, **settings, **changes)


def small_plan(refine: float | None, grid: str = "-1:1:17", **changes: Any) -> SurfacePlan:
    return plan_surface(
        network(),
        load_examples("digits", num_examples=8),
        attack=None,
        directions=1,
        grid=Grid.parse(grid, grid),
        device="cpu",
        refine=refine,
        **changes,
    )


@pytest.fixture(scope="module")
def full() -> Surface:
    return run_plan(small_plan(None))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("function", "tolerance"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_nodes_are_those_of_the_rule_as_it_is_written(function: Function, tolerance: float, grid: Grid) -> None:
    expected = slow_nodes(function, grid, tolerance)
    asked = measured_nodes(function, grid.refined(tolerance))
    assert {(int(i), int(j)) for i, j in np.argwhere(asked)} == expected.keys()
    assert 25 <= len(expected) < asked.size


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda a, b: 2.0, id="constant"),
        pytest.param(lambda a, b: 1 + 2 * a - b + 3 * a * b, id="bilinear"),
        pytest.param(lambda a, b: (1 - a) * (2 + a * b**2) * (1 + b) + a**3 * b**3, id="bicubic"),
    ],
)
def test_where_nothing_bends_every_fourth_node_is_enough_and_the_others_are_exact(
    function: Function, grid: Grid
) -> None:
    asked = measured_nodes(function, grid.refined(1e-9))
    assert asked.sum() == len(slow_nodes(function, grid, math.inf))
    values = values_of(function, grid)
    found = filled(grid.refined(1e-9), np.where(asked, values, np.nan), asked)
    np.testing.assert_allclose(found, values.clip(values[asked].min(), values[asked].max()), rtol=1e-12, atol=1e-12)


def test_a_sharp_valley_is_refined_around_the_valley_and_nowhere_else() -> None:
    grid = Grid.parse("-1:1:41", "-1:1:41").refined(0.05)
    assert grid.beta is not None
    asked = measured_nodes(valley, grid)
    coarse = np.zeros_like(asked)
    coarse[::4, ::4] = True
    away = np.array([[abs(a - 0.2 * b + 0.3) for b in grid.beta] for a in grid.alpha])
    assert asked[away < 0.05].all()
    # A kink bends the nodes that have it among their neighbours: two steps of 0.2 away, three at the ends of an axis.
    np.testing.assert_array_equal(asked[away > 0.85], coarse[away > 0.85])
    assert asked.mean() < 0.6


def test_interpolated_numbers_lie_between_the_extremes_and_measured_ones_are_kept() -> None:
    grid = GRIDS["21 x 21"].refined(0.5)
    values = values_of(FUNCTIONS["cliff"][0], grid)
    asked = measured_nodes(FUNCTIONS["cliff"][0], grid)
    found = filled(grid, np.where(asked, values, np.nan), asked)
    np.testing.assert_array_equal(found[asked], values[asked])
    assert np.isfinite(found).all() and found.min() >= 0.5 and found.max() <= 3.0


def test_what_is_not_finite_is_in_doubt() -> None:
    grid = GRIDS["21 x 21"].refined(1e-6)
    asked = measured_nodes(lambda a, b: math.nan if a > 0.75 and b > 0.75 else 1.0, grid)
    assert asked[-5:, -5:].all() and asked[:7, :7].sum() == 9


def test_a_sweep_measures_the_nodes_of_the_rule_and_leaves_the_others_missing() -> None:
    grid = Grid.parse("-1:1:21", "-1:1:18")
    plan = plan_of(lambda a, b: 4 * (a - 0.2 * b + 0.3).abs(), grid, refine=0.05)
    announced: list[tuple[int, int]] = []
    surface = run_plan(plan, progress=lambda done, total: announced.append((done, total)))
    expected = slow_nodes(valley, grid, 0.05)
    assert {(int(i), int(j)) for i, j in np.argwhere(surface.status[0] == DONE)} == expected.keys()
    assert surface.complete and surface.num_done == len(expected) + 1 < surface.num_points == 379
    for node, value in expected.items():
        assert surface.mean()[0][node] == pytest.approx(FAR + value, abs=2e-5)
    assert np.isnan(surface.mean()[surface.status == MISSING]).all()
    first, last = announced[0], announced[-1]
    assert first == (0, 1 + 7 * 6) and last == (surface.num_done, surface.num_done)
    assert [done for done, _ in announced] == sorted(done for done, _ in announced)


def test_planes_are_refined_each_by_itself() -> None:
    plan = replace(small_plan(0.005), num_directions=2)
    surface = run_plan(plan)
    alone = run_plan(small_plan(0.005))
    assert surface.complete and (surface.status[0] != surface.status[1]).any()
    np.testing.assert_array_equal(surface.status[0], alone.status[0])


def test_points_that_are_not_finite_are_measured_and_stay_what_they_are() -> None:
    def broken(alpha: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        return torch.where((alpha > 0.75) & (beta > 0.75), torch.nan, alpha + beta)

    surface = run_plan(plan_of(broken, Grid.parse("-1:1:21", "-1:1:21"), refine=0.01))
    assert surface.complete and (surface.status[0, 18:, 18:] == NOT_FINITE).all()
    assert (surface.status == NOT_FINITE).sum() == 9


def test_the_tolerance_is_part_of_the_key_only_if_there_is_one() -> None:
    plain, refined, other = small_plan(None), small_plan(0.005), small_plan(0.2)
    assert plain.spec["grid"].keys() == {"alpha", "beta"}
    assert refined.spec == {**plain.spec, "grid": {**plain.spec["grid"], "refine": 0.005}}
    assert len({plain.key, refined.key, other.key}) == 3
    assert Grid.from_spec(refined.spec["grid"]) == Grid.parse("-1:1:17", "-1:1:17").refined(0.005)


def test_the_argument_of_the_function_is_the_grid_with_a_tolerance(full: Surface) -> None:
    surface = compute_surface(
        network(), load_examples("digits", num_examples=8), attack=None, directions=1, device="cpu",
        grid=Grid.parse("-1:1:17", "-1:1:17"), refine=0.005,
    )  # fmt: skip
    assert surface.key == small_plan(0.005).key == replace_grid(small_plan(None), 0.005).key
    measured = surface.status == DONE
    assert 25 < measured.sum() < full.status.size
    np.testing.assert_array_equal(surface.clean_loss[measured], full.clean_loss[measured])


def replace_grid(plan: SurfacePlan, refine: float) -> SurfacePlan:
    return replace(plan, settings=replace(plan.settings, grid=plan.settings.grid.refined(refine)))


def test_refined_and_full_planes_share_their_points_and_each_keeps_its_own_set(full: Surface, tmp_path: Path) -> None:
    alone = run_plan(small_plan(0.005), cache_dir=tmp_path / "first")
    computed = count_computed(small_plan(None), tmp_path / "first")
    assert computed == full.num_points - alone.num_done
    run_plan(small_plan(None), cache_dir=tmp_path / "second")
    assert count_computed(small_plan(0.005), tmp_path / "second") == 0
    for folder in ("first", "second"):
        store = SurfaceStore(tmp_path / folder)
        refined, whole = store.load(small_plan(0.005).key), store.load(small_plan(None).key)
        assert refined is not None and whole is not None
        assert_same(refined, alone)
        assert_same(whole, full)
        from_full = [refined.point_provenance(point).get("reused_from") == full.key for point in refined.done_points()]
        assert all(from_full) if folder == "second" else not any(from_full)


def test_points_of_another_tolerance_and_own_ones_say_where_they_are_from(tmp_path: Path) -> None:
    coarse = run_plan(small_plan(0.01), cache_dir=tmp_path)
    fine = run_plan(small_plan(0.003), cache_dir=tmp_path)
    assert coarse.done_points() < fine.done_points()
    for point in fine.done_points():
        reused = fine.point_provenance(point).get("reused_from")
        assert reused == (coarse.key if point in coarse.done_points() else None)


def count_computed(plan: SurfacePlan, cache: Path) -> int:
    announced: list[int] = []
    run_plan(plan, cache_dir=cache, progress=lambda done, total: announced.append(done))
    return sum(later > earlier for earlier, later in zip(announced, announced[1:], strict=False))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 of a forked child needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # any fork, since 3.12
def test_kill_minus_nine_again_and_again_ends_with_the_same_nodes(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked child has no worker threads to wait for
    try:
        plan = small_plan(0.005)
        expected = run_plan(plan)
        acknowledged = die_often(plan, tmp_path, [7, 12, 9, 20, 40])
        assert acknowledged >= 80
        unfinished = SurfaceStore(tmp_path).collect(plan.key)
        assert unfinished is not None and not unfinished.complete
        assert list_surfaces(tmp_path)[0].state == "partial"
        assert_same(run_plan(plan, cache_dir=tmp_path), expected)
    finally:
        torch.set_num_threads(threads)


def test_a_cost_is_the_most_that_it_can_be_and_nothing_once_it_is_there(tmp_path: Path) -> None:
    plan = small_plan(0.005)
    before = estimate_cost(plan, cache_dir=tmp_path)
    assert (before.num_points, before.num_total) == (290, 290)
    surface = run_plan(plan, cache_dir=tmp_path)
    assert is_stored(plan, tmp_path) and estimate_cost(plan, cache_dir=tmp_path).num_points == 0
    left = estimate_cost(small_plan(None), cache_dir=tmp_path)
    assert left.num_points == 290 - surface.num_done
    (entry,) = list_surfaces(tmp_path)
    assert (entry.state, entry.num_done, entry.num_points) == ("complete", surface.num_done, 290)


def test_exported_tables_say_which_nodes_were_left_out(tmp_path: Path) -> None:
    surface = run_plan(small_plan(0.005))
    rows = list(csv.DictReader(export_surface(surface, tmp_path / "plane.csv").read_text().splitlines()))
    words = {"left out": 0, "done": 0}
    for row in rows:
        words[row["status"]] += 1
        assert (row["adversarial_loss"] == "") == (row["status"] == "left out")
    assert words == {"done": surface.num_done, "left out": surface.num_points - surface.num_done}


@pytest.mark.parametrize(
    ("grid", "refine", "message"),
    [
        pytest.param("-1:1:21", 0.1, "needs a plane of at least 17 x 17 nodes, got a line of 21; leave it", id="line"),
        pytest.param(Grid.parse("-1:1:21", "-1:1:16"), 0.1, "at least 17 x 17 nodes, got one of 21 x 16;", id="small"),
        pytest.param(
            Grid.parse("-1:1:21", "-1:1:21"), 0.0, "by more than a finite number above 0, got 0.0.", id="zero"
        ),
        pytest.param(Grid.parse("-1:1:21", "-1:1:21"), math.nan, "number above 0, got nan.", id="nan"),
        pytest.param(Grid.parse("-1:1:21", "-1:1:21"), math.inf, "number above 0, got inf.", id="infinite"),
    ],
)
def test_what_cannot_be_refined_is_refused(grid: Grid | str, refine: float, message: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_surface(network(), load_examples("digits", num_examples=4), attack=None, grid=grid, refine=refine)
    assert message in str(refused.value)


def test_shards_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="level by level, which shards cannot share; leave one out"):
        run_plan(small_plan(0.005), cache_dir=tmp_path, shard=Shard(number=1, count=2))
    assert not list(tmp_path.iterdir())


def test_the_centre_is_measured_without_a_node_at_zero() -> None:
    surface = run_plan(small_plan(0.5, "-1:1:18"))
    assert surface.complete and CENTRE in surface.done_points() and 0.0 not in surface.grid.alpha

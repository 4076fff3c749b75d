from __future__ import annotations

import math

import pytest
from torch import nn

from landscape.datasets.examples import Examples
from landscape.surfaces.compute import run_plan
from landscape.surfaces.surface import Grid
from landscape.surfaces.warm_bias import Bias, biases, full_attack_sample, largest
from landscape.surfaces.warm_sweep import warm_started
from tests.surfaces.lines import plan_of


def bias(warm: float, full: float) -> Bias:
    return Bias(direction=0, alpha=1.0, warm=warm, full=full)


def test_the_sample_is_compared_with_the_same_nodes_of_the_full_attack(model: nn.Module, digits: Examples) -> None:
    plan = warm_started(plan_of(model, digits, "-1:0.5:4", directions=6), 2)
    warm, full = run_plan(plan), run_plan(plan_of(model, digits, "-1:0.5:4", directions=6))
    found = biases(warm, run_plan(full_attack_sample(plan)))
    assert [(one.direction, one.alpha) for one in found] == [
        (0, -1.0),
        (0, -0.5),
        (0, 0.5),
        (1, -1.0),
        (1, -0.5),
        (1, 0.5),
    ]
    for one in found:
        at = one.direction, (-1.0, -0.5, 0.0, 0.5).index(one.alpha)
        assert (one.warm, one.full) == pytest.approx((warm.mean()[at], full.mean()[at]))
        assert one.relative == pytest.approx(warm.mean()[at] / full.mean()[at] - 1)
    worst = largest(found)
    assert worst is not None and abs(worst.relative) == max(abs(one.relative) for one in found) > 0


def test_the_sample_is_measured_under_the_key_of_the_full_attack(model: nn.Module, digits: Examples) -> None:
    sample = full_attack_sample(warm_started(plan_of(model, digits, "-1:1:9"), 2))
    assert sample.key == plan_of(model, digits, Grid(alpha=(-1.0, -0.5, 0.5, 1.0)), directions=1).key


@pytest.mark.parametrize(
    ("grid", "nodes"),
    [
        ("-1:1:21", (-1.0, -0.5, 0.5, 1.0)),
        ("-1:1:3", (-1.0, 1.0)),
        ("0:1:5", (0.5, 1.0)),
        ("-1:0.5:4", (-1.0, -0.5, 0.5)),
        ("0.5:1:6", (0.5, 1.0)),
        ("0:0:1", (0.0,)),
    ],
    ids=str,
)
def test_ends_and_middles_are_looked_at(
    model: nn.Module, digits: Examples, grid: str, nodes: tuple[float, ...]
) -> None:
    assert full_attack_sample(warm_started(plan_of(model, digits, grid), 2)).settings.grid.alpha == nodes


@pytest.mark.parametrize(("directions", "lines"), [(1, 1), (5, 1), (6, 2), (10, 2), (11, 3)], ids=str)
def test_one_direction_in_five_is_looked_at(model: nn.Module, digits: Examples, directions: int, lines: int) -> None:
    plan = warm_started(plan_of(model, digits, directions=directions), 2)
    assert full_attack_sample(plan).num_directions == lines


@pytest.mark.parametrize(
    ("warm", "full", "relative"),
    [(0.9, 1.0, -0.1), (-2.2, -2.0, -0.1), (0.0, 0.0, math.nan), (math.inf, 1.0, math.nan), (1.0, math.inf, math.nan)],
    ids=str,
)
def test_a_bias_is_relative_to_the_full_attack(warm: float, full: float, relative: float) -> None:
    assert bias(warm, full).relative == pytest.approx(relative, nan_ok=True)


def test_the_largest_bias_has_any_sign_and_is_defined() -> None:
    assert largest([bias(0.9, 1.0), bias(1.2, 1.0), bias(5.0, 0.0)]) == bias(1.2, 1.0)
    assert largest([bias(0.7, 1.0), bias(1.2, 1.0)]) == bias(0.7, 1.0)
    assert largest([bias(1.0, 0.0)]) is None

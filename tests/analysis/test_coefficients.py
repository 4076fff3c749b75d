from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from landscape.analysis.coefficients import COEFFICIENTS, Floats, partial

SCIPY: dict[str, Callable[[Floats, Floats], float]] = {
    "Pearson": lambda x, y: float(scipy.stats.pearsonr(x, y).statistic),
    "Spearman": lambda x, y: float(scipy.stats.spearmanr(x, y).statistic),
    "Kendall": lambda x, y: float(scipy.stats.kendalltau(x, y).statistic),
}


def sample(count: int, *, ties: bool, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((4, count)) + 0.7 * rng.standard_normal(count)
    return np.round(values) if ties else values


def literal_tau(x: Floats, y: Floats) -> float:
    concordant = untied_x = untied_y = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            concordant += np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
            untied_x += x[i] != x[j]
            untied_y += y[i] != y[j]
    return concordant / math.sqrt(untied_x * untied_y)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_unit_weights_give_the_coefficients_of_scipy(name: str, ties: bool) -> None:
    values = sample(23, ties=ties)
    found = COEFFICIENTS[name](values, np.ones((1, 23)))[0]
    for i in range(4):
        for j in range(4):
            assert found[i, j] == pytest.approx(SCIPY[name](values[i], values[j]), abs=1e-12)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_weights_are_copies_of_points(name: str) -> None:
    values = sample(9, ties=True)
    copies = np.random.default_rng(1).integers(0, 4, size=(6, 9)).astype(np.float64)
    found = COEFFICIENTS[name](values, copies)
    for row, counts in zip(found, copies.astype(int), strict=True):
        repeated = np.repeat(values, counts, axis=1)
        assert row[0, 1] == pytest.approx(SCIPY[name](repeated[0], repeated[1]), abs=1e-12)


def test_kendall_is_the_literal_double_loop() -> None:
    values = sample(12, ties=True, seed=3)
    found = COEFFICIENTS["Kendall"](values, np.ones((1, 12)))[0, 0, 1]
    assert found == pytest.approx(literal_tau(values[0], values[1]), abs=1e-14)


@pytest.mark.parametrize("name", COEFFICIENTS)
@pytest.mark.parametrize("constant", [0.0, 1e6, 0.1], ids=str)
def test_what_is_constant_has_no_coefficient(name: str, constant: float) -> None:
    values = sample(7, ties=False)
    values[1] = constant
    found = COEFFICIENTS[name](values, np.ones((1, 7)))[0]
    assert np.isnan(found[1]).all() and np.isfinite(found[0, 2])


@pytest.mark.parametrize("ranked", [False, True], ids=["Pearson", "Spearman"])
def test_a_partial_coefficient_is_that_of_the_residuals_of_two_regressions(ranked: bool) -> None:
    values = sample(31, ties=False, seed=5)
    values[3] = np.tile(np.arange(8.0), 4)[:31]
    matrix = COEFFICIENTS["Spearman" if ranked else "Pearson"](values, np.ones((1, 31)))
    numbers = np.stack([scipy.stats.rankdata(row) for row in values]) if ranked else values
    controls = np.stack([np.ones(31), numbers[2], numbers[3]], axis=1)
    left = [y - controls @ np.linalg.lstsq(controls, y, rcond=None)[0] for y in numbers[:2]]
    assert partial(matrix)[0] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-12)


def test_a_partial_tau_given_one_control_is_kendalls() -> None:
    values = sample(15, ties=False, seed=8)[:3]
    xy, xz, yz = (literal_tau(values[i], values[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    matrix = COEFFICIENTS["Kendall"](values, np.ones((1, 15)))
    assert partial(matrix)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_constant_control_and_a_repeated_one_control_nothing_more(name: str) -> None:
    values = sample(20, ties=False, seed=2)[:3]
    one = partial(COEFFICIENTS[name](values, np.ones((1, 20))))[0]
    for other in (np.full(20, 3.0), 2 * values[2] + 1):
        both = COEFFICIENTS[name](np.concatenate([values, other[None]]), np.ones((1, 20)))
        assert partial(both)[0] == pytest.approx(one, abs=1e-9)


def test_what_the_controls_determine_has_no_partial_coefficient() -> None:
    values = sample(20, ties=False)[:3]
    values[0] = 3 * values[2] - 1
    assert np.isnan(partial(COEFFICIENTS["Pearson"](values, np.ones((1, 20))))[0])

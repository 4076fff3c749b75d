from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from scipy.special import ndtr

from landscape.analysis.association import (
    FINAL,
    PARTIAL,
    POOLED,
    VARIANTS,
    WITHIN,
    Associations,
    Point,
    associations,
    interval,
)
from landscape.analysis.association_table import association_numbers, association_table
from landscape.analysis.coefficients import COEFFICIENTS
from landscape.errors import InputError
from landscape.randomness import Stream, uniform


def made(runs: int, epochs: int, *, seed: int = 0, strength: float = 0.6) -> list[Point]:
    """Checkpoints whose flatness and gap share an effect of their run and one of their epoch."""
    rng = np.random.default_rng(seed)
    points = []
    for run in range(runs):
        common = rng.standard_normal(2)
        for epoch in range(epochs):
            x, z = (common + rng.standard_normal(2)) / math.sqrt(2)
            y = strength * x + math.sqrt(1 - strength**2) * z
            points.append(
                Point(
                    run=f"run-{run}", epoch=epoch, name=f"run-{run}, epoch {epoch}", method="at", flatness=x,
                    gap=y / 20, train_robust_loss=rng.standard_normal(), is_final=epoch == epochs - 1,
                )
            )  # fmt: skip
    return points


def test_each_variant_is_what_it_says() -> None:
    points = made(9, 5)
    found = associations(points, resamples=50)
    x, y = np.array([p.flatness for p in points]), np.array([p.gap for p in points])
    assert found.row(POOLED, "Pearson").value == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
    last = [p.is_final for p in points]
    tau = scipy.stats.kendalltau(x[last], y[last]).statistic
    assert found.row(FINAL, "Kendall").value == pytest.approx(tau, abs=1e-12)
    each = [scipy.stats.spearmanr(x[5 * r : 5 * r + 5], y[5 * r : 5 * r + 5]).statistic for r in range(9)]
    assert found.row(WITHIN, "Spearman").value == pytest.approx(np.mean(each), abs=1e-12)
    assert [found.row(v, "Pearson").num_points for v in VARIANTS] == [45, 45, 9, 45]
    assert {found.row(v, "Pearson").num_runs for v in VARIANTS} == {9}


def test_a_partial_coefficient_takes_out_what_loss_and_epoch_bring() -> None:
    rng = np.random.default_rng(0)
    points = [
        replace(p, flatness=p.epoch + 2 * p.train_robust_loss + rng.standard_normal() / 9, gap=gap)
        for p in made(10, 8)
        for gap in [(p.epoch + 2 * p.train_robust_loss + rng.standard_normal() / 9) / 100]
    ]
    found = associations(points, resamples=200)
    pooled, rest = found.row(POOLED, "Pearson"), found.row(PARTIAL, "Pearson")
    assert pooled.value > 0.99 and abs(rest.value) < 0.25
    assert rest.low is not None and rest.high is not None and rest.low < 0 < rest.high


def literal_interval(points: list[Point], coefficient: str, resamples: int, seed: int) -> tuple[float, float]:
    runs = sorted({p.run for p in points})
    draws = uniform(resamples * len(runs), seed=seed, stream=Stream.BOOTSTRAP)
    values = []
    for resample in range(resamples):
        chosen: list[Point] = []
        for draw in draws[resample * len(runs) : (resample + 1) * len(runs)]:
            chosen += [p for p in points if p.run == runs[int(draw * len(runs))]]
        x, y = [p.flatness for p in chosen], [p.gap for p in chosen]
        found = scipy.stats.pearsonr(x, y) if coefficient == "Pearson" else scipy.stats.kendalltau(x, y)
        values.append(float(found.statistic))
    tail = float(ndtr(math.sqrt(8 / 7) * scipy.stats.t(7).ppf(0.025)))
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


@pytest.mark.parametrize("coefficient", ["Pearson", "Kendall"])
def test_the_interval_is_that_of_a_literal_bootstrap_of_runs(coefficient: str) -> None:
    points = made(8, 3)
    row = associations(points, resamples=60, seed=4).row(POOLED, coefficient)
    assert (row.low, row.high) == pytest.approx(literal_interval(points, coefficient, 60, 4), abs=1e-12)


def test_the_interval_covers_and_points_taken_as_independent_would_not() -> None:
    """Runs of nearly equal checkpoints: 5 times 8 points are hardly more than 8."""
    rho, covered, naive, count = 0.6, 0, 0, 100
    for seed in range(count):
        rng = np.random.default_rng(seed)
        points = []
        for run in range(8):
            common = rng.standard_normal(2)
            for epoch in range(5):
                x, z = math.sqrt(0.9) * common + math.sqrt(0.1) * rng.standard_normal(2)
                points.append(
                    Point(
                        run=f"{run}", epoch=epoch, name=f"{run} {epoch}", method=None, flatness=x,
                        gap=rho * x + math.sqrt(1 - rho**2) * z, train_robust_loss=0.0, is_final=False,
                    )
                )  # fmt: skip
        row = associations(points, resamples=200).row(POOLED, "Pearson")
        assert row.low is not None and row.high is not None
        covered += row.low <= rho <= row.high
        half = 1.96 / math.sqrt(len(points) - 3)
        naive += abs(math.atanh(row.value) - math.atanh(rho)) <= half
    assert covered / count >= 0.9
    assert naive / count < 0.75


def test_neither_the_order_of_points_nor_repeating_the_call_changes_anything() -> None:
    points = made(8, 3)
    shuffled = [points[i] for i in np.random.default_rng(0).permutation(len(points))]
    first, again, other = (associations(p, resamples=100) for p in (points, points, shuffled))
    assert first == again == other
    assert first != associations(points, resamples=100, seed=1)


def test_below_eight_runs_there_is_no_interval_and_the_text_says_so() -> None:
    found = associations(made(7, 4), resamples=30)
    assert all(row.low is None and row.high is None for row in found.rows)
    assert "No interval below 8 runs." in association_table(found)


def test_runs_too_short_for_a_coefficient_of_their_own_are_counted() -> None:
    points = [p for p in made(9, 4) if p.run != "run-0" or p.epoch < 2]
    row = associations(points, resamples=30).row(WITHIN, "Kendall")
    assert (row.num_points, row.num_runs) == (32, 8) and row.low is not None


def test_degenerate_resamples_are_counted() -> None:
    # All runs but one have the same flatness: resamples without that one have no coefficient.
    points = [replace(p, flatness=p.flatness if p.run == "run-0" else 1.0) for p in made(8, 3)]
    found = associations(points, resamples=400)
    lost = found.row(POOLED, "Spearman").num_degenerate
    assert lost / 400 == pytest.approx((7 / 8) ** 8, abs=0.1)
    assert f"Resamples left out, where a coefficient is not defined: {lost} pooled" in association_table(found)


def test_what_does_not_vary_has_no_coefficient() -> None:
    found = associations([replace(p, gap=0.1) for p in made(8, 3)], resamples=20)
    assert all(math.isnan(row.value) and row.low is None for row in found.rows)
    assert "not defined" in association_table(found)
    assert association_numbers(found)["rows"][0]["value"] is None


def test_points_without_finite_numbers_are_left_out_and_counted() -> None:
    points = made(8, 3)
    points[4] = replace(points[4], flatness=math.nan)
    points[7] = replace(points[7], train_robust_loss=math.inf)
    found = associations(points, resamples=20)
    assert (found.num_points, found.num_left_out) == (22, 2)
    assert "Left out, with a number that is not finite: 2 checkpoints." in association_table(found)


def test_a_partial_coefficient_needs_more_points_than_it_has_controls() -> None:
    found = associations(made(2, 2), resamples=5)
    assert math.isnan(found.row(PARTIAL, "Pearson").value) and math.isfinite(found.row(POOLED, "Pearson").value)


def test_the_table_claims_an_association_and_no_cause() -> None:
    text = association_table(associations(made(8, 3), resamples=100), flatness="rise(0.5)")
    assert "association of rise(0.5) with the robust generalization gap, 24 checkpoints of 8 runs" in text
    assert "It contains train accuracy" in text and "none says what makes a gap small" in text
    assert "95 % interval, 100 resamples of runs" in text
    assert all(f"\n{variant}: " in text for variant in VARIANTS)
    assert not any(word in text for word in ("cause", "because of", "leads to", "due to"))
    assert max(map(len, text.splitlines())) <= 120


def test_a_control_that_is_constant_is_named() -> None:
    found = associations([p for p in made(9, 3) if p.is_final], resamples=20)
    assert found.constant_controls == ("epoch",)
    assert "nothing is held fixed by it: epoch." in association_table(found)


@pytest.mark.parametrize(
    ("points", "resamples", "message"),
    [
        (made(1, 2), 10, "an association needs at least 3 checkpoints with finite numbers, got 2; name more."),
        (made(3, 2) + made(1, 1), 10, "each checkpoint counts once, got run-0, epoch 0 of run-0 twice; leave one out."),
        (
            [replace(p, is_final=True) for p in made(2, 3)],
            10,
            "a run has one last checkpoint, got two for run-0; give them names of their own.",
        ),
        (made(3, 2), 0, "a bootstrap takes at least 1 resample, got 0."),
    ],
    ids=["too few", "twice", "two last", "no resample"],
)
def test_bad_input(points: list[Point], resamples: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        associations(points, resamples=resamples)


def test_a_known_coefficient_is_found() -> None:
    found: Associations = associations(made(100, 3, strength=0.8), resamples=5)
    expected = {"Pearson": 0.8, "Spearman": 6 / math.pi * math.asin(0.4), "Kendall": 2 / math.pi * math.asin(0.8)}
    for coefficient in COEFFICIENTS:
        assert found.row(POOLED, coefficient).value == pytest.approx(expected[coefficient], abs=0.1)
        assert found.row(FINAL, coefficient).value == pytest.approx(expected[coefficient], abs=0.1)


def test_an_interval_of_many_runs_has_the_usual_quantiles() -> None:
    values = np.linspace(0, 1, 10001)
    assert interval(values, 10**6) == pytest.approx((0.025, 0.975), abs=1e-3)
    low, high = interval(values, 8)
    assert low < 0.01 and high > 0.99

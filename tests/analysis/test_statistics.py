from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from landscape.analysis.samples import direction_rises, why_no_rise
from landscape.analysis.statistics import (
    RADII,
    estimate_difference,
    paired_difference,
    rise,
    summarize_curve,
    t_quantile,
)
from landscape.errors import InputError
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface
from tests.analysis.synthetic import SPEC, make_surface, measurement


def polynomial_surface(grid: str, coefficients: tuple[float, ...]) -> Surface:
    """g_i(alpha) = (1 + i) * p(alpha) along every one of three directions."""
    nodes = Grid.parse(grid)
    draft = Draft(
        key="0" * 64,
        spec={**SPEC, "grid": nodes.to_spec(), "num_directions": 3},
        example_ids=np.arange(4),
        labels=np.zeros(4, dtype=np.int64),
    )
    entry = draft.add_provenance({})
    scale = 1.0 + np.arange(4)
    draft.put(CENTRE, measurement(scale * np.polyval(coefficients, 0.0), scale), entry)
    for direction in range(3):
        for index, alpha in enumerate(nodes.alpha):
            draft.put((direction, index), measurement(scale * np.polyval(coefficients, alpha), scale), entry)
    return draft.surface()


def literal_rise(surface: Surface, radius: float) -> float:
    """The definition, loop by loop."""
    plus, minus = surface.grid.alpha.index(radius), surface.grid.alpha.index(-radius)
    total = 0.0
    count = 0
    for direction in range(len(surface.direction_ids)):
        for node in (plus, minus):
            for example in range(len(surface.example_ids)):
                total += float(surface.adversarial_loss[direction, node, example])
                total -= float(surface.centre.adversarial_loss[example])
                count += 1
    return total / count


def test_repeatability_over_directions_is_the_literal_coefficient_of_variation() -> None:
    surface = make_surface(num_directions=5, num_examples=30)
    for radius in (0.1, 0.5, 1.0):
        plus, minus = surface.grid.alpha.index(radius), surface.grid.alpha.index(-radius)
        rises = []
        for direction in range(5):
            total = 0.0
            for example in range(30):
                for node in (plus, minus):
                    total += float(surface.adversarial_loss[direction, node, example]) / 60
                total -= float(surface.centre.adversarial_loss[example]) / 30
            rises.append(total)
        middle = sum(rises) / 5
        deviation = (sum((one - middle) ** 2 for one in rises) / 4) ** 0.5
        found = rise(surface, radius)
        assert found is not None
        assert found.variation_directions == pytest.approx(deviation / middle, rel=1e-9)
    alone = rise(make_surface(num_directions=1), 0.5)
    assert alone is not None and np.isnan(alone.variation_directions)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
def test_rise_at_nodes_is_the_definition(radius: float) -> None:
    surface = make_surface(num_directions=4, num_examples=30)
    found = rise(surface, radius)
    assert found is not None
    assert found.value == pytest.approx(literal_rise(surface, radius), rel=1e-12)
    assert not found.interpolated
    assert (found.num_directions, found.num_examples, found.num_masked) == (4, 30, 0)
    nodes = [surface.grid.alpha.index(radius), surface.grid.alpha.index(-radius)]
    assert found.robust_accuracy == pytest.approx(surface.adversarial_correct[:, nodes].mean())


def test_standard_errors_of_a_rise() -> None:
    surface = make_surface(num_directions=5, num_examples=40)
    found = rise(surface, 0.5)
    assert found is not None
    nodes = [surface.grid.alpha.index(0.5), surface.grid.alpha.index(-0.5)]
    rises = surface.adversarial_loss[:, nodes].astype(float).mean(axis=1) - surface.centre.adversarial_loss
    assert found.standard_error_directions == pytest.approx(scipy.stats.sem(rises.mean(axis=1)))
    assert found.standard_error_examples == pytest.approx(scipy.stats.sem(rises.mean(axis=0)))


@pytest.mark.parametrize(
    ("grid", "interpolated"),
    [("-1:1:21", True), ("-0.5:0.5:6", True), ("-1:1:20", True), ("-1:1:9", False), ("-0.6:1:9", True)],
    ids=["around 0.25", "few nodes", "no node at 0", "a node", "not symmetric"],
)
def test_interpolation_is_exact_for_cubics(grid: str, interpolated: bool) -> None:
    surface = polynomial_surface(grid, (0.5, 2.0, -1.0, 3.0))
    found = rise(surface, 0.25)
    assert found is not None
    assert found.interpolated is interpolated
    # The odd powers cancel between both signs; 2.5 is the mean of 1 + i.
    assert found.value == pytest.approx(2.5 * 2.0 * 0.25**2, rel=1e-5)
    assert found.standard_error_directions == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("grid", "radius"),
    [("-0.5:0.5:11", 1.0), ("-0.5:1:16", 1.0), ("0:1:11", 0.5), ("-1:1:3", 0.5), ("-1:1:5", 0.25)],
    ids=["outside", "outside on one side", "one side only", "too few nodes", "nodes too far apart"],
)
def test_no_rise_where_the_grid_does_not_reach(grid: str, radius: float) -> None:
    surface = make_surface(grid=grid, num_directions=3, num_examples=10)
    assert rise(surface, radius) is None
    assert paired_difference(surface, make_surface(num_directions=3, num_examples=10), radius) is None


@pytest.mark.parametrize(
    ("grid", "radius", "reason"),
    [
        ("-0.5:0.5:11", 1.0, "the grid does not reach ±r"),
        ("0:1:11", 0.5, "the grid does not reach ±r"),
        ("-1:1:5", 0.25, "the nodes lie too far apart"),
        ("-1:1:3", 0.5, "the nodes lie too far apart"),
        ("-1:1:21", 0.25, None),
        ("-1:1:3", 1.0, None),
    ],
)
def test_why_there_is_no_rise(grid: str, radius: float, reason: str | None) -> None:
    surface = make_surface(grid=grid, num_directions=2, num_examples=3)
    assert why_no_rise(surface, radius) == reason
    assert (rise(surface, radius) is None) == (reason is not None)


def test_without_attack_there_is_no_robust_accuracy() -> None:
    surface = make_surface(num_directions=2, num_examples=20, objective="clean", attack={"name": "none"})
    summary, found = summarize_curve(surface), rise(surface, 0.5)
    assert found is not None
    assert np.isnan([*summary.robust_accuracy, summary.centre_robust_accuracy, found.robust_accuracy]).all()
    nodes = [surface.grid.alpha.index(0.5), surface.grid.alpha.index(-0.5)]
    assert found.natural_accuracy == pytest.approx(surface.clean_correct[:, nodes].mean())
    np.testing.assert_allclose(summary.natural_accuracy, surface.clean_correct.mean(axis=(0, 2)))


def test_directions_with_masked_points_are_left_out_and_counted() -> None:
    whole = make_surface(num_directions=6, num_examples=30)
    holes = make_surface(num_directions=6, num_examples=30, missing=((1, 20),), not_finite=((4, 0), (2, 10)))
    found, partial = rise(whole, 1.0), rise(holes, 1.0)
    assert found is not None
    assert partial is not None
    assert (partial.num_directions, partial.num_masked) == (4, 2)
    rises = direction_rises(whole, 1.0, "loss")
    assert rises is not None
    assert partial.value == pytest.approx(rises.values[[0, 2, 3, 5]].mean())
    # At r = 0.5 nothing is missing: the hole at the centre node of direction 2 is not used.
    assert rise(holes, 0.5) == rise(whole, 0.5)


def test_nothing_finite_is_nan_not_a_number() -> None:
    surface = make_surface(num_directions=3, num_examples=10, centre_finite=False)
    found = rise(surface, 0.5)
    assert found is not None
    assert np.isnan(found.value)
    assert (found.num_directions, found.num_masked) == (0, 3)
    difference = paired_difference(surface, surface, 0.5)
    assert difference is not None
    assert (difference.low, difference.shown) == (None, False)


@pytest.mark.parametrize("quantity", ["loss", "robust-error", "natural-loss", "natural-error"])
def test_summary_is_mean_and_spread_at_each_alpha(quantity: str) -> None:
    surface = make_surface(num_directions=4, num_examples=25)
    summary = summarize_curve(surface, quantity)
    values = surface.values(quantity)
    np.testing.assert_allclose(summary.mean, values.mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(summary.spread_directions, values.mean(axis=2).std(axis=0, ddof=1), atol=1e-12)
    np.testing.assert_allclose(
        summary.standard_error_examples, scipy.stats.sem(values.mean(axis=0), axis=1), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(summary.robust_accuracy, surface.adversarial_correct.mean(axis=(0, 2)))
    half = scipy.stats.t.ppf(0.975, 3) * summary.spread_directions / 2
    np.testing.assert_allclose(summary.high - summary.mean, half, atol=1e-12)
    np.testing.assert_allclose(summary.mean - summary.low, half, atol=1e-12)
    assert summary.centre == pytest.approx(surface.centre_values(quantity).mean())


def test_summary_counts_what_it_masks() -> None:
    surface = make_surface(num_directions=4, num_examples=10, missing=((0, 0), (1, 0)), not_finite=((2, 0), (3, 5)))
    summary = summarize_curve(surface)
    assert (summary.num_points, summary.num_missing, summary.num_not_finite) == (84, 2, 2)
    assert summary.num_directions[[0, 5, 9]].tolist() == [1, 3, 4]
    assert summary.mean[0] == pytest.approx(surface.mean()[3, 0])
    assert np.isnan(summary.spread_directions[0])
    assert np.isnan(summary.low[0])
    assert np.isfinite(summary.low[5])


def test_two_directions_have_no_interval() -> None:
    a, b = (make_surface(num_directions=2, num_examples=20, sharpness=sharpness) for sharpness in (8.0, 4.0))
    assert np.isnan(summarize_curve(a).low).all()
    found = paired_difference(a, b, 0.5)
    assert found is not None
    assert (found.low, found.high, found.shown) == (None, None, False)
    assert found.value > 0


def test_paired_difference_is_the_formula() -> None:
    a = make_surface(sharpness=8.0, num_directions=6, num_examples=50, seed=1)
    b = make_surface(sharpness=5.0, num_directions=6, num_examples=50, seed=2)
    found = paired_difference(a, b, 0.5)
    first, second = direction_rises(a, 0.5, "loss"), direction_rises(b, 0.5, "loss")
    assert found is not None
    assert first is not None
    assert second is not None
    d = first.values - second.values
    errors = scipy.stats.sem(d.mean(axis=1)), scipy.stats.sem(d.mean(axis=0))
    half = scipy.stats.t.ppf(0.975, 5) * np.hypot(*errors)
    assert found.paired
    assert (found.low, found.high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert (found.standard_error_directions, found.standard_error_examples) == pytest.approx(errors)
    assert (found.num_directions, found.num_examples) == (6, 50)


def test_pairing_takes_common_directions() -> None:
    a = make_surface(num_directions=10, num_examples=20, not_finite=((0, 15),))
    b = make_surface(num_directions=6, num_examples=20, sharpness=4.0, missing=((3, 5),))
    found = paired_difference(a, b, 0.5)
    first, second = direction_rises(a, 0.5, "loss"), direction_rises(b, 0.5, "loss")
    assert found is not None
    assert first is not None
    assert second is not None
    assert found.paired
    assert (found.num_directions, found.num_masked) == (4, 2)
    rows = [first.direction_ids.tolist().index(i) for i in (1, 2, 4, 5)]
    others = [second.direction_ids.tolist().index(i) for i in (1, 2, 4, 5)]
    assert found.value == pytest.approx((first.values[rows] - second.values[others]).mean())


def test_unpaired_directions_are_independent_samples() -> None:
    a = make_surface(sharpness=8.0, num_directions=8, num_examples=50, seed=1)
    b = make_surface(sharpness=5.0, num_directions=5, num_examples=50, seed=2, parameter_shapes="other")
    found = paired_difference(a, b, 0.5)
    first, second = direction_rises(a, 0.5, "loss"), direction_rises(b, 0.5, "loss")
    assert found is not None
    assert first is not None
    assert second is not None
    over_directions = np.hypot(*(scipy.stats.sem(rises.values.mean(axis=1)) for rises in (first, second)))
    over_examples = scipy.stats.sem(first.values.mean(axis=0) - second.values.mean(axis=0))
    half = scipy.stats.t.ppf(0.975, 4) * np.hypot(over_directions, over_examples)
    assert (found.paired_directions, found.paired_examples) == (False, True)
    assert found.unpaired_because == ("the shapes of their parameters differ",)
    assert found.high == pytest.approx(first.values.mean() - second.values.mean() + half)


def test_other_examples_are_independent_samples() -> None:
    a = make_surface(num_directions=5, num_examples=50)
    b = make_surface(num_directions=5, num_examples=30, seed=3, data={"split": "test", "digest": "data-1"})
    found = paired_difference(a, b, 0.5)
    assert found is not None
    assert (found.paired_directions, found.paired_examples) == (True, False)
    assert (found.num_directions, found.num_examples) == (5, 30)
    assert found.low is not None


EFFECTS = {"directions": (1.0, 3.0, 1.0), "both": (1.0, 6.0, 1.0), "examples": (0.2, 20.0, 4.0)}


@pytest.mark.parametrize("num_directions", [5, 10])
@pytest.mark.parametrize("effects", EFFECTS.values(), ids=EFFECTS.keys())
def test_interval_covers_and_examples_alone_do_not(num_directions: int, effects: tuple[float, float, float]) -> None:
    """1,000 times: crossed random effects of directions and examples, true difference 0.7."""
    generator = np.random.default_rng(0)
    num_examples, truth, num_simulations = 200, 0.7, 1000
    covered = examples_only = directions_only = 0
    for _ in range(num_simulations):
        of_directions = effects[0] * generator.standard_normal((num_directions, 1))
        of_examples = effects[1] * generator.standard_normal((1, num_examples))
        noise = effects[2] * generator.standard_normal((num_directions, num_examples))
        base = generator.standard_normal((num_directions, num_examples))
        d = truth + of_directions + of_examples + noise
        value, half, error_directions, error_examples = estimate_difference(base + d, base)
        assert half is not None
        covered += int(abs(value - truth) <= half)
        examples_only += int(abs(value - truth) <= 1.96 * error_examples)
        directions_only += int(abs(value - truth) <= float(t_quantile(num_directions)) * error_directions)
    assert covered / num_simulations >= 0.94
    if effects is EFFECTS["both"]:
        assert max(directions_only, examples_only) / num_simulations < 0.9
    if effects is EFFECTS["directions"]:
        assert examples_only / num_simulations < 0.8


def test_unpaired_interval_covers() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        examples = generator.standard_normal((1, 100))
        a = 1.0 + generator.standard_normal((5, 1)) + 4 * examples + generator.standard_normal((5, 100))
        b = 0.4 + 0.5 * generator.standard_normal((8, 1)) + 2 * examples + generator.standard_normal((8, 100))
        value, half, *_ = estimate_difference(a, b, paired_directions=False)
        covered += int(half is not None and abs(value - 0.6) <= half)
    assert covered >= 940


def test_t_quantile_is_that_of_scipy() -> None:
    np.testing.assert_allclose(t_quantile(np.array([3, 5, 10])), scipy.stats.t.ppf(0.975, [2, 4, 9]))
    assert np.isnan(t_quantile(1))


@pytest.mark.parametrize("radius", [0.0, -0.5, float("nan"), float("inf")])
def test_radius_is_positive(radius: float) -> None:
    with pytest.raises(InputError, match="a radius is a positive number"):
        rise(make_surface(num_directions=1, num_examples=2), radius)


def test_unknown_quantity_is_named() -> None:
    with pytest.raises(InputError, match="a quantity is one of loss"):
        rise(make_surface(num_directions=1, num_examples=2), 0.5, "accuracy")


def test_radii_are_those_of_every_table() -> None:
    assert RADII == (0.1, 0.25, 0.5, 1.0)

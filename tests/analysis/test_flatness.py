from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.analysis.flatness import DEFINITIONS, Measure, difference
from landscape.analysis.flatness_export import flatness_csv, flatness_numbers
from landscape.analysis.flatness_measures import (
    curvature,
    hessian_trace,
    pac_bayes_complexity,
    pac_bayes_terms,
    rises,
    top_eigenvalue,
    worst_case_rise,
)
from landscape.analysis.flatness_table import Flatness, flatness_text, plus_minus
from landscape.analysis.statistics import paired_difference, rise
from landscape.names import FLATNESS_MEASURES
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface
from tests.analysis.synthetic import SPEC, make_surface, measurement

WINDOW = "-0.25:0.25:11"


def parabolas(
    second: np.ndarray, *, slope: float = 3.0, kink: float = 0.0, grid: str = WINDOW, **changes: Any
) -> Surface:
    """g of direction d and example i: 1 + slope a + second[d, i] a^2 / 2 + kink |a|."""
    spec = {**SPEC, **changes, "grid": Grid.parse(grid).to_spec(), "num_directions": len(second)}
    count = second.shape[1]
    draft = Draft(key="ab" * 32, spec=spec, example_ids=np.arange(count), labels=np.zeros(count, int))
    entry = draft.add_provenance({"label": "parabola"})
    draft.put(CENTRE, measurement(np.ones(count), np.ones(count)), entry)
    for direction, row in enumerate(second):
        for index, alpha in enumerate(Grid.parse(grid).alpha):
            losses = 1 + slope * alpha + row * alpha**2 / 2 + kink * abs(alpha)
            draft.put((direction, index), measurement(losses, losses), entry)
    return draft.surface()


def recorded(kind: str, **found: list[float]) -> Surface:
    spec = {**SPEC, "grid": Grid.parse("-1:1:3").to_spec(), "num_directions": 1}
    spec["directions"] = {"kind": kind, "probes": len(next(iter(found.values()))), "model": "m"}
    draft = Draft(key="cd" * 32, spec=spec, example_ids=np.arange(3), labels=np.zeros(3, int))
    draft.add_provenance({"label": "a", "directions": found})
    return draft.surface()


def test_every_measure_has_a_definition_with_a_source() -> None:
    assert set(DEFINITIONS) == set(FLATNESS_MEASURES)
    assert all(about.formula and about.source for about in DEFINITIONS.values())


def test_rises_are_those_of_the_curves_with_both_errors() -> None:
    surface = make_surface()
    for measure, radius in zip(rises(surface, (0.25, 0.5)), (0.25, 0.5), strict=True):
        known = rise(surface, radius)
        assert known is not None and measure.value == pytest.approx(known.value)
        assert measure.robust_accuracy == known.robust_accuracy and measure.interpolated == known.interpolated
        expected = math.hypot(known.standard_error_directions, known.standard_error_examples)
        assert measure.standard_error == pytest.approx(expected)
    assert rises(make_surface(grid="-0.2:0.2:5"), (0.5,)) == []


def test_curvature_is_twice_the_quadratic_coefficient_of_a_literal_fit() -> None:
    surface = make_surface(num_directions=3, num_examples=7)
    found = curvature(surface)
    assert found is not None and found.num_draws == 3
    nodes = np.array([alpha for alpha in surface.grid.alpha if abs(alpha) <= 0.25])
    for direction in range(3):
        for example in range(7):
            losses = surface.values()[direction, np.isin(surface.grid.alpha, nodes), example]
            assert found.samples[direction, example] == pytest.approx(2 * np.polyfit(nodes, losses, 2)[0], rel=1e-6)


def test_slopes_leave_curvature_alone_and_its_error_has_both_parts() -> None:
    second = 10 + np.add.outer([-1.0, 0.0, 1.0], [-2.0, 2.0])
    found = curvature(parabolas(second))
    assert found is not None and found.note == "" and found.unit == "nats/α²"
    assert found.value == pytest.approx(10, rel=1e-4)
    assert found.standard_error == pytest.approx(math.hypot(1 / math.sqrt(3), 2.0), rel=1e-3)


def test_a_flat_curve_has_no_curvature_and_no_warning() -> None:
    found = curvature(parabolas(np.zeros((3, 4)), slope=0.0))
    assert found is not None and found.value == 0 and found.note == ""


@pytest.mark.parametrize(
    ("grid", "kink", "note"),
    [
        (WINDOW, 0.0, ""),
        (
            WINDOW,
            1.0,
            r"warning: half the window \|α\| <= 0.25 changes it by more than 20 %: the curve is no parabola there",
        ),
        ("-1:1:11", 0.0, r"window \|α\| <= 0.25; half of it holds too few nodes to compare"),
        ("-1:1:3", 0.0, None),
        ("0:1:11", 0.0, None),
    ],
    ids=["parabola", "kink", "coarse", "none inside", "one side"],
)
def test_what_is_said_about_the_window(grid: str, kink: float, note: str | None) -> None:
    found = curvature(parabolas(np.full((3, 4), 10.0), kink=kink, grid=grid))
    if note is None:
        assert found is None
    else:
        assert found is not None
        assert re.fullmatch(note, found.note)


def test_directions_with_points_that_are_not_finite_are_left_out_and_named() -> None:
    surface = make_surface(num_directions=4, not_finite=((1, 9),))
    found = curvature(surface)
    assert found is not None and found.num_draws == 3
    assert "1 left out because of points that are missing or not finite" in found.note
    broken = curvature(make_surface(num_directions=2, centre_finite=False))
    assert broken is not None and broken.num_draws == 0 and math.isnan(broken.value)


def test_the_worst_case_is_one_direction_with_the_error_over_examples() -> None:
    surface = parabolas(np.array([[2.0, 4.0]]), grid="0.1:0.2:2")
    one = Surface(**{**vars(surface), "grid": Grid(alpha=(0.1,)), "status": surface.status[:, :1]})
    found = worst_case_rise(one)
    np.testing.assert_allclose(found.samples, [[0.31, 0.32]], rtol=1e-5)
    assert found.standard_error == pytest.approx(0.005, rel=1e-3) and found.num_draws == 1


def test_recorded_numbers_of_the_hessian() -> None:
    top = top_eigenvalue(recorded("hessian", eigenvalues=[4.0, 3.0]))
    assert (top.value, top.num_draws) == (4.0, 1) and math.isnan(top.standard_error)
    trace = hessian_trace(recorded("hessian-trace", quadratic_forms=[10.0, 14.0, 12.0]))
    assert trace.value == 12.0 and trace.standard_error == pytest.approx(2 / math.sqrt(3))
    other = hessian_trace(recorded("hessian-trace", quadratic_forms=[9.0, 13.0, 10.0]))
    apart = difference(trace, other)
    assert apart.paired and apart.value == pytest.approx(4 / 3)
    assert apart.standard_error == pytest.approx(np.std([1.0, 1.0, 2.0], ddof=1) / math.sqrt(3))
    nothing = hessian_trace(recorded("hessian-trace", other=[1.0]))
    assert math.isnan(nothing.value)


def test_pac_bayes_terms_are_rises_of_error_and_loss_at_the_scale() -> None:
    surface = make_surface(grid="-0.25:0.25:2", directions={"kind": "gaussian", "sigma": "layer"})
    errors, losses = pac_bayes_terms(surface)
    expected = surface.values("robust-error").mean() - surface.centre_mean("robust-error")
    assert errors.value == pytest.approx(expected) and errors.name == "pac-bayes(0.25) 0-1"
    assert losses.value == pytest.approx(surface.values().mean() - surface.centre_mean())


def test_the_other_term_of_the_bound() -> None:
    """KL of N(w, s^2) from N(0, s^2) with s_l^2 = a^2 ||w_l||^2 / n_l, layer by layer."""
    layers, n, scale = {"a": (6, 3.0), "b": (10, 0.5)}, 1000, 0.1
    divergence = sum(norm**2 / (2 * scale**2 * norm**2 / count) for count, norm in layers.values())
    expected = 4 * math.sqrt((divergence + math.log(2 * n / 0.05)) / n)
    assert pac_bayes_complexity(16, n, scale=scale) == pytest.approx(expected)


def test_differences_of_rises_are_those_of_paired_curves() -> None:
    a, b = make_surface(), make_surface(sharpness=5.0, seed=1, weights="weights-1")
    known = paired_difference(a, b, 0.5)
    found = difference(rises(a, (0.5,))[0], rises(b, (0.5,))[0])
    assert known is not None and known.low is not None and found.low is not None and found.paired
    assert (found.value, found.low, found.high) == pytest.approx((known.value, known.low, known.high))


def test_differences_on_other_draws_are_unpaired_and_few_draws_have_no_interval() -> None:
    a, b = make_surface(), make_surface(sharpness=5.0, weights="w", directions={"seed": 1})
    known = paired_difference(a, b, 0.5)
    found = difference(rises(a, (0.5,))[0], rises(b, (0.5,))[0])
    assert known is not None and known.low is not None
    assert not found.paired
    few = [rises(make_surface(num_directions=2, weights=name), (0.5,))[0] for name in "ab"]
    assert difference(*few).low is None


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.5986, 0.0713, "1.599 ± 0.071"),
        (123.456, 12.3, "123 ± 12"),
        (3.0, math.nan, "3"),
        (math.nan, 1.0, "-"),
        (0.00123, 0.0, "0.00123"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value: float, error: float, text: str) -> None:
    assert plus_minus(value, error) == text


def row_of(label: str, **changes: Any) -> Flatness:
    surface = make_surface(label=label, weights=label, **changes)
    bent = curvature(surface)
    assert bent is not None
    measures: tuple[Measure, ...] = (*rises(surface, (0.5, 1.0)), bent, *pac_bayes_terms(surface))
    return Flatness(label=label, path=Path(f"{label}.pt"), surface=surface, measures=measures, epoch=3, run="r")


def test_tables_say_values_errors_accuracies_definitions_and_differences() -> None:
    text = flatness_text([row_of("at"), row_of("awp", sharpness=5.0)])
    lines = text.splitlines()
    assert lines[0] == "rise(r) ± SE (nats), and the robust accuracy at ±r"
    assert lines[1].split() == ["at", "r", "=", "0", "r", "=", "0.5", "r", "=", "1"]
    assert "%)" in lines[2] and " ± " in lines[2]
    for wanted in (
        "curvature = 2 c",
        "Algorithm 1",
        "Eq. 12",
        "10 directions; SE over directions and examples",
    ):
        assert wanted in text
    assert "at minus awp (train); paired: the same draws and examples" in text
    assert all(len(line) == len(line.rstrip()) for line in lines)
    assert "minus" not in flatness_text([row_of(name) for name in "abc"])


@pytest.mark.parametrize(
    ("bent", "count", "owners"),
    [(2, 2, "all"), (1, 2, "c0"), (2, 4, "c0, c1"), (5, 6, "c0 and 4 more")],
    ids=["all", "one", "two", "many"],
)
def test_notes_say_whom_they_are_about(bent: int, count: int, owners: str) -> None:
    rows = []
    for number in range(count):
        found = curvature(parabolas(np.full((3, 4), 10.0), kink=1.0 if number < bent else 0.0))
        assert found is not None
        surface = found.surface
        rows.append(Flatness(label=f"c{number}", path=Path("c.pt"), surface=surface, measures=(found,)))
    assert f"* curvature of {owners}: warning: half the window" in flatness_text(rows)


def test_numbers_and_csv_hold_the_same() -> None:
    rows = [row_of("at"), row_of("awp", sharpness=5.0)]
    plain = json.loads(json.dumps(flatness_numbers(rows), allow_nan=False))
    table = list(csv.DictReader(io.StringIO(flatness_csv(rows))))
    assert [one["checkpoint"] for one in table] == ["at", "awp"] and table[0]["epoch"] == "3"
    for entry, line in zip(plain["checkpoints"], table, strict=True):
        for one in entry["measures"]:
            assert float(line[one["name"]]) == one["value"]
            assert float(line[f"{one['name']} SE"]) == one["standard_error"]
    assert {one["name"] for one in plain["differences"]} == {one.name for one in rows[0].measures}
    assert plain["definitions"]["curvature"]["source"]

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.stats

from landscape.analysis.control import (
    Control,
    control_numbers,
    control_sentences,
    control_table,
    find_controls,
    gap_curve,
)
from landscape.analysis.control_figure import control_figure
from landscape.analysis.style import style_curves
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface

FRESH: dict[str, Any] = {"num_directions": 5, "num_examples": 40, "grid": "-1:1:5", "label": "at"}
FIXED: dict[str, Any] = {**FRESH, "objective": "fixed", "sharpness": 3.0}


def controls_of(*changes: dict[str, Any], quantity: str = "loss") -> list[Control]:
    return find_controls(style_curves([make_surface(**change) for change in changes]), quantity)


def literal_interval(a: Any, b: Any) -> tuple[float, float, float]:
    """Mean and interval of SCIENCE 2 of the differences of two (D, n) lists, loop by loop."""
    num_directions, num_examples = len(a), len(a[0])
    d = [[float(a[j][i]) - float(b[j][i]) for i in range(num_examples)] for j in range(num_directions)]
    rows = [sum(row) / num_examples for row in d]
    columns = [sum(d[j][i] for j in range(num_directions)) / num_directions for i in range(num_examples)]
    mean = sum(rows) / num_directions
    squares = [sum((one - mean) ** 2 for one in parts) / (len(parts) - 1) / len(parts) for parts in (rows, columns)]
    half = float(scipy.stats.t.ppf(0.975, num_directions - 1)) * sum(squares) ** 0.5
    return mean, mean - half, mean + half


def test_the_gap_at_every_node_is_the_paired_difference() -> None:
    (control,) = controls_of(FRESH, FIXED)
    found = gap_curve(control)
    first, second = control.on_the_fly.surface.values(), control.fixed.surface.values()
    for node, alpha in enumerate((-1.0, -0.5, 0.0, 0.5, 1.0)):
        assert found.alpha[node] == alpha
        expected = literal_interval(first[:, node].tolist(), second[:, node].tolist())
        np.testing.assert_allclose((found.mean[node], found.low[node], found.high[node]), expected, atol=1e-12)
    assert found.mean[2] == found.low[2] == found.high[2] == 0.0


def test_numbers_at_a_radius_are_those_of_the_mean_over_both_signs() -> None:
    (control,) = controls_of(FRESH, FIXED)
    (plain,) = json.loads(json.dumps(control_numbers([control]), allow_nan=False))
    assert [one["radius"] for one in plain["rises"]] == [0.5, 1.0]
    first, second = control.on_the_fly.surface.values(), control.fixed.surface.values()
    for one, (low, high) in zip(plain["rises"], ((1, 3), (0, 4)), strict=True):
        mean, *ends = literal_interval((first[:, low] + first[:, high]) / 2, (second[:, low] + second[:, high]) / 2)
        np.testing.assert_allclose((one["value"], one["low"], one["high"]), (mean, *ends), rtol=1e-9)
        assert one["shown"] and one["paired_directions"] and one["paired_examples"]
        assert one["on_the_fly"] - one["fixed"] == pytest.approx(one["value"])
    assert plain["sentence"].startswith("at: fixed underestimates the rise at r = 0.5 by ")
    assert plain["label"] == "at" and len(plain["gap"]["mean"]) == 5


def test_table_and_sentence_say_what_fixed_misses() -> None:
    controls = controls_of(FRESH, FIXED, {**FRESH, "weights": "other", "label": "awp"}, {**FIXED, "weights": "other"})
    table = control_table(controls).splitlines()
    assert table[1].split() == ["r", "on", "the", "fly", "fixed", "gap", "low", "high"]
    assert [line.split()[:2] for line in table[2:6]] == [["at", "0.5"], ["at", "1"], ["awp", "0.5"], ["awp", "1"]]
    difference = controls[0].difference(0.5, "loss")
    assert difference is not None and difference.low is not None
    assert table[2].split()[4:6] == [f"{difference.value:.4f}", f"{difference.low:.4f}"]
    first, second = control_sentences(controls)
    assert first.startswith("at: fixed underestimates") and second.startswith("awp: fixed underestimates")
    assert "(95 %, paired over 5 directions, 40 examples)" in first and " instead of " in first


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"sharpness": 12.0}, "at: fixed overestimates the rise at r = 0.5 by ", id="the other way round"),
        pytest.param({"sharpness": 8.0}, "at: no gap between fixed and on the fly is shown in the rise", id="equal"),
        pytest.param({"num_directions": 2}, "without an interval", id="two directions"),
    ],
)
def test_a_sentence_claims_no_more_than_there_is(changes: dict[str, Any], words: str) -> None:
    fresh = {**FRESH, **({"num_directions": 2} if "num_directions" in changes else {})}
    (sentence,) = control_sentences(controls_of(fresh, {**FIXED, **changes}))
    assert words in sentence


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"weights": "other"}, id="other weights"),
        pytest.param({"directions": {"seed": 1}}, id="other directions"),
        pytest.param({"data": {"digest": "other"}}, id="other examples"),
        pytest.param({"attack": {"num_steps": 20}}, id="another attack"),
        pytest.param({"attack": {"seed": 3}}, id="other starts"),
        pytest.param({"grid": "-1:1:9"}, id="another grid"),
        pytest.param({"objective": "clean"}, id="no attack"),
    ],
)
def test_only_curves_that_differ_in_nothing_else_are_a_pair(changes: dict[str, Any]) -> None:
    assert controls_of(FRESH, {**FIXED, **changes}) == []


def test_natural_quantities_have_no_control() -> None:
    assert controls_of(FRESH, FIXED, quantity="natural-loss") == []


def test_the_figure_shows_both_curves_in_one_colour_and_the_gap_beside_them() -> None:
    controls = controls_of(FRESH, FIXED, {**FRESH, "weights": "other", "label": "awp"}, {**FIXED, "weights": "other"})
    figure = control_figure(controls)
    left, right = figure.axes
    lines = [line for line in left.lines if not str(line.get_label()).startswith("_")]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--"]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color() == lines[3].get_color()
    np.testing.assert_allclose(np.asarray(right.lines[0].get_ydata()), gap_curve(controls[0]).mean)
    assert right.lines[0].get_color() == lines[0].get_color()
    assert right.get_ylabel() == "adversarial loss, on the fly − fixed (nats)"
    with pytest.raises(InputError, match="measured on the fly and fixed, got none"):
        control_figure([])


def test_masked_points_leave_no_gap_there() -> None:
    lost = tuple((direction, 4) for direction in range(5))
    (control,) = controls_of({**FRESH, "missing": lost}, {**FIXED, "not_finite": ((0, 0),)})
    found = gap_curve(control)
    assert np.isnan(found.mean[4]) and np.isfinite(found.mean[:4]).all()
    first, second = control.on_the_fly.surface.values(), control.fixed.surface.values()
    assert found.mean[0] == pytest.approx(float((first[1:, 0] - second[1:, 0]).mean()))
    control_figure([control])

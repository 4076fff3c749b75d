from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from landscape.analysis.plane_table import circle_table, extremes_table, plane_numbers, plane_text
from landscape.analysis.planes import circle_rise, planes_of, summarize_plane, why_no_circle
from landscape.analysis.settings import cosine_of, describe_settings
from landscape.errors import InputError
from tests.analysis.synthetic import make_plane, make_surface


def tilted(alpha: float, beta: float) -> float:
    """A cubic with its lowest node beside the centre; asymmetric in the two axes."""
    return 2 + 3 * alpha**2 + beta**2 + 0.5 * alpha * beta - 0.5 * beta + 0.25 * alpha**3


def test_the_summary_is_that_of_the_formula_at_the_nodes() -> None:
    surface = make_plane(tilted)
    (plane,) = planes_of([surface])
    found = summarize_plane(plane)
    expected = {(a, b): tilted(a, b) for a in surface.grid.alpha for b in surface.grid.beta or ()}
    for i, a in enumerate(surface.grid.alpha):
        for j, b in enumerate(surface.grid.beta or ()):
            assert found.mean[i, j] == pytest.approx(expected[a, b], rel=1e-6)
    lowest, highest = min(expected, key=expected.__getitem__), max(expected, key=expected.__getitem__)
    assert (found.lowest_at, found.highest_at) == (lowest, highest)
    assert found.lowest == pytest.approx(expected[lowest], rel=1e-6)
    assert found.highest == pytest.approx(expected[highest], rel=1e-6)
    below = sum(value < tilted(0, 0) - 1e-9 for value in expected.values())
    assert below > 0
    assert found.share_below_centre == below / 63
    assert found.centre == pytest.approx(2.0)
    assert (found.num_points, found.num_missing, found.num_not_finite) == (63, 0, 0)


@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_circles_of_a_cubic_are_exact(radius: float) -> None:
    """Mean over the circle in closed form: r^2 (3 + 1) / 2; odd terms vanish. Cubic splines reproduce cubics."""
    (plane,) = planes_of([make_plane(tilted, alpha="-1:1:9", beta="-3/2:1:11")])
    found = circle_rise(plane, radius)
    assert found is not None
    assert found.value == pytest.approx(2 * radius**2, rel=1e-5)
    angles = np.linspace(0, 2 * math.pi, 20_001)
    around = [tilted(radius * math.cos(angle), radius * math.sin(angle)) - 2 for angle in angles]
    assert found.lowest == pytest.approx(min(around), abs=2e-4)
    assert found.highest == pytest.approx(max(around), abs=2e-4)


@pytest.mark.parametrize(
    ("surface", "radius", "reason"),
    [
        (make_plane(beta="-1/2:1:7"), 1.0, "the grid does not reach around the circle"),
        (make_plane(), 0.1, "the nodes lie too far apart"),
        (make_plane(beta="-1:1:3"), 1.0, "the nodes lie too far apart"),
        (make_plane(not_finite=((0, 3, 2),)), 0.5, "a point is missing or not finite"),
        (make_plane(centre_finite=False), 0.5, "a point is missing or not finite"),
        (make_plane(alpha="-1:1:21", beta="-1:1:21", not_finite=((0, 0, 0),)), 0.5, None),
    ],
    ids=["does not reach", "fine", "few", "masked", "centre", "masked far away"],
)
def test_where_there_is_no_circle_the_reason_is_said(surface: Any, radius: float, reason: str | None) -> None:
    (plane,) = planes_of([surface])
    assert why_no_circle(plane, radius) == reason
    assert (circle_rise(plane, radius) is None) == (reason is not None)
    if reason:
        assert f"{reason}." in circle_table([plane])


def test_masked_nodes_are_counted_and_left_out_of_the_extremes() -> None:
    bad, absent = ((0, 8, 6), (0, 0, 0)), ((0, 8, 0),)
    (plane,) = planes_of([make_plane(not_finite=bad, missing=absent)])
    found = summarize_plane(plane)
    assert (found.num_not_finite, found.num_missing) == (2, 1)
    assert np.isnan(found.mean[[8, 0, 8], [6, 0, 0]]).all()
    assert found.highest_at == (-1.0, 1.0)
    assert "Masked in digits-at: of 63 points 2 not finite and 1 not computed yet." in plane_text([plane])
    numbers = plane_numbers([plane])["planes"][0]
    assert numbers["mean"][8][6] is None and numbers["mean"][8][5] is not None


def test_a_plane_without_any_finite_node_has_no_numbers() -> None:
    every = tuple((0, i, j) for i in range(9) for j in range(7))
    (plane,) = planes_of([make_plane(not_finite=every)])
    found = summarize_plane(plane)
    assert found.lowest_at is None and math.isnan(found.lowest) and math.isnan(found.share_below_centre)
    row = extremes_table([plane]).splitlines()[-1].split()
    assert row[2:7] == ["-", "-", "-", "-", "-"]


def test_the_cosine_stands_in_table_caption_and_json() -> None:
    planes = planes_of([make_plane(cosines=[0.25, -0.5], planes=2), make_plane(weights="b", label="awp", cosines=[])])
    assert [plane.label for plane in planes] == ["digits-at, plane 0", "digits-at, plane 1", "awp"]
    assert [plane.directions for plane in planes] == [(0, 1), (2, 3), (0, 1)]
    assert [plane.cosine for plane in planes] == [0.25, -0.5, None]
    assert [line.split()[-1] for line in extremes_table(planes).splitlines()[-3:]] == ["0.25", "-0.5", "-"]
    assert [plane["cosine"] for plane in plane_numbers(planes)["planes"]] == [0.25, -0.5, None]
    assert describe_settings(planes[0].surface)["Cosine of the directions"] == "0.25, -0.5"
    assert describe_settings(planes[2].surface)["Cosine of the directions"] == "not recorded"
    assert "Cosine of the directions: 0.25, -0.5 [digits-at, plane 0, digits-at, plane 1]; not rec" in plane_text(
        planes
    )


@pytest.mark.parametrize("found", [["x"], "0.1", [7.0], [math.nan], None, [None]])
def test_a_cosine_that_makes_no_sense_is_not_recorded(found: Any) -> None:
    assert cosine_of(make_plane(cosines=found or []), 0) is None


def test_words_for_planes_differ_from_those_for_lines() -> None:
    plane = describe_settings(make_plane(directions={"orthogonal": "filter"}))
    assert plane["Attack"].endswith("attacked anew at every (α, β)")
    assert plane["Directions"] == (
        "2 random Gaussian, filter-normalized, the second orthogonal to the first in every filter, "
        "one-dimensional parameters not moved"
    )
    assert describe_settings(make_surface())["Attack"].endswith("attacked anew at every α")
    assert "Cosine of the directions" not in describe_settings(make_surface())


def test_json_is_plain_and_complete() -> None:
    planes = planes_of([make_plane(tilted)])
    numbers = json.loads(json.dumps(plane_numbers(planes, "natural-loss"), allow_nan=False))
    (found,) = numbers["planes"]
    assert numbers["title"] == "natural loss"
    assert found["mean"][0][6] == pytest.approx(tilted(-1, 1) / 4, rel=1e-6)
    assert found["alpha"][0] == found["beta"][0] == -1
    assert found["directions"] == [0, 1] and found["key"] == planes[0].surface.key
    assert [circle["radius"] for circle in found["circles"]] == [0.5, 1.0]


def test_errors_are_in_percent_in_tables_and_shares_in_json() -> None:
    planes = planes_of([make_plane(lambda a, b: 1.5 + a)])
    assert summarize_plane(planes[0], "robust-error").highest == 1.0
    assert "100.00" in extremes_table(planes, "robust-error")
    assert plane_numbers(planes, "robust-error")["planes"][0]["highest"] == 1.0


def test_several_planes_are_not_judged() -> None:
    two = planes_of([make_plane(weights="a"), make_plane(weights="b", label="awp")])
    assert "no interval belongs to it" in plane_text(two)
    assert "flatter" not in plane_text(two[:1])


def test_curves_and_single_rows_are_refused() -> None:
    with pytest.raises(
        InputError, match="a surface over a plane, with alpha and beta, got one along single directions"
    ):
        planes_of([make_surface(num_directions=2, num_examples=3)])
    with pytest.raises(InputError, match="at least 2 nodes of alpha and of beta, got 9 x 1"):
        planes_of([make_plane(beta="0:0:1")])

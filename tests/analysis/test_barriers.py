from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.barriers import barrier, barrier_sentences
from landscape.analysis.style import style_curves
from tests.analysis.synthetic import make_surface

LINE: dict[str, Any] = {"num_directions": 1, "num_examples": 40, "directions": {"kind": "interpolation"}}


def test_barrier_is_the_largest_height_over_the_chord_example_by_example() -> None:
    surface = make_surface(grid="0:1:5", **LINE)
    values, centre = surface.values("loss")[0], surface.centre_values("loss")
    heights = {}
    for row, t in enumerate(surface.grid.alpha):
        if 0 < t < 1:
            heights[t] = [values[row, i] - (1 - t) * centre[i] - t * values[-1, i] for i in range(40)]
    t = max(heights, key=lambda node: sum(heights[node]))
    found = barrier(surface)
    assert found is not None and found.position == t
    mean = sum(heights[t]) / 40
    assert found.value == pytest.approx(mean)
    variance = sum((height - mean) ** 2 for height in heights[t]) / 39
    assert found.standard_error_examples == pytest.approx((variance / 40) ** 0.5)


def test_there_is_none_on_other_lines_or_short_ones() -> None:
    assert barrier(make_surface(grid="0:1:5", num_examples=3)) is None
    assert barrier(make_surface(grid="0:0.9:5", **LINE)) is None
    assert barrier(make_surface(grid="0:1:2", **LINE)) is None
    assert barrier(make_surface(grid="0:1:5", missing=((0, 4),), **LINE)) is None


def test_it_is_said_in_a_sentence() -> None:
    curves = style_curves([make_surface(grid="0:1:5", **LINE), make_surface(num_examples=3)], ["at", "random"])
    (sentence,) = barrier_sentences(curves)
    assert sentence.startswith("at: the barrier in adversarial loss, the largest g(t) − [(1 − t) g(0) + t g(1)] at nod")
    assert "nats at t = 0." in sentence

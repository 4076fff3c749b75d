from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.analysis.plane_figure import plane_figure
from landscape.analysis.planes import planes_of
from landscape.analysis.plots import plot_curves
from landscape.surfaces.surface import Surface
from tests.analysis.synthetic import make_plane, make_surface
from tests.analysis.test_directions import OTHER, surface_of


def drawn(surface: Surface, **how: Any) -> tuple[list[list[float]], list[str], int]:
    """Offsets of the diamonds, names, and number of lines."""
    axes = Figure().subplots()
    plot_curves(axes, surface, **how)
    points = [row for part in axes.collections if isinstance(part, PathCollection) for row in offsets(part)]
    return points, [text.get_text() for text in axes.texts], len(axes.lines)


def offsets(part: PathCollection) -> list[list[float]]:
    rows: list[list[float]] = np.asarray(part.get_offsets(), dtype=np.float64).tolist()
    return rows


def test_both_ends_of_a_line_are_marked_at_their_own_values() -> None:
    surface = surface_of("interpolation", {"landmarks": [OTHER]}, grid="0:1:5")
    points, names, _ = drawn(surface)
    assert points == [[1.0, 3.0], [0.0, pytest.approx(surface.centre_mean())]]
    assert sorted(names) == ["at", "awp"]
    (end, start), _, _ = drawn(surface, centred=True)
    assert start == [0.0, 0.0] and end[1] == pytest.approx(3.0 - surface.centre_mean())
    assert drawn(surface, quantity="robust-error")[0][0] == [1.0, 50.0]


def test_two_splits_that_begin_at_one_point_name_it_once() -> None:
    both = [
        surface_of("interpolation", {"landmarks": [OTHER]}, grid="0:1:5", data={"split": split})
        for split in ("train", "test")
    ]
    axes = Figure().subplots()
    plot_curves(axes, both, centred=True)
    assert sum(text.get_text() == "at" for text in axes.texts) == 1


def test_a_path_is_joined_and_names_do_not_cover_one_another() -> None:
    path = [{**OTHER, "name": f"epoch {epoch}", "position": [epoch / 20]} for epoch in (20, 18, 2, 1)]
    surface = surface_of("principal-components", {"landmarks": path}, grid="-1:1:5")
    points, names, lines = drawn(surface)
    assert len(points) == 5 and names == ["at", "epoch 20"]
    assert lines == drawn(make_surface(num_directions=1, num_examples=3, grid="-1:1:5"))[2] + 1


def test_nothing_is_marked_without_other_checkpoints() -> None:
    assert drawn(make_surface(num_directions=1, num_examples=3))[:2] == ([], [])


def test_a_checkpoint_beyond_the_nodes_of_a_plane_is_named_and_not_drawn() -> None:
    surface = make_plane(directions={"kind": "principal-components"})
    landmarks = [{**OTHER, "name": "near", "position": [1.0, 0.5]}, {**OTHER, "name": "far", "position": [1.66, 0.0]}]
    surface = dataclasses.replace(surface, provenance=({"label": "at", "directions": {"landmarks": landmarks}},))
    figure = plane_figure(planes_of([surface]))
    places = [
        tuple(np.ravel(line.get_xydata()).tolist())
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_marker() == "D"
    ]
    assert places == [(1.0, 0.5)] * 2
    caption = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "Beyond the picture, and not drawn: far." in caption


def test_numbers_of_contours_keep_away_from_diamonds_names_and_path() -> None:
    surface = make_plane(lambda alpha, beta: 10 * (alpha - beta) ** 2, alpha="-1:1:9", beta="-1:1:9")
    surface = dataclasses.replace(surface, spec={**surface.spec, "directions": {"kind": "principal-components"}})
    landmarks = [{**OTHER, "name": f"epoch {x}", "position": [x, y]} for x, y in ((0.9, -0.6), (0.2, 0.7), (-0.6, 0.1))]
    marked = dataclasses.replace(surface, provenance=({"label": "at", "directions": {"landmarks": landmarks}},))
    figure = plane_figure(planes_of([marked]), levels=(0.5, 1, 2, 4, 8))
    figure.draw_without_rendering()
    checked = 0
    for axes in figure.axes:
        numbers = [text for text in axes.texts if text.get_text().replace(".", "").isdigit()]
        others = [Text.get_window_extent(text) for text in axes.texts if text not in numbers]
        points = [axes.transData.transform(np.asarray(line.get_xydata())) for line in axes.get_lines()]
        path = [np.linspace(start, end, 50) for line in points for start, end in itertools.pairwise(line)]
        for number in numbers:
            box = Text.get_window_extent(number)
            assert not any(box.overlaps(other) for other in others)
            assert box.count_contains(np.concatenate([*points, *path])) == 0
            checked += 1
    assert checked >= 4

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from landscape.analysis.plots import draw_curves, plot_curves
from landscape.analysis.statistics import summarize_curve
from landscape.analysis.style import style_curves
from landscape.errors import InputError
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface
from tests.analysis.synthetic import SPEC, make_surface, measurement


def new_axes() -> Any:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


def wide_surface() -> Surface:
    """Three directions, of which one alone rises: the interval of their mean leaves the range of the quantity."""
    nodes = Grid.parse("-1:1:5")
    draft = Draft(
        key="0" * 64,
        spec={**SPEC, "grid": nodes.to_spec(), "num_directions": 3},
        example_ids=np.arange(4),
        labels=np.zeros(4, dtype=np.int64),
    )
    entry = draft.add_provenance({})
    draft.put(CENTRE, measurement(np.full(4, 0.5), np.ones(4)), entry)
    for direction in range(3):
        for index, alpha in enumerate(nodes.alpha):
            losses = np.full(4, 0.5 + 10 * (direction == 0) * abs(alpha))
            draft.put((direction, index), measurement(losses, np.ones(4)), entry)
    return draft.surface()


@pytest.mark.parametrize(("quantity", "scale"), [("loss", 1), ("robust-error", 100), ("natural-loss", 1)])
@pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])
def test_thin_lines_are_directions_and_the_thick_one_is_their_mean(quantity: str, scale: float, centred: bool) -> None:
    surface = make_surface(num_directions=4, num_examples=10)
    axes = new_axes()
    assert plot_curves(axes, surface, quantity=quantity, centred=centred) is axes
    lines: list[Any] = list(axes.get_lines())
    mean, *thin = lines
    means = scale * (surface.mean(quantity) - (surface.centre_mean(quantity) if centred else 0.0))
    assert len(thin) == 4
    for line, expected in zip(thin, means, strict=True):
        np.testing.assert_allclose(np.asarray(line.get_ydata()), expected, atol=1e-12)
    assert tuple(mean.get_xdata()) == surface.grid.alpha
    np.testing.assert_allclose(mean.get_ydata(), means.mean(axis=0), atol=1e-12)
    assert mean.get_linewidth() > 2 * thin[0].get_linewidth()
    assert mean.get_label() == "digits-at"


def eigenvectors(count: int = 3, weights: str = "weights-0") -> Surface:
    """A surface along eigenvectors, with their eigenvalues as a real one records them."""
    made = make_surface(num_directions=count, num_examples=5, directions={"kind": "hessian"}, weights=weights)
    values = {"eigenvalues": [8.5, 4.25, 2.0, *[1.0] * count][:count]}
    return replace(made, provenance=({**made.provenance[0], "directions": values},))


def test_the_lines_of_a_single_curve_are_named_and_look_different() -> None:
    axes = new_axes()
    plot_curves(axes, eigenvectors(8))
    assert axes.get_legend_handles_labels()[1][:4] == [
        "digits-at", "Hessian eigenvector 1, λ = 8.5", "Hessian eigenvector 2, λ = 4.25",
        "Hessian eigenvector 3, λ = 2",
    ]  # fmt: skip
    looks = [(line.get_color(), line.get_linestyle(), str(line._dash_pattern)) for line in axes.get_lines()]
    assert len(set(looks)) == 9
    assert len({look[0] for look in looks[:7]}) == 7


def test_the_lines_of_several_curves_share_names_and_have_the_colours_of_their_means() -> None:
    axes = new_axes()
    plot_curves(axes, [eigenvectors(2), eigenvectors(2, weights="weights-1")], ["at", "awp"])
    labels = list(dict.fromkeys(axes.get_legend_handles_labels()[1]))
    assert labels == ["at", "awp", "Hessian eigenvector 1", "Hessian eigenvector 2"]
    first, second, *thin = [line for line in axes.get_lines() if len(np.atleast_1d(line.get_xdata()))]
    assert [line.get_color() for line in thin] == [first.get_color()] * 2 + [second.get_color()] * 2


def test_the_lines_of_a_second_curve_of_one_colour_are_paler() -> None:
    axes = new_axes()
    first, second = style_curves([eigenvectors(2), eigenvectors(2)], ["train", "test"])
    draw_curves(axes, [first, replace(second, colour=first.colour)])
    thin = [line for line in axes.get_lines()[2:] if len(np.atleast_1d(line.get_xdata()))]
    assert [line.get_alpha() for line in thin] == [0.9, 0.9, 0.4, 0.4]


@pytest.mark.parametrize(
    "surface", [make_surface(num_directions=4, num_examples=5), eigenvectors(13)], ids=["random", "many"]
)
def test_random_and_very_many_directions_have_no_names(surface: Surface) -> None:
    axes = new_axes()
    plot_curves(axes, surface)
    assert axes.get_legend_handles_labels()[1] == ["digits-at"]


def test_a_single_direction_is_one_line() -> None:
    axes = new_axes()
    plot_curves(axes, make_surface(num_directions=1, num_examples=5))
    assert len(axes.get_lines()) == 1


def test_band_needs_three_directions() -> None:
    bands = []
    for count in (2, 3):
        axes = new_axes()
        plot_curves(axes, [make_surface(num_directions=count, num_examples=10)])
        (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
        bands.append(len(band.get_paths()))
    assert bands == [0, 1]


@pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])
@pytest.mark.parametrize(("quantity", "highest"), [("loss", np.inf), ("robust-error", 100.0)])
def test_bands_stay_in_range_and_do_not_stretch_the_axis(quantity: str, highest: float, centred: bool) -> None:
    surface = wide_surface()
    summary = summarize_curve(surface, quantity)
    assert (summary.low < 0).any()
    axes = new_axes()
    plot_curves(axes, surface, quantity=quantity, centred=centred)
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    heights = np.concatenate([np.asarray(path.vertices)[:, 1] for path in band.get_paths()])
    shift = (100 if quantity == "robust-error" else 1) * (summary.centre if centred else 0.0)
    assert heights.min() == pytest.approx(-shift)
    assert heights.max() <= highest - shift + 1e-9
    lines: Any = np.concatenate([np.asarray(line.get_ydata()) for line in axes.get_lines()])
    low, high = axes.get_ylim()
    margin = 0.06 * np.ptp(lines)
    assert lines.min() - margin <= low
    assert high <= lines.max() + margin


def test_four_surfaces_are_means_alone() -> None:
    axes = new_axes()
    plot_curves(axes, [make_surface(num_directions=3, num_examples=5, weights=str(index)) for index in range(4)])
    assert len(axes.get_lines()) == 4
    assert not axes.collections


def test_points_that_are_not_finite_are_gaps_not_numbers() -> None:
    surface = make_surface(num_directions=3, num_examples=10, not_finite=((1, 4),), missing=((2, 4),))
    axes = new_axes()
    plot_curves(axes, [surface])
    lines = axes.get_lines()
    assert [bool(np.isnan(line.get_ydata()[4])) for line in lines] == [False, False, True, True]
    assert lines[0].get_ydata()[4] == pytest.approx(surface.mean()[0, 4])


def test_a_surface_over_a_plane_is_refused() -> None:
    grid = Grid.parse("-1:1:3", "-1:1:3")
    draft = Draft(
        key="0" * 64,
        spec={**SPEC, "grid": grid.to_spec(), "num_directions": 1},
        example_ids=np.arange(2),
        labels=np.zeros(2, dtype=np.int64),
    )
    draft.put(CENTRE, measurement(np.ones(2), np.ones(2)), draft.add_provenance({}))
    with pytest.raises(InputError, match="one direction at a time, got one over a plane"):
        plot_curves(new_axes(), draft.surface())

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure

from landscape.analysis.plots import plot_curves
from landscape.errors import InputError
from landscape.surfaces.surface import CENTRE, Draft, Grid
from tests.analysis.synthetic import SPEC, make_surface, measurement


def new_axes() -> Any:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


@pytest.mark.parametrize(("quantity", "scale"), [("loss", 1), ("robust-error", 100), ("natural-loss", 1)])
@pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])
def test_thin_lines_are_directions_and_the_thick_one_is_their_mean(quantity: str, scale: float, centred: bool) -> None:
    surface = make_surface(num_directions=4, num_examples=10)
    axes = new_axes()
    assert plot_curves(axes, surface, quantity=quantity, centred=centred) is axes
    lines: list[Any] = list(axes.get_lines())
    *thin, mean = lines
    means = scale * (surface.mean(quantity) - (surface.centre_mean(quantity) if centred else 0.0))
    assert len(thin) == 4
    for line, expected in zip(thin, means, strict=True):
        np.testing.assert_allclose(np.asarray(line.get_ydata()), expected, atol=1e-12)
    assert tuple(mean.get_xdata()) == surface.grid.alpha
    np.testing.assert_allclose(mean.get_ydata(), means.mean(axis=0), atol=1e-12)
    assert mean.get_linewidth() > 2 * thin[0].get_linewidth()
    assert mean.get_label() == "digits-at"


def test_band_needs_three_directions() -> None:
    bands = []
    for count in (2, 3):
        axes = new_axes()
        plot_curves(axes, [make_surface(num_directions=count, num_examples=10)])
        (band,) = [part for part in axes.collections if isinstance(part, FillBetweenPolyCollection)]
        bands.append(len(band.get_paths()))
    assert bands == [0, 1]


def test_points_that_are_not_finite_are_gaps_not_numbers() -> None:
    surface = make_surface(num_directions=3, num_examples=10, not_finite=((1, 4),), missing=((2, 4),))
    axes = new_axes()
    plot_curves(axes, [surface])
    lines = axes.get_lines()
    assert [bool(np.isnan(line.get_ydata()[4])) for line in lines] == [False, True, True, False]
    assert lines[3].get_ydata()[4] == pytest.approx(surface.mean()[0, 4])


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

"""What pictures and tables make of a plane of which only some nodes were measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape.analysis.captions import masked_sentences, settings_line
from landscape.analysis.contours import plot_contour
from landscape.analysis.levels import choose_levels
from landscape.analysis.plane_figure import planes_caption
from landscape.analysis.plane_table import circle_table, plane_numbers, plane_text
from landscape.analysis.planes import planes_of, summarize_plane
from landscape.analysis.settings import describe_settings
from landscape.analysis.wording import quantity_words
from landscape.surfaces.refinement import filled
from landscape.surfaces.surface import MISSING, Surface
from tests.analysis.synthetic import make_plane

ALPHA, BETA = "-1:1:21", "-1:1:17"
DOTS = "Small dots: measured nodes; values between them are interpolated."


def hills(alpha: float, beta: float) -> float:
    return 2 + math.sin(4 * alpha) * math.cos(3 * beta) + 2 * abs(alpha - 0.3)


@pytest.fixture(scope="module")
def refined() -> Surface:
    return make_plane(hills, alpha=ALPHA, beta=BETA, refine=0.1)


def test_means_are_measured_where_they_were_and_interpolated_elsewhere(refined: Surface) -> None:
    (plane,), (whole,) = planes_of([refined]), planes_of([make_plane(hills, alpha=ALPHA, beta=BETA)])
    known = refined.status[0] != MISSING
    assert 30 < known.sum() < known.size and refined.complete
    np.testing.assert_array_equal(plane.interpolated, ~known)
    for quantity in ("loss", "natural-loss", "robust-error"):
        found, measured = plane.mean(quantity), refined.mean(quantity)[0]
        np.testing.assert_array_equal(found[known], measured[known])
        np.testing.assert_array_equal(found, filled(refined.grid, measured, known))
        assert np.isnan(measured[~known]).all() and np.isfinite(found).all()
    assert np.abs(plane.mean() - whole.mean()).max() < 2 * 0.1
    assert not whole.interpolated.any()


def test_numbers_say_what_was_interpolated_and_extremes_were_measured(refined: Surface) -> None:
    (plane,) = planes_of([refined])
    found, known = summarize_plane(plane), refined.status[0] != MISSING
    assert (found.num_points, found.num_missing, found.num_interpolated) == (357, 0, int((~known).sum()))
    values = refined.mean()[0]
    assert (found.lowest, found.highest) == (np.nanmin(values), np.nanmax(values))
    (numbers,) = plane_numbers([plane])["planes"]
    np.testing.assert_array_equal(numbers["measured"], known)
    (plain,) = plane_numbers(planes_of([make_plane()]))["planes"]
    assert "measured" not in plain and plain["num_interpolated"] == 0


def test_settings_captions_and_tables_say_how_many_nodes_were_measured(refined: Surface) -> None:
    known = int((refined.status != MISSING).sum())
    rule = "every 4th node, and between them where the mean loss is off the cubic of its neighbours by more than 0.1"
    described = describe_settings(refined)
    assert described["Nodes measured"] == f"{known} of 357"
    assert described["Refinement"] == f"{rule}; the others interpolated"
    words = f"Nodes measured: {known} of 357. Refinement: {rule}; the others interpolated."
    assert words in plane_text(planes_of([refined]))
    whole = make_plane(hills, alpha=ALPHA, beta=BETA)
    assert not {"Nodes measured", "Refinement"} & describe_settings(whole).keys()
    assert f"Nodes measured: {known} of 357 [a]; all [b]. Refinement: every 4th" in settings_line(
        [refined, whole], ["a", "b"]
    )
    for surface, said in ((refined, True), (whole, False)):
        planes = planes_of([surface])
        values = [plane.mean() for plane in planes]
        caption = planes_caption(planes, choose_levels(values, quantity_words("loss", [surface])), values)
        assert (DOTS in caption) == (words in caption) == said and "masked" not in caption


def test_a_table_of_circles_says_what_it_rests_on(refined: Surface) -> None:
    sentence = "rest on interpolated nodes too: those that are not large against the tolerance of 0.1 say little."
    assert f"\nRises {sentence}" in circle_table(planes_of([refined]))
    whole = make_plane(hills, alpha=ALPHA, beta=BETA)
    assert f"\nRises of a {sentence}" in circle_table(planes_of([refined, whole], ["a", "b"]))
    assert "\nRises rest on interpolated nodes too.\n" in circle_table(planes_of([refined]), "robust-error") + "\n"
    assert "rest on" not in circle_table(planes_of([whole]))


def test_every_measured_node_has_a_dot_and_no_other(refined: Surface) -> None:
    def dots(surface: Surface) -> set[tuple[float, ...]]:
        figure = Figure()
        FigureCanvasAgg(figure)
        lines = plot_contour(figure.subplots(), surface).lines
        return {
            (float(x), float(y)) for line in lines if line.get_marker() == "o" for x, y in np.array(line.get_data()).T
        }

    expected: set[tuple[float, ...]] = {
        refined.grid.node((int(i), int(j))) for i, j in np.argwhere(refined.status[0] != MISSING)
    }
    assert dots(refined) == expected
    assert dots(make_plane(hills, alpha=ALPHA, beta=BETA)) == set()


def test_nothing_is_interpolated_before_everything_that_is_asked_for_is_there() -> None:
    unfinished = make_plane(hills, alpha=ALPHA, beta=BETA, refine=0.1, missing=((0, 4, 8),))
    (plane,) = planes_of([unfinished])
    assert not unfinished.complete and not plane.interpolated.any()
    np.testing.assert_array_equal(plane.mean(), unfinished.mean()[0])
    found = summarize_plane(plane)
    assert found.num_missing == (unfinished.status == MISSING).sum() and found.num_interpolated == 0
    described = describe_settings(unfinished)
    assert described["Nodes measured"].endswith("of 357, not finished")
    assert "interpolated" not in described["Refinement"]
    assert masked_sentences([unfinished], ["a"]) == [
        f"Masked in a: of 357 points {found.num_missing} not computed yet."
    ]


def test_what_is_not_finite_is_masked_and_not_filled() -> None:
    surface = make_plane(hills, alpha=ALPHA, beta=BETA, refine=0.1, not_finite=((0, 20, 16),))
    (plane,) = planes_of([surface])
    assert surface.complete and np.isnan(plane.mean()[20, 16])
    assert summarize_plane(plane).num_not_finite == 1
    assert masked_sentences([surface], ["a"]) == ["Masked in a: of 357 points 1 not finite."]

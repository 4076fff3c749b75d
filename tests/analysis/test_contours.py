from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D

import landscape
from landscape.analysis.contours import plot_contour
from landscape.analysis.figures import save_figure
from landscape.analysis.layout import shortened
from landscape.analysis.plane_figure import plane_figure
from landscape.analysis.planes import planes_of
from landscape.errors import InputError
from landscape.surfaces.surface import Surface
from tests.analysis.synthetic import make_plane, make_surface

LONG = "runs/$a_very_long$/name of a checkpoint that goes on and on, and then on again/epoch-100"


def new_axes() -> Any:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


def contours(axes: Any) -> tuple[Any, Any]:
    """Filled and lines."""
    found = [part for part in axes.collections if isinstance(part, QuadContourSet)]
    return found[0], (found[1] if len(found) > 1 else None)


def test_the_contour_of_a_tilted_plane_lies_where_the_formula_says() -> None:
    """g = 3 + 2 alpha + beta: on the line of level L, 2 alpha + beta = L - 3; a transposed grid would swap the two."""
    surface = make_plane(lambda alpha, beta: 3 + 2 * alpha + beta, alpha="-1:1:5", beta="-1:1/2:4")
    axes = new_axes()
    assert landscape.plot_contour(axes, surface) is axes
    _, lines = contours(axes)
    assert lines is not None
    checked = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        vertices = np.asarray(path.vertices)
        np.testing.assert_allclose(2 * vertices[:, 0] + vertices[:, 1], level - 3, atol=1e-5)
        checked += len(vertices)
    assert checked > 20
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("α (direction 0)", "β (direction 1)")
    assert axes.get_xlim() == (-1, 1) and axes.get_ylim() == (-1, 0.5)


@pytest.mark.parametrize(("beta", "aspect"), [("-1:1:7", 1.0), ("-1/2:1:7", "auto")], ids=["equal", "other range"])
def test_both_axes_have_one_scale_where_they_have_one_range(beta: str, aspect: Any) -> None:
    axes = plot_contour(new_axes(), make_plane(beta=beta))
    assert axes.get_aspect() == aspect


def test_centred_is_the_distance_from_the_centre() -> None:
    surface = make_plane(lambda alpha, beta: 3 - alpha)
    axes = plot_contour(new_axes(), surface, centred=True)
    filled, _ = contours(axes)
    assert filled.zmin == 0
    assert filled.zmax == pytest.approx(1)


def test_a_huge_corner_neither_flattens_the_colours_nor_goes_unsaid() -> None:
    def steep(alpha: float, beta: float) -> float:
        return 1e4 if (alpha, beta) == (1.0, 1.0) else 0.3 + 4 * (alpha**2 + beta**2)

    (plane,) = planes_of([make_plane(steep)])
    figure = plane_figure([plane])
    filled, _ = contours(figure.axes[0])
    assert filled.extend == "max"
    assert max(filled.levels) == 9.6
    colours = {tuple(filled.cmap(filled.norm(value))) for value in (0.05, 0.3, 1.0, 4.0, 8.0, 100.0)}
    assert len(colours) == 6
    caption = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert (
        "0.1, 0.6, ..., 9.6 (as in Fig. 6 of Wu et al. 2020), the same in all panels; higher values (up to" in caption
    )
    assert "e+04) have one colour and are cut off." in caption


def test_masked_nodes_are_marked_and_counted() -> None:
    surface = make_plane(not_finite=((0, 2, 3),), missing=((0, 8, 6),))
    axes = plot_contour(new_axes(), surface)
    marks = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert [tuple(np.ravel(line.get_xydata()).tolist()) for line in marks] == [(-0.5, 0.0, 1.0, 1.0)]
    caption = " ".join(text.get_text() for text in plane_figure(planes_of([surface])).texts).replace("\n", " ")
    assert "Grey with a cross: masked." in caption
    assert "Masked in digits-at: of 63 points 1 not finite and 1 not computed yet." in caption


def test_the_centre_is_marked_only_where_it_is_in_the_picture() -> None:
    for alpha, expected in (("-1:1:5", 2), ("1/2:1:5", 0)):
        axes = plot_contour(new_axes(), make_plane(alpha=alpha))
        assert [line.get_marker() for line in axes.get_lines()].count("+") == expected


@pytest.mark.parametrize(
    "surface",
    [
        make_plane(lambda alpha, beta: 2.5),
        make_plane(not_finite=tuple((0, i, j) for i in range(9) for j in range(7))),
        make_plane(centre_finite=False),
        make_plane(alpha="0:1:2", beta="0:1:2"),
    ],
    ids=["flat", "nothing finite", "no centre", "four nodes"],
)
def test_odd_planes_are_drawn_without_a_warning(surface: Surface, tmp_path: Path) -> None:
    save_figure(plane_figure(planes_of([surface])), tmp_path / "figure.png")


def boxes(figure: Figure) -> dict[str, Bbox]:
    figure.canvas.draw()
    found = {f"text {index}": text.get_window_extent() for index, text in enumerate(figure.texts) if text.get_text()}
    for index, axes in enumerate(figure.axes):
        box = axes.get_tightbbox()
        assert box is not None
        found[f"panel {index}"] = box
    return found


def bowl(steepness: float) -> Callable[[float, float], float]:
    return lambda alpha, beta: 0.3 + steepness * (alpha**2 + beta**2)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_panels_of_one_to_four_planes_share_scale_levels_and_heights(count: int) -> None:
    surfaces = [
        make_plane(
            bowl(2 + 3 * position),
            label=LONG if position == 1 else f"model {position}",
            weights=str(position),
        )
        for position in range(count)
    ]
    figure = plane_figure(planes_of(surfaces), title="A title")
    found = boxes(figure)
    assert len(figure.axes) == 4 * count + 1
    reliefs = [axes for axes in figure.axes if isinstance(axes, Axes3D)]
    flats = [axes for axes in figure.axes[:-1] if not isinstance(axes, Axes3D)]
    assert len(reliefs) == len(flats) == 2 * count
    assert len({tuple(contours(axes)[0].levels) for axes in flats}) == 1
    assert len({contours(axes)[0].extend for axes in flats}) == 1
    assert len({relief.get_zlim() for relief in reliefs}) == 1
    titles = [axes.get_title() for axes in flats]
    assert titles[0] == "model 0\ng(α, β)" and titles[count] == "model 0\n|g(α, β) − g(0, 0)|"
    if count > 1:
        assert titles[1].startswith(shortened(LONG, 32))
    assert figure.axes[-1].get_ylabel() == "adversarial loss (cross-entropy, nats)"
    whole = figure.bbox
    for name, box in found.items():
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, f"{name} is cut at a side"
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, f"{name} is cut above or below"
    for (one, first), (two, second) in itertools.combinations(found.items(), 2):
        overlap = Bbox.intersection(first, second)
        assert overlap is None or min(overlap.width, overlap.height) < 2, f"{one} covers {two}"
    texts: Any = figure.findobj(Text)
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= 8


def test_saved_figures_are_reproducible(tmp_path: Path) -> None:
    figures = [plane_figure(planes_of([make_plane()])) for _ in range(2)]
    first, second = (save_figure(figure, tmp_path / f"{k}.svg") for k, figure in enumerate(figures))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_contour(new_axes(), make_surface(num_directions=2, num_examples=3)), "got one along single"),
        (lambda: plot_contour(new_axes(), make_plane(planes=2), plane=2), "has planes 0 to 1, got 2"),
        (lambda: plot_contour(new_axes(), make_plane(), levels=(2.0, 1.0)), "two increasing numbers"),
        (lambda: plot_contour(new_axes(), make_plane(), quantity="accuracy"), "a quantity is one of"),
        (lambda: plane_figure([]), "holds 1 to 4 planes, got 0"),
        (lambda: plane_figure(planes_of([make_plane(planes=5)])), "holds 1 to 4 planes, got 5"),
    ],
    ids=["curves", "plane", "levels", "quantity", "none", "five"],
)
def test_what_cannot_be_drawn_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_two_losses_do_not_share_a_colour_scale_but_their_errors_do() -> None:
    planes = planes_of([make_plane(), make_plane(loss="margin", label="other")])
    with pytest.raises(InputError, match="one colour scale holds one loss, got cross-entropy, nats and margin, logits"):
        plane_figure(planes)
    plane_figure(planes, quantity="robust-error")

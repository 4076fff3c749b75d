from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import PowerNorm

from landscape.analysis.epsilon_figure import bar_ticks, epsilon_caption, epsilon_figure, epsilon_planes
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface


def at(epsilon: float, **changes: Any) -> Any:
    settings = {"num_directions": 4, "num_examples": 6, "grid": "-1:1:5", "sharpness": 10 * epsilon + 1}
    attack = {"epsilon": epsilon, "step_size": epsilon / 4}
    return make_surface(**{**settings, "attack": attack, **changes})


SIZES = (8 / 255, 0.0, 2 / 255)


def test_rows_are_epsilons_in_order_and_columns_nodes() -> None:
    surfaces = [at(epsilon) for epsilon in SIZES]
    (plane,) = epsilon_planes(surfaces, ["at"] * 3)
    assert plane.epsilons == (0.0, 2 / 255, 8 / 255)
    values = plane.values("loss")
    for row, epsilon in enumerate(plane.epsilons):
        surface = surfaces[SIZES.index(epsilon)]
        np.testing.assert_allclose(values[row], surface.mean().mean(axis=0))
        np.testing.assert_allclose(
            plane.values("loss", centred=True)[row], surface.mean().mean(axis=0) - surface.centre_mean()
        )


def test_every_cell_shows_its_own_node_on_one_colour_scale() -> None:
    surfaces = [at(epsilon, sharpness=size, label=name) for name, size in (("a", 3), ("b", 9)) for epsilon in SIZES]
    planes = epsilon_planes(surfaces, [surface.label for surface in surfaces])
    figure = epsilon_figure(planes)
    meshes = [mesh for axes in figure.axes[:4] for mesh in axes.collections]
    assert len({mesh.get_clim() for mesh in meshes}) == 1
    for number, plane in enumerate(planes):
        for centred in (False, True):
            mesh: Any = meshes[2 * number + centred]
            np.testing.assert_allclose(
                np.asarray(mesh.get_array()).reshape(3, 5), plane.values("loss", centred=centred)
            )
            corners = mesh.get_coordinates()
            np.testing.assert_allclose(corners[0, :, 0], [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])
            np.testing.assert_allclose(corners[:, 0, 1] * 255, [-1, 1, 5, 11], atol=1e-12)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["0", "2/255", "8/255"]
    assert figure.axes[0].get_ylabel() == "ε of the attack (L∞)"
    assert figure.axes[-1].get_ylabel() == "adversarial loss (cross-entropy, nats)"
    assert figure.axes[2].get_title() == "b: g(α)"


def test_crowded_epsilons_have_rows_of_one_height() -> None:
    sizes = (0.0, 0.01, 0.05, 0.15, 0.3)
    figure = epsilon_figure(epsilon_planes([at(epsilon) for epsilon in sizes], ["at"] * 5))
    mesh: Any = figure.axes[0].collections[0]
    np.testing.assert_allclose(np.diff(mesh.get_coordinates()[:, 0, 1]), 1.0)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["0", "0.01", "0.05", "0.15", "0.3"]
    assert figure.axes[0].get_ylabel() == "ε of the attack (L∞, rows not to scale)"


@pytest.mark.parametrize("sharpness", [0.01, 3.0, 4000.0])
def test_the_numbers_of_the_colours_are_evenly_spaced_up_to_the_end(sharpness: float) -> None:
    planes = epsilon_planes([at(epsilon, sharpness=sharpness) for epsilon in SIZES], ["at"] * 3)
    bar: Any = epsilon_figure(planes).axes[-1]
    mesh: Any = epsilon_figure(planes).axes[0].collections[0]
    places = mesh.norm(bar.get_yticks())
    gaps = np.diff([*([] if places[0] == 0 else [0.0]), *places, 1.0])
    assert len(places) >= 8 and places[-1] <= 1.0
    assert gaps[:-1].min() > 0.04 and gaps.max() < 0.25
    assert "by the square root above the lowest value." in epsilon_caption(planes)
    assert "square root" not in epsilon_caption(planes, "robust-error")


@pytest.mark.parametrize("lowest", [0.0, -0.0003, -0.05, -1.0, 0.3], ids=str)
def test_the_colours_name_0_where_they_reach_it(lowest: float) -> None:
    ticks = bar_ticks(norm := PowerNorm(0.5, lowest, 12.3))
    assert (0.0 in ticks) == (lowest <= 0)
    gaps = np.diff(np.asarray(norm(ticks)))
    assert len(ticks) >= 7 and gaps.min() > 0.04 and gaps.max() < 0.25


def test_the_caption_names_each_epsilon_once() -> None:
    planes = epsilon_planes([at(epsilon) for epsilon in SIZES], ["at"] * 3)
    assert (
        "Attack: PGD-10, L∞, 1 random start, ε = 0, 2/255, 8/255 with steps 0, 0.00196078, 0.00784314; "
        "attacked anew at every α." in epsilon_caption(planes)
    )
    one_step = [at(epsilon, attack={"epsilon": epsilon}) for epsilon in SIZES]
    assert "step 0.0375, 1 random start, ε = 0, 2/255, 8/255; attacked" in epsilon_caption(
        epsilon_planes(one_step, ["at"] * 3)
    )


def test_nodes_without_a_number_are_left_out_and_counted() -> None:
    lost = tuple((direction, 4) for direction in range(4))
    planes = epsilon_planes([at(0.0), at(0.1, not_finite=lost)], ["at", "at"])
    assert np.isnan(planes[0].values("loss")[1, 4])
    figure = epsilon_figure(planes)
    mesh: Any = figure.axes[0].collections[0]
    assert np.ma.getmaskarray(mesh.get_array()).sum() == 1
    assert "of 20 points 4 not finite" in epsilon_caption(planes)


@pytest.mark.parametrize(
    ("surfaces", "message"),
    [
        pytest.param([at(0.1), at(0.1)], "need an epsilon each, every one of its own", id="twice"),
        pytest.param(
            [at(0.1), make_surface(objective="clean", attack={"name": "none"}, grid="-1:1:5")],
            "need an epsilon",
            id="none",
        ),
        pytest.param([at(0.1), at(0.2, grid="-1:1:3")], "lie on several grids", id="grids"),
        pytest.param([], "at least one, got 0 surfaces", id="nothing"),
    ],
)
def test_what_is_no_plane_is_refused(surfaces: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        epsilon_planes(surfaces, ["at"] * len(surfaces))

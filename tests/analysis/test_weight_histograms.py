from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from matplotlib.figure import Figure

from landscape.analysis.weight_figure import draw_histograms, weight_figure
from landscape.analysis.weight_histograms import TOGETHER, Layer, weight_histograms
from landscape.analysis.weight_table import CSV_COLUMNS, weight_csv, weight_numbers, weight_table
from landscape.errors import InputError

RNG = np.random.default_rng(0)

WEIGHTS = [
    ("a", {"conv.weight": RNG.standard_normal((4, 3, 3, 3)), "linear.weight": RNG.standard_normal((10, 7)) ** 3}),
    ("b", {"conv.weight": 2 * RNG.standard_normal((4, 3, 3, 3)), "linear.weight": RNG.standard_normal((10, 7))}),
]


def many(count: int) -> tuple[Layer, ...]:
    return weight_histograms([("a", {f"layer{number}.weight": RNG.standard_normal(30) for number in range(count)})])


def test_counts_are_those_of_a_literal_loop_in_common_bins() -> None:
    (conv, linear) = weight_histograms(WEIGHTS, num_bins=7)
    assert [conv.name, linear.name] == ["conv.weight", "linear.weight"]
    for layer in (conv, linear):
        for (_, weights), found in zip(WEIGHTS, layer.histograms, strict=True):
            counts = [0] * 7
            for weight in weights[layer.name].ravel():
                for number, (low, high) in enumerate(zip(layer.edges, layer.edges[1:], strict=False)):
                    counts[number] += low <= weight < high or (number == 6 and weight == high)
            assert counts == found.counts.tolist() and found.counts.sum() == weights[layer.name].size
        np.testing.assert_allclose(layer.edges, -layer.edges[::-1])


def test_the_area_of_a_density_is_one() -> None:
    for layer in weight_histograms(WEIGHTS):
        for found in layer.histograms:
            assert (layer.density(found) * np.diff(layer.edges)).sum() == pytest.approx(1.0)


def test_statistics_are_those_of_scipy() -> None:
    layer = weight_histograms(WEIGHTS, near_zero=0.1)[1]
    weights = WEIGHTS[0][1]["linear.weight"].ravel()
    found = layer.histograms[0]
    assert found.deviation == pytest.approx(weights.std()) and found.mean == pytest.approx(weights.mean())
    assert found.skewness == pytest.approx(scipy.stats.skew(weights)) and found.largest == np.abs(weights).max()
    assert found.share_near_zero == np.mean(np.abs(weights) < 0.1)


def test_all_layers_together_are_one() -> None:
    (layer,) = weight_histograms(WEIGHTS, together=True)
    assert layer.name == TOGETHER and [one.num_weights for one in layer.histograms] == [178, 178]


def test_a_layer_that_one_checkpoint_has_not_is_that_of_the_others() -> None:
    layers = weight_histograms([WEIGHTS[0], ("c", {"head": np.ones(3)})])
    assert [[one.checkpoint for one in layer.histograms] for layer in layers] == [["a"], ["a"], ["c"]]


def test_weights_that_are_not_finite_are_left_out_and_counted() -> None:
    layers = weight_histograms([("a", {"w": np.array([1.0, np.nan, -2.0, np.inf])})])
    found = layers[0].histograms[0]
    assert (found.num_weights, found.num_not_finite, found.largest) == (2, 2, 2.0)
    assert "NaN and infinite weights are left out, of a." in weight_table(layers)
    nothing = weight_histograms([("a", {"w": np.array([np.nan])})])
    assert math.isnan(nothing[0].histograms[0].deviation)
    weight_figure(nothing)


def test_a_layer_of_zeros_has_a_picture() -> None:
    layers = weight_histograms([("a", {"w": np.zeros(5)})])
    assert layers[0].histograms[0].counts.sum() == 5 and math.isnan(layers[0].histograms[0].skewness)
    assert "100.0 %" in weight_table(layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoints": []}, "histograms need at least one checkpoint, got none."),
        (
            {"checkpoints": [WEIGHTS[0], WEIGHTS[0]]},
            "histograms tell checkpoints apart by their names, got a, a.",
        ),
        ({"checkpoints": WEIGHTS, "num_bins": 1}, "a histogram has at least 2 bins, got 1."),
        ({"checkpoints": WEIGHTS, "near_zero": 0.0}, "near zero means below a number above 0, got 0."),
    ],
    ids=["none", "twice", "one bin", "near zero"],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        weight_histograms(**arguments)


def test_the_table_and_the_csv_hold_every_layer_of_every_checkpoint() -> None:
    layers = weight_histograms(WEIGHTS, num_bins=4)
    lines = weight_table(layers).splitlines()
    assert lines[0].split() == ["layer", "checkpoint", "weights", "std", "max", "|w|", "skewness", "|w|", "<", "0.001"]
    assert lines[1].split()[:3] == ["conv.weight", "a", "108"] and lines[2].split()[:2] == ["b", "108"]
    rows = list(csv.reader(io.StringIO(weight_csv(layers))))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows) == 1 + 2 * 2 * 4
    assert sum(int(row[4]) for row in rows[1:] if row[:2] == ["conv.weight", "b"]) == 108
    assert float(rows[1][2]) == layers[0].edges[0]
    assert weight_numbers(layers)[0]["histograms"][1]["counts"] == layers[0].histograms[1].counts.tolist()


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (3, 3), (7, 8)], ids=str)
def test_a_panel_for_each_layer_with_its_name(count: int, panels: int) -> None:
    figure = weight_figure(many(count))
    assert len(figure.axes) == panels
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"layer{number}.weight" for number in range(count)]
    assert shown[0].get_ylabel() == "density (1 / weight)"
    assert [axes.get_xlabel() for axes in shown[-min(4, count) :]] == ["weight"] * min(4, count)


def test_more_layers_than_can_be_read_are_refused() -> None:
    with pytest.raises(InputError, match=r"^a figure has room for 40 layers, got 41; choose with --layers REGEX"):
        weight_figure(many(41))


def test_axes_say_counts_or_density_and_the_log_scale_leaves_gaps() -> None:
    layer = weight_histograms(WEIGHTS, num_bins=20)[1]
    axes: Any = draw_histograms(Figure().subplots(), layer, counts=True, log=True)
    heights = axes.patches[0].get_data().values
    np.testing.assert_array_equal(np.nan_to_num(heights), layer.histograms[0].counts)
    assert axes.get_yscale() == "log" and np.isnan(heights).any()
    assert weight_figure((layer,), counts=True).axes[0].get_ylabel() == "weights per bin"


def test_a_series_has_colours_that_follow_one_another() -> None:
    layers = weight_histograms([(f"epoch {n}", {"w": RNG.standard_normal(9)}) for n in range(9)])
    axes: Any = weight_figure(layers, series=True).axes[0]
    colours = {tuple(patch.get_edgecolor()) for patch in axes.patches}
    assert len(colours) == 9
    with pytest.raises(InputError, match=r"^9 checkpoints need as many colours, got 1\."):
        draw_histograms(Figure().subplots(), layers[0], colours=["red"])

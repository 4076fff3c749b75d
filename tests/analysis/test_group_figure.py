from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.analysis.figures import save_figure
from landscape.analysis.group_colours import FEW_COLOUR, group_looks, text_colour
from landscape.analysis.group_figure import Parted, draw_groups, group_figure
from landscape.analysis.groups import GroupedSurface, Grouping, group_examples
from landscape.analysis.layout import own_style
from landscape.analysis.style import COLOURS
from landscape.errors import InputError
from tests.analysis.grouped import split_surfaces, surface_at

Columns = list[tuple[GroupedSurface, ...]]


def columns(count: int, by: str = "loss", num_splits: int = 2) -> Columns:
    return [
        tuple(
            group_examples(surface, Grouping(by=by), title=f"at-{number}")
            for surface in split_surfaces(num_directions=3)[:num_splits]
        )
        for number in range(count)
    ]


def axes_of(figure: Any) -> tuple[list[Any], Any]:
    *panels, bars = figure.axes
    return panels, bars


@pytest.mark.parametrize(
    ("count", "num_splits", "show", "shape"),
    [
        pytest.param(1, 1, "change", (1, 1), id="one panel"),
        pytest.param(1, 1, "both", (1, 2), id="change and raw side by side"),
        pytest.param(1, 2, "change", (1, 2), id="splits side by side"),
        pytest.param(2, 2, "change", (2, 2), id="two checkpoints"),
        pytest.param(2, 2, "both", (4, 2), id="two checkpoints, both"),
        pytest.param(5, 1, "raw", (2, 3), id="five checkpoints"),
    ],
)
def test_checkpoints_are_columns_and_splits_are_rows(
    count: int, num_splits: int, show: str, shape: tuple[int, int]
) -> None:
    figure = group_figure(columns(count, num_splits=num_splits), Grouping(), show=show)
    panels, bars = axes_of(figure)
    assert len(panels) == count * num_splits * (2 if show == "both" else 1)
    grid = panels[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert len(bars.get_yticklabels()) == count * num_splits
    heights = {axes.get_ylim() for axes in panels}
    assert len(heights) == (2 if show == "both" else 1)


@pytest.mark.parametrize(
    ("num_first", "rows"),
    [(0, [[0, 1, 2], [3, 4]]), (1, [[0], [1, 2, 3, 4]]), (2, [[0, 1], [2, 3, 4]]), (5, [[0, 1, 2], [3, 4]])],
    ids=["before all", "after one", "after two", "after all"],
)
def test_a_row_ends_where_a_series_parts(num_first: int, rows: list[list[int]]) -> None:
    parted = Parted(num_first=num_first, words="epoch 50 (best)")
    figure = group_figure(columns(5, num_splits=1), Grouping(), parted=parted)
    panels, _ = axes_of(figure)
    places = [(spec.rowspan.start, spec.colspan.start) for spec in (axes.get_subplotspec() for axes in panels)]
    assert places == [(row, column) for row, numbers in enumerate(rows) for column in range(len(numbers))]
    assert [axes.get_title() for axes in panels] == [f"at-{number} (train)" for number in range(5)]
    caption = " ".join("".join(text.get_text() for text in figure.texts).split())
    assert "The series parts at epoch 50 (best), where a row ends." in caption


def test_small_groups_are_grey_and_dashed_with_their_number_and_do_not_set_the_scale() -> None:
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    surface = surface_at([0.1] * 40 + [0.7] * 3)
    surface.arrays["adversarial_loss"][..., 40:] += 1000
    axes = Figure().subplots()
    looks = group_looks([0, 1], Grouping())
    draw_groups(axes, group_examples(surface), looks)
    main, few = axes.lines
    assert main.get_linestyle() == "-" and few.get_linestyle() == "--"
    assert to_hex(few.get_color()) == FEW_COLOUR
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["[0.5, 1): 3"]
    assert axes.get_ylim()[1] < 100


def test_no_two_small_groups_by_loss_look_alike_and_each_looks_the_same_in_every_panel() -> None:
    from matplotlib.figure import Figure

    grouping = Grouping(edges=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    looks = group_looks([*range(10), -1, -2], grouping)
    losses = [0.05 + place / 10 for place in range(10)] + [7.0, math.nan]
    seen = []
    for chosen in (losses, losses[1::2]):
        axes = Figure().subplots()
        draw_groups(axes, group_examples(surface_at(chosen), grouping), looks)
        # The dashes in points have no public name in matplotlib, and its stubs leave the private one out.
        dashes = [str(line._dash_pattern) for line in axes.lines]  # type: ignore[attr-defined]
        seen.append(list(zip(dashes, (line.get_marker() for line in axes.lines), strict=True)))
    assert len(set(seen[0])) == 12
    assert seen[1] == seen[0][1::2]
    assert [marker for _, marker in seen[0][:6]] == ["None"] * 5 + ["o"]


def test_small_classes_keep_their_colours_and_have_hollow_markers() -> None:
    from matplotlib.figure import Figure

    surface = replace(surface_at([0.1] * 45), labels=np.array([0] * 40 + [1] * 3 + [7] * 2))
    grouping = Grouping(by="class")
    looks = group_looks([0, 1, 7], grouping)
    axes = Figure().subplots()
    draw_groups(axes, group_examples(surface, grouping), looks)
    lines = axes.lines
    assert [line.get_color() for line in lines] == [look.colour for look in looks.values()]
    assert [line.get_markerfacecolor() == "white" for line in lines] == [False, True, True]
    assert lines[1].get_linewidth() < 0.6 * float(lines[0].get_linewidth())
    assert lines[1].get_linestyle() == "-" and lines[2].get_linestyle() != "-"
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["class 1: 3", "class 7: 2"]


def test_no_two_of_a_hundred_classes_look_alike() -> None:
    looks = group_looks(range(100), Grouping(by="class")).values()
    assert len({(look.colour, str(look.linestyle), look.marker) for look in looks}) == 100
    assert [bool(look.hatch) for look in looks][:8] == [False] * 7 + [True]


def test_empty_groups_are_absent_and_lines_are_the_means() -> None:
    from matplotlib.figure import Figure

    surface = surface_at([0.1] * 30 + [2.7] * 30)
    grouped = group_examples(surface)
    axes = Figure().subplots()
    draw_groups(axes, grouped, group_looks([0, 5], Grouping()), centred=False)
    assert len(axes.lines) == 2
    expected = surface.adversarial_loss[..., 30:].mean(axis=(0, 2), dtype=np.float64)
    np.testing.assert_allclose(np.asarray(axes.lines[1].get_ydata(), dtype=np.float64), expected, rtol=1e-6)


def test_a_group_without_numbers_and_only_small_groups_can_be_drawn(tmp_path: Path) -> None:
    for losses in ([0.1] * 30 + [math.nan] * 25, [0.1, 5.0, 0.7], [math.inf, math.nan]):
        grouped = group_examples(surface_at(losses), title="at")
        path = save_figure(group_figure([(grouped,)], Grouping()), tmp_path / "groups.png")
        assert path.stat().st_size > 5_000


def test_the_legend_lists_groups_in_order_and_the_caption_says_how_they_were_made() -> None:
    figure = group_figure(columns(2), Grouping(), title="by loss")
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert {name.partition(": in the bars")[0] for name in names} >= {
        "[0, 0.5)", "[2.5, 3)", "rest: outside [0, 3)", "fewer than 20 examples",
    }  # fmt: skip
    caption = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "Examples grouped by adversarial loss at α = 0, edges 0, 0.5, 1, 1.5, 2, 2.5, 3" in caption
    assert "Attack: PGD-10" in caption and "Grey and dashed: groups with fewer than 20 examples" in caption


def test_a_group_that_is_small_in_every_panel_has_its_colour_in_the_bars_only() -> None:
    first, second = surface_at([0.1] * 40 + [0.7] * 3), surface_at([0.1] * 3 + [0.7] * 40 + [2.7] * 2)
    for surfaces, words in (
        ([first], ["[0, 0.5)", "[0.5, 1): in the bars only"]),
        ([first, second], ["[0, 0.5)", "[0.5, 1)", "[2.5, 3): in the bars only"]),
    ):
        figure = group_figure([(group_examples(surface),) for surface in surfaces], Grouping())
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names == [*words, "fewer than 20 examples"]
    classes = replace(surface_at([0.1] * 45), labels=np.array([0] * 40 + [1] * 5))
    figure = group_figure([(group_examples(classes, Grouping(by="class")),)], Grouping(by="class"))
    assert "class 1" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_losses_have_an_ordered_scale_and_classes_colours_of_their_own() -> None:
    ordered = [look.colour for look in group_looks(range(6), Grouping()).values()]
    assert len(set(ordered)) == 6
    assert group_looks([3], Grouping())[3].colour == ordered[3]
    classes = group_looks(range(10), Grouping(by="class"))
    assert [classes[index].colour for index in range(7)] == list(COLOURS)
    assert len({(look.colour, look.linestyle) for look in classes.values()}) == 10
    assert (text_colour("#000000"), text_colour("#ffffff")) == ("white", "black")


def test_many_groups_have_no_bands_and_long_names_lose_their_middle() -> None:
    surface = replace(surface_at([0.1] * 240), labels=np.arange(240) % 8)
    for by, num_bands, said in (("class", 0, "bands are not drawn for more than 7 groups"), ("loss", 1, "bands: 95 %")):
        grouping = Grouping(by=by)
        column = (group_examples(surface, grouping, title="a-very-long-name-" * 9 + "end"),)
        figure = group_figure([column] * 3, grouping, show="raw")
        panels, bars = axes_of(figure)
        assert len(panels[0].collections) == num_bands
        assert said in " ".join(" ".join(text.get_text() for text in figure.texts).split())
        title = panels[0].get_title()
        assert len(title) <= 32 and "…" in title and title.endswith("end (train)")
        assert bars.get_yticklabels()[0].get_text() == title


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        save_figure(group_figure(columns(1), Grouping()), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg")
    )
    assert first == second


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"a figure of groups needs surfaces and one of change, raw, both, got 0"):
        group_figure([], Grouping())
    with pytest.raises(InputError, match="got 2, 'all'"):
        group_figure(columns(1), Grouping(), show="all")


def test_nothing_is_cut_off_whatever_the_style_of_the_caller() -> None:
    import matplotlib

    surfaces = split_surfaces(num_directions=3, sharpness=1.0)
    splits = tuple(group_examples(surface, Grouping(), title="at") for surface in surfaces)
    with matplotlib.rc_context({"font.size": 16.0, "ytick.labelsize": 16.0}):  # fewer ticks, with shorter labels
        figure = group_figure([splits, splits], Grouping())
    with own_style():
        figure.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box is not None and figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in boxes)

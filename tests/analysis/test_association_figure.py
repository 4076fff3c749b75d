from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from landscape.analysis.association import Point
from landscape.analysis.association_figure import association_figure, draw_association
from landscape.errors import InputError


def made(runs: int, epochs: int, *, spread: float = 1.0, methods: int = 4) -> list[Point]:
    rng = np.random.default_rng(runs)
    return [
        Point(
            run=f"method-{run % methods}-seed{run}", epoch=10 * epoch, name=f"run {run}, epoch {10 * epoch}",
            method=f"method-{run % methods}", flatness=float(spread * rng.standard_normal()), gap=float(rng.uniform()),
            train_robust_loss=1.0, is_final=epoch == epochs,
        )
        for run in range(runs)
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def drawn(points: list[Point], **words: str) -> Any:
    """Axes, as Any: matplotlib's own types know little of their artists."""
    return draw_association(Figure().subplots(), points, **words)


def notes(axes: Any) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


def boxes(figure: Figure) -> list[Any]:
    figure.draw_without_rendering()
    return [Text.get_window_extent(note).extents for note in notes(figure.axes[0])]


@pytest.mark.parametrize(("runs", "epochs", "names"), [(3, 5, 15), (16, 9, 16), (21, 3, 0)], ids=str)
def test_names_cover_neither_one_another_nor_points_and_stay_inside(runs: int, epochs: int, names: int) -> None:
    figure = association_figure(made(runs, epochs))
    found = boxes(figure)
    assert len(found) == names
    for a, b in combinations(found, 2):
        assert a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]
    axes: Any = figure.axes[0]
    frame = axes.bbox.extents
    for left, bottom, right, top in found:
        assert frame[0] <= left and right <= frame[2] and frame[1] <= bottom and top <= frame[3]
        for scatter in axes.collections:
            x, y = axes.transData.transform(np.asarray(scatter.get_offsets())).T
            assert not ((left < x) & (x < right) & (bottom < y) & (y < top)).any()


def test_names_of_points_in_one_place_stand_apart() -> None:
    points = [replace(p, flatness=0.5, gap=0.1) for p in made(5, 1)]
    found = boxes(association_figure([*points, *made(2, 1)[1:]]))
    assert all(a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3] for a, b in combinations(found, 2))


def test_up_to_fifteen_points_have_their_own_names_and_more_those_of_the_runs() -> None:
    assert {note.get_text() for note in notes(drawn(made(3, 5)))} == {p.name for p in made(3, 5)}
    assert {note.get_text() for note in notes(drawn(made(4, 4)))} == {p.run for p in made(4, 4)}


def test_axes_say_what_they_are_and_in_what_unit() -> None:
    axes = drawn(made(4, 2), flatness="rise(0.5)", unit="nats")
    assert axes.get_xlabel() == "rise(0.5) (nats)"
    assert axes.get_ylabel() == "robust generalization gap, train minus test (percentage points)"
    bare = drawn(made(4, 2), flatness="sharpness", unit="")
    assert bare.get_xlabel() == "sharpness"


def test_methods_have_looks_of_their_own_and_the_gap_is_in_points() -> None:
    points = made(20, 1, methods=20)
    axes = drawn(points)
    looks = {(tuple(s.get_facecolor()[0]), s.get_paths()[0].vertices.tobytes()) for s in axes.collections}
    assert len(looks) == len(axes.collections) == 20
    heights = np.concatenate([np.asarray(s.get_offsets())[:, 1] for s in axes.collections])
    np.testing.assert_allclose(sorted(heights), sorted(100 * p.gap for p in points))


def test_eight_methods_differ_in_colour_and_in_marker() -> None:
    axes = drawn(made(8, 1, methods=8))
    colours = {tuple(s.get_facecolor()[0]) for s in axes.collections}
    assert len(colours) == len({s.get_paths()[0].vertices.tobytes() for s in axes.collections}) == 8


def test_without_methods_every_run_has_a_colour() -> None:
    axes = drawn([replace(p, method=None) for p in made(3, 4)])
    assert [s.get_label() for s in axes.collections] == [f"method-{run}-seed{run}" for run in range(3)]


def test_later_epochs_are_larger_and_the_last_has_a_black_rim() -> None:
    axes = drawn(made(1, 4))
    (scatter,) = axes.collections
    assert list(scatter.get_sizes()) == sorted(scatter.get_sizes()) and len(set(scatter.get_sizes())) == 4
    assert (scatter.get_edgecolor()[-1] == [0, 0, 0, 1]).all() and (scatter.get_edgecolor()[0] == 1).all()
    (course,) = axes.get_lines()
    assert len(np.asarray(course.get_xdata())) == 4


def test_the_caption_reads_the_picture_and_claims_no_cause() -> None:
    figure = association_figure(made(3, 3), caption="Spearman +0.5.")
    text = " ".join(one.get_text() for one in figure.texts).replace("\n", " ")
    assert text.strip().startswith("Spearman +0.5. Each point is a checkpoint, larger for a later epoch")
    assert "The gap contains train accuracy; an association says nothing about causes." in text


def test_it_draws_on_axes_of_the_caller_and_leaves_matplotlib_alone() -> None:
    before = dict(matplotlib.rcParams)
    axes = Figure().subplots()
    assert draw_association(axes, made(2, 2)) is axes
    assert dict(matplotlib.rcParams) == before


def test_points_without_finite_numbers_are_not_drawn() -> None:
    points = made(2, 2)
    axes = drawn([replace(points[0], flatness=np.nan), *points[1:]])
    assert sum(len(s.get_offsets()) for s in axes.collections) == 3
    with pytest.raises(InputError, match=r"^a scatter picture needs at least one checkpoint with finite numbers"):
        drawn([replace(points[0], gap=np.nan)])

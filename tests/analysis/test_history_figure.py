from __future__ import annotations

import dataclasses

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape.analysis.history_figure import history_figure
from landscape.analysis.run_history import RunGroup, RunHistory, group_runs
from landscape.errors import InputError

EPOCHS = np.arange(1.0, 7.0)


def make_run(seed: int, *, settings: bool = True, best: int = 4) -> RunHistory:
    test = np.full(6, 0.4) + 0.02 * seed
    test[best - 1] += 0.1
    columns = {
        "epoch": EPOCHS, "lr": np.array([0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        "perturbation_ratio": 0.02 + 1e-9 * np.arange(6),
        "train_robust_accuracy": np.full(6, 0.7), "test_robust_accuracy": test,
        "train_robust_loss": np.full(6, 1.0), "test_robust_loss": np.full(6, 1.5),
    }  # fmt: skip
    given = {"method": "at", "dataset": "digits", "seed": seed, "eval_attack": "pgd-10", "eval_examples": 500}
    return RunHistory(label=f"run-{seed}", columns=columns, settings=given if settings else None, is_log=not settings)


def lines(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[panel].get_lines()}


def caption(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_curves_of_both_splits_and_their_gap() -> None:
    figure = history_figure(group_runs([make_run(0)]))
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("robust accuracy (%)", "train minus test (points)")
    np.testing.assert_allclose(lines(figure, 0)["run-0"], 70.0)
    np.testing.assert_allclose(lines(figure, 1)["run-0"], [30, 30, 30, 20, 30, 30])
    marks = [line for line in left.get_lines() if line.get_marker() == "o" and len(np.asarray(line.get_xdata()))]
    (mark,) = marks
    np.testing.assert_allclose(np.asarray(mark.get_xydata()), [[4.0, 50.0]])
    dotted = [line for line in left.get_lines() if list(np.asarray(line.get_xdata())) == [4, 4]]
    assert len(dotted) == 1
    assert "under pgd-10, on at most 500 examples of each split" in caption(figure)
    assert "Dotted lines: the learning rate drops." in caption(figure)


@pytest.mark.parametrize(("column", "gap"), [("robust-error", 30.0), ("robust-loss", 0.5)], ids=["error", "loss"])
def test_the_gap_is_positive_where_test_is_worse(column: str, gap: float) -> None:
    figure = history_figure(group_runs([make_run(0)]), [column])
    assert lines(figure, 1)["run-0"][0] == pytest.approx(gap)
    assert figure.axes[1].get_ylabel().startswith("test minus train")


def test_seeds_have_a_band_and_a_mean() -> None:
    runs = [make_run(seed) for seed in range(3)]
    figure = history_figure(group_runs(runs))
    np.testing.assert_allclose(lines(figure, 1)["at on digits, 3 seeds"], [28, 28, 28, 18, 28, 28])
    (band,) = figure.axes[1].collections
    heights = band.get_paths()[0].get_extents()
    # 0.40, 0.42, 0.44: one standard deviation is 2 points.
    assert (heights.y0, heights.y1) == (pytest.approx(16.0), pytest.approx(30.0))
    assert "bands one standard deviation" in caption(figure)
    assert not history_figure(group_runs(runs[:1])).axes[1].collections


def test_columns_without_a_split_have_one_panel_after_the_pairs() -> None:
    figure = history_figure(group_runs([make_run(0)]), ["lr", "robust-accuracy", "perturbation_ratio"])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["robust accuracy", "gap in robust accuracy", "lr", "perturbation ratio"]
    assert figure.axes[2].get_yscale() == "log"
    np.testing.assert_allclose(figure.axes[3].get_ylim(), (0.019, 0.021), rtol=1e-6)
    single = history_figure(group_runs([make_run(0)]), ["lr"])
    assert [axes.get_visible() for axes in single.axes] == [True, False]
    assert "Best epoch" not in caption(single)


def test_logs_say_what_their_train_columns_are() -> None:
    assert "in training mode, augmented, and under AWP at w + v" in caption(
        history_figure(group_runs([make_run(0, settings=False)]))
    )


def test_epochs_without_evaluation_are_told_from_those_with_one() -> None:
    assert "Dots" not in caption(history_figure(group_runs([make_run(0)])))
    run = make_run(0, best=4)
    columns = {
        name: np.where(np.isin(EPOCHS, (2, 4, 6)), column, np.nan) if name.startswith(("train", "test")) else column
        for name, column in run.columns.items()
    }
    figure = history_figure(group_runs([dataclasses.replace(run, columns=columns)]))
    for axes in figure.axes:
        dots = [line for line in axes.get_lines() if line.get_marker() == "."]
        assert {tuple(np.asarray(line.get_xdata()).tolist()) for line in dots} == {(2.0, 4.0, 6.0)}
    assert "Dots: the epochs that were evaluated." in caption(figure)


@pytest.mark.parametrize("last", [6, 20, 30, 100, 200], ids=str)
def test_ticks_are_the_epochs_that_people_choose(last: int) -> None:
    epochs = np.arange(1.0, last + 1)
    columns = {name: np.interp(epochs, EPOCHS, column) for name, column in make_run(0).columns.items()}
    run = RunHistory(label="run", columns={**columns, "epoch": epochs})
    ticks = history_figure(group_runs([run])).axes[0].get_xticks()
    (step,) = set(np.diff(ticks))
    assert step in (1, 2, 5, 10, 20, 50) and not (ticks % step).any()


def test_best_epochs_in_one_place_are_both_seen() -> None:
    runs = [dataclasses.replace(make_run(0, settings=False), label=label) for label in ("one", "two")]
    axes = history_figure(group_runs(runs)).axes[0]
    best = [line for line in axes.get_lines() if list(np.asarray(line.get_xdata())) == [4.0]]
    assert len({(line.get_marker(), line.get_color()) for line in best}) == 2
    assert {line.get_markerfacecolor() for line in best} == {"none"}


def test_nothing_to_draw_is_refused() -> None:
    group = RunGroup(label="run", runs=(make_run(0),))
    with pytest.raises(InputError, match="needs at least one run and one column"):
        history_figure([])
    with pytest.raises(InputError, match="needs at least one run and one column"):
        history_figure([group], [])
    with pytest.raises(InputError, match="the history of run-0 has no column speed"):
        history_figure([group], ["speed"])


def test_settings_of_matplotlib_stay() -> None:
    before = dict(matplotlib.rcParams)
    history_figure(group_runs([make_run(0)]))
    assert dict(matplotlib.rcParams) == before

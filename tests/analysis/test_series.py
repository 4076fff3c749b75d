from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.analysis.series import Parting, find_parting, series_figure
from landscape.errors import InputError, TrainingError
from landscape.training.history import VALIDATION, write_history
from tests.analysis.synthetic import make_surface
from tests.analysis.test_figures import require_no_overlap

BEST = Parting(epoch=60, name="best", best_epoch=60)


def surfaces_at(epochs: list[int], **changes: Any) -> list[Any]:
    return [make_surface(sharpness=2 + e / 40, num_directions=2, num_examples=10, **changes) for e in epochs]


def history(folder: Path, rows: list[tuple[int, float | None, float | None]]) -> Path:
    write_history(
        folder / "history.csv",
        [{"epoch": e, "train_robust_accuracy": train, "test_robust_accuracy": test} for e, train, test in rows],
    )
    return folder


def test_panels_hold_the_epochs_before_and_after() -> None:
    epochs = [100, 20, 60, 40, 80]
    surfaces = surfaces_at(epochs)
    figure = series_figure(surfaces, epochs, parting=BEST, title="digits-at")
    require_no_overlap(figure)
    upper_left, upper_right, lower_left, lower_right, bar = figure.axes
    assert upper_left.get_title() == "up to epoch 60 (best)"
    assert bar.get_ylabel() == "epoch"
    assert len({axes.get_ylim() for axes in figure.axes[:4]}) == 1
    for axes, shown in ((upper_left, [1, 3, 2]), (upper_right, [2, 4, 0])):
        drawn = [np.asarray(line.get_ydata()) for line in axes.get_lines()]
        np.testing.assert_allclose(drawn, [surfaces[index].mean().mean(axis=0) for index in shown])
    for axes in (lower_left, lower_right):
        assert min(np.min(np.asarray(line.get_ydata())) for line in axes.get_lines()) == pytest.approx(0.0, abs=1e-6)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["epoch 60, best"]


@pytest.mark.parametrize(("epoch", "title"), [(60, "up to epoch 60 (best)"), (20, "from epoch 20 (best)")])
def test_a_parting_at_an_end_leaves_one_group(epoch: int, title: str) -> None:
    epochs = [20, 40, 60]
    parting = Parting(epoch=epoch, name="best", best_epoch=epoch)
    figure = series_figure(surfaces_at(epochs), epochs, parting=parting, title="run")
    require_no_overlap(figure)
    left, right, bar = figure.axes
    assert (left.get_title(), right.get_title(), bar.get_ylabel()) == ("", "", "epoch")
    assert f"run, {title}" in [text.get_text() for text in figure.texts]
    assert len(left.get_lines()) == len(right.get_lines()) == 3
    assert left.get_ylabel().endswith("g(α) (cross-entropy, nats)")
    assert right.get_ylabel().endswith("g(α) − g(0) (nats)")
    assert left.get_xlabel() == right.get_xlabel() != ""


def test_colours_follow_the_epoch_and_the_best_is_black() -> None:
    epochs = [20, 40, 60, 80]
    left = series_figure(surfaces_at(epochs), epochs, parting=BEST).axes[0]
    colours = [str(line.get_color()) for line in left.get_lines()]
    assert colours[-1] == "black"
    assert len(set(colours)) == 3


def test_both_splits_differ_by_line() -> None:
    epochs = [20, 60]
    surfaces = surfaces_at(epochs) + surfaces_at(epochs, data={"split": "test", "digest": "data-1"})
    figure = series_figure(surfaces, epochs * 2, parting=BEST)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "epoch 60, best (train)",
        "epoch 60, best (test)",
    ]
    require_no_overlap(figure)


@pytest.mark.parametrize(
    ("epochs", "message"),
    [([1, 2], "3 surfaces need as many epochs, got 2"), ([1, 2, 2], "every epoch once for each split, got 1, 2, 2")],
)
def test_wrong_epochs_are_refused(epochs: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        series_figure(surfaces_at([1, 2, 3]), epochs, parting=BEST)


def test_best_is_the_first_highest_test_accuracy(tmp_path: Path) -> None:
    run = history(tmp_path, [(1, 0.3, 0.30), (2, None, None), (3, 0.5, 0.45), (4, 0.7, 0.45), (5, 0.8, 0.44)])
    assert find_parting(run) == Parting(epoch=3, name="best", best_epoch=3)
    assert find_parting(run, "gap:0.10") == Parting(epoch=4, name="robust gap 0.1 reached", best_epoch=3)


@pytest.mark.parametrize("text", ["", "worst", "gap", "gap:", "gap:x", "gap:0", "gap:2", "gap:1/0", "best:1"])
def test_other_partings_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="parts at best or at gap:G"):
        find_parting(tmp_path, text)


def test_a_gap_that_was_never_reached_is_said(tmp_path: Path) -> None:
    run = history(tmp_path, [(1, 0.3, 0.3), (2, 0.52, 0.4)])
    with pytest.raises(InputError, match=r"reaches 0\.120 at most; name a smaller one than gap:0\.5"):
        find_parting(run, "gap:0.5")


def test_the_best_epoch_is_that_of_validation_where_there_is_one(tmp_path: Path) -> None:
    rows = [(20, 0.40, 0.55), (40, 0.50, 0.45)]
    write_history(
        tmp_path / "history.csv",
        [{**dict.fromkeys(VALIDATION, held), "epoch": e, "test_robust_accuracy": test} for e, test, held in rows],
    )
    assert find_parting(tmp_path).epoch == 20
    assert find_parting(history(tmp_path, [(20, 0.5, 0.40), (40, 0.6, 0.50)])).epoch == 40


def test_a_run_without_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no .*history"):
        find_parting(tmp_path)
    with pytest.raises(InputError, match="no evaluation yet"):
        find_parting(history(tmp_path, [(1, None, None)]))

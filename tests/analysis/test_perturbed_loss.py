from __future__ import annotations

import csv
import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from landscape.analysis.perturbed_loss import ADVERSARIAL, NONE, RANDOM, Perturbed, PerturbedLoss, perturbed_losses
from landscape.analysis.perturbed_loss_figure import perturbed_loss_figure
from landscape.analysis.perturbed_loss_table import (
    COLUMNS,
    perturbed_loss_csv,
    perturbed_loss_numbers,
    perturbed_loss_table,
)
from landscape.errors import InputError
from tests.analysis.synthetic import make_plane, make_surface

LAYERWISE = {"kind": "random", "seed": 0, "norm": "layer", "one_dim": "zero", "layers": None}


def worst(gamma: float, **changes: Any) -> Any:
    recipe = {"kind": "worst-case", "gamma": gamma, "num_steps": 10}
    return make_surface(grid=f"{gamma}:{gamma}:1", num_directions=1, directions=recipe, **changes)


def made(model: str = "run", epoch: int | None = None, gammas: str = "0.01:0.1:2", **changes: Any) -> list[Perturbed]:
    """Two surfaces of adversarial v, one of four random ones."""
    random = make_surface(grid=gammas, num_directions=4, directions=LAYERWISE, **changes)
    found = [worst(0.01, **changes), worst(0.1, **changes), random]
    return [Perturbed(surface=surface, model=model, epoch=epoch) for surface in found]


def row(rows: list[PerturbedLoss], kind: str, gamma: float) -> PerturbedLoss:
    (found,) = [one for one in rows if (one.kind, one.gamma) == (kind, gamma)]
    return found


def caption(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_each_row_is_a_mean_with_its_errors_by_a_literal_loop() -> None:
    found = made()
    rows = perturbed_losses(found)
    assert [(one.kind, one.gamma) for one in rows] == [
        (NONE, 0.0), (ADVERSARIAL, 0.01), (ADVERSARIAL, 0.1), (RANDOM, 0.01), (RANDOM, 0.1),
    ]  # fmt: skip
    surface = found[2].surface
    losses = surface.adversarial_loss[:, 1].astype(float)  # (4 directions, n) at gamma = 0.1
    by_example = [sum(losses[d, i] for d in range(4)) / 4 for i in range(losses.shape[1])]
    centre = surface.centre.adversarial_loss.astype(float)
    one = row(rows, RANDOM, 0.1)
    assert one.loss == pytest.approx(np.mean(by_example)) and one.num_directions == 4
    assert one.standard_error == pytest.approx(np.std(by_example, ddof=1) / np.sqrt(len(by_example)))
    assert one.rise == pytest.approx(np.mean(by_example) - centre.mean())
    assert one.rise_standard_error == pytest.approx(np.std(by_example - centre, ddof=1) / np.sqrt(len(centre)))
    assert one.deviation_directions == pytest.approx(np.std([line.mean() for line in losses], ddof=1))
    assert one.accuracy == pytest.approx(surface.adversarial_correct[:, 1].mean())
    at_w = row(rows, NONE, 0.0)
    assert at_w.loss == pytest.approx(centre.mean()) and (at_w.rise, at_w.num_directions) == (0.0, 0)
    assert np.isnan(row(rows, ADVERSARIAL, 0.1).deviation_directions)


def test_without_an_attack_accuracy_is_the_natural_one() -> None:
    found = made(objective="clean")
    assert row(perturbed_losses(found), RANDOM, 0.1).accuracy == pytest.approx(
        found[2].surface.clean_correct[:, 1].mean()
    )
    text = caption(perturbed_loss_figure(found))
    assert "attacked anew" not in text and "clean examples only" in text


def test_points_missing_or_not_finite_are_masked_and_counted() -> None:
    random = make_surface(
        grid="0.01:0.1:2", num_directions=4, directions=LAYERWISE, missing=((0, 1),), not_finite=((2, 1),)
    )
    rows = perturbed_losses([Perturbed(surface=random, model="a")])
    one = row(rows, RANDOM, 0.1)
    assert (one.num_directions, one.num_masked) == (2, 2) and np.isfinite(one.loss)
    assert "* 2 points missing or not finite are left out." in perturbed_loss_table(rows, title="loss", unit="nats")
    nothing = make_surface(
        grid="0.01:0.01:1", num_directions=1, directions=LAYERWISE, not_finite=((0, 0),), centre_finite=False
    )
    rows = perturbed_losses([Perturbed(surface=nothing, model="a")])
    assert all(np.isnan(one.loss) for one in rows)
    assert perturbed_loss_table(rows, title="loss", unit="nats").splitlines()[1].split() == ["a", "-", "-"]
    assert perturbed_loss_numbers(rows)[1]["loss"] is None


def test_the_table_has_a_column_for_each_kind_and_gamma() -> None:
    rows = perturbed_losses([*made("a", 10), *made("a", 20, seed=1), *made("b", 10, seed=2)])
    lines = perturbed_loss_table(rows, title="adversarial loss", unit="nats").splitlines()
    assert lines[0].split() == [
        "checkpoint", "epoch", "at", "w", "adversarial", "0.01", "adversarial", "0.1", "random", "0.01",
        "random", "0.1",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[1:4]] == [["a", "10"], ["a", "20"], ["b", "10"]]
    assert f"{rows[0].loss:.3f} ± {rows[0].standard_error:.3f}" in lines[1]
    assert lines[4].startswith("adversarial loss (nats) at w + v, ± its standard error over examples")
    both = perturbed_losses([*made(), *made(data={"split": "test"})])
    header, *_ = perturbed_loss_table(both, title="loss", unit="nats").splitlines()
    assert header.split()[:2] == ["checkpoint", "split"]


@pytest.mark.parametrize(
    ("count", "said", "unsaid"),
    [(1, "along one direction", "mean over directions"), (4, "mean over directions", "along one direction")],
    ids=["one", "four"],
)
def test_table_and_caption_speak_of_a_mean_only_where_there_is_one(count: int, said: str, unsaid: str) -> None:
    random = make_surface(
        grid="0.01:0.1:2", num_directions=count, directions=LAYERWISE, not_finite=((0, 1),)[: count - 1]
    )
    found = [Perturbed(surface=surface, model="a") for surface in (worst(0.1), random)]
    table = perturbed_loss_table(perturbed_losses(found), title="loss", unit="nats")
    for text in (table, caption(perturbed_loss_figure(found))):
        assert said in text and unsaid not in text


def test_the_csv_holds_every_number_unrounded() -> None:
    rows = perturbed_losses(made())
    table = list(csv.DictReader(io.StringIO(perturbed_loss_csv(rows))))
    assert tuple(table[0]) == COLUMNS and len(table) == len(rows)
    assert [float(line["loss"]) for line in table] == [one.loss for one in rows]
    assert table[0]["epoch"] == "" and table[1]["deviation_directions"] == ""


def test_runs_are_drawn_over_their_epochs_on_one_range() -> None:
    figure: Any = perturbed_loss_figure([*made("a", 20), *made("a", 10, seed=1), *made("b", 10, seed=2)])
    left, right = figure.axes
    assert (left.get_title(), right.get_title(), left.get_xlabel()) == ("a", "b", "epoch")
    assert (
        left.get_ylabel() == "adversarial loss at w + v (cross-entropy, nats)" and left.get_ylim() == right.get_ylim()
    )
    lines = {line.get_label(): line for line in left.get_lines()}
    assert list(lines) == [
        "w itself", "adversarial v, γ = 0.01", "adversarial v, γ = 0.1", "random v, γ = 0.01", "random v, γ = 0.1",
    ]  # fmt: skip
    assert list(lines["random v, γ = 0.1"].get_xdata()) == [10, 20]
    same = lines["adversarial v, γ = 0.1"], lines["random v, γ = 0.1"]
    assert same[0].get_color() == same[1].get_color() and same[0].get_linestyle() != same[1].get_linestyle()


def test_checkpoints_are_drawn_over_gamma_from_w_itself() -> None:
    figure: Any = perturbed_loss_figure([*made("a"), *made("b", seed=1), *made("a", data={"split": "test"})])
    train, test = figure.axes
    assert (train.get_title(), test.get_title()) == ("train examples", "test examples")
    assert [line.get_label() for line in train.get_lines()] == [
        "a, adversarial v", "a, random v", "b, adversarial v", "b, random v",
    ]  # fmt: skip
    assert all(list(line.get_xdata()) == [0, 0.01, 0.1] for line in train.get_lines())
    assert train.get_xlabel() == "γ, size of v relative to w in every layer" and train.get_xscale() == "linear"
    wide: Any = perturbed_loss_figure(made(gammas="0.2:0.6:3"))
    assert wide.axes[0].get_xscale() == "symlog"


def test_the_ticks_are_the_measured_gammas_that_have_room() -> None:
    axes: Any = perturbed_loss_figure(made(gammas="0.1:0.25:4")).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1", "0.15", "0.2", "0.25"]
    axes = perturbed_loss_figure(made(gammas="0.01:0.25:25")).axes[0]
    labels = ["0", *(f"{0.02 * number:g}" for number in range(1, 12)), "0.25"]
    assert [text.get_text() for text in axes.get_xticklabels()] == labels
    assert len(axes.get_xticks(minor=True)) == 25 - len(labels[1:])


@pytest.mark.parametrize("splits", [("train",), ("train", "test")], ids=["one panel", "two panels"])
def test_labels_of_gammas_cover_one_another_in_no_width(splits: tuple[str, ...]) -> None:
    gammas = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 0.6)
    surfaces = [worst(gamma, data={"split": split}) for split in splits for gamma in gammas]
    figure = perturbed_loss_figure([Perturbed(surface=surface, model="run", epoch=None) for surface in surfaces])
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
        assert len(boxes) >= (8 if len(splits) == 1 else 5)
        assert all(left.x1 + 4 < right.x0 for left, right in itertools.pairwise(boxes))


def test_the_caption_says_what_v_are_and_every_setting() -> None:
    text = caption(perturbed_loss_figure(made()))
    assert (
        "Adversarial v: 10 steps of ascent on the mean cross-entropy of these examples, attacked anew at every" in text
    )
    assert "Random v: Gaussian, ‖v‖ = γ ‖w‖ in every layer" in text
    assert "PGD-10, L∞, ε = 0.15, step 0.0375, 1 random start; made anew at every w + v." in text
    assert "200 of digits train" in text and "layer-normalized" in text
    assert "1 random start; made once, at w." in caption(perturbed_loss_figure(made(objective="fixed")))


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"^the loss of perturbed weights needs at least one surface, got none\.$"):
        perturbed_losses([])
    with pytest.raises(InputError, match=r"over epochs or over gamma, got checkpoints with an epoch and without\.$"):
        perturbed_loss_figure([*made(), *made("b", 3)])
    with pytest.raises(InputError):
        perturbed_losses([replace(made()[0], surface=make_plane())])

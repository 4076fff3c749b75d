from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landscape.analysis.flatness_export import flatness_csv
from landscape.analysis.flatness_gap import (
    associated,
    association_caption,
    association_json,
    association_text,
    gap_table,
    main_measure,
    points_of,
)
from landscape.analysis.flatness_measures import rises
from landscape.analysis.flatness_table import Flatness
from landscape.analysis.gap import Gap
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface


def row_of(run: str, epoch: int, *, sharpness: float, level: float, name: str | None = None) -> Flatness:
    """A checkpoint whose rises grow with `sharpness`, and its gap with `level`, the loss of its test examples."""
    surface = make_surface(sharpness=sharpness, num_directions=3, num_examples=50, seed=epoch)
    return Flatness(
        label=name or f"{run}, epoch {epoch}",
        path=Path(f"{run}/epoch-{epoch:03}.pt"),
        surface=surface,
        measures=tuple(rises(surface, (0.25, 0.5))),
        run=run,
        epoch=epoch,
        method="at",
        gap=Gap(train=surface, test=make_surface(level=level, num_directions=1, num_examples=80)),
    )


@pytest.fixture
def rows() -> list[Flatness]:
    return [
        row_of(f"run{number}", epoch, sharpness=5 + number + epoch / 10, level=1.0 + 0.1 * number + epoch / 50)
        for number in range(3)
        for epoch in (10, 20)
    ]


def test_a_gap_is_train_minus_test_accuracy_with_the_errors_of_both() -> None:
    gap = row_of("a", 10, sharpness=5, level=2.0).gap
    assert gap is not None
    train, test = (surface.centre.adversarial_correct for surface in (gap.train, gap.test))
    assert gap.value == pytest.approx(train.mean() - test.mean()) and gap.value > 0
    errors = [part.std(ddof=1) / math.sqrt(len(part)) for part in (train.astype(float), test.astype(float))]
    assert gap.standard_error == pytest.approx(math.hypot(*errors))
    assert gap.train_loss == pytest.approx(float(np.mean(gap.train.centre.adversarial_loss)))
    single = make_surface(num_examples=1, num_directions=1)
    assert math.isnan(Gap(train=single, test=single).standard_error)


def test_points_are_checkpoints_with_the_last_of_each_run(rows: list[Flatness]) -> None:
    points = points_of(rows, "rise(0.5)")
    assert [(point.run, point.epoch, point.is_final) for point in points[:3]] == [
        ("run0", 10, False), ("run0", 20, True), ("run1", 10, False),
    ]  # fmt: skip
    first = rows[0].measure("rise(0.5)")
    assert first is not None and rows[0].gap is not None
    assert (points[0].flatness, points[0].gap, points[0].method) == (first.value, rows[0].gap.value, "at")


def test_the_best_of_a_series_is_no_point_and_an_epoch_counts_once(rows: list[Flatness]) -> None:
    best = replace(rows[0], epoch=15, selected=True, label="best")
    again = replace(rows[1], label="last")
    assert points_of([*rows, best, again], "rise(0.5)") == points_of(rows, "rise(0.5)")
    text = association_text([*rows, best], associated([*rows, best]))
    assert "The best of each run (1 in all) is left out" in text
    assert "left out: chosen" not in association_text(rows, associated(rows))


def test_what_is_said_about_the_association(rows: list[Flatness]) -> None:
    found = associated(rows)
    assert list(found) == ["rise(0.5)", "rise(0.25)"] and main_measure(rows) == "rise(0.5)"
    text = association_text(rows, found)
    for wanted in ("association of rise(0.5)", "It contains train accuracy", "none says what makes a gap small",
                   "Spearman's coefficient of each measure with the gap"):  # fmt: skip
        assert wanted in text
    caption = association_caption(found["rise(0.5)"])
    assert caption.startswith("All checkpoints: Pearson +") and "95 %" not in caption  # three runs, no interval
    plain = json.loads(json.dumps(association_json(rows, found), allow_nan=False))
    assert len(plain["rise(0.25)"]["points"]) == 6 and plain["rise(0.5)"]["num_runs"] == 3


def test_numbers_that_are_not_finite_cost_neither_the_other_measures_nor_the_json(rows: list[Flatness]) -> None:
    def without(row: Flatness, *names: str) -> Flatness:
        lost = [replace(one, samples=one.samples[:0]) if one.name in names else one for one in row.measures]
        return replace(row, measures=tuple(lost))

    some = [without(row, "rise(0.25)") for row in rows[:4]] + [without(rows[4], "rise(0.5)"), rows[5]]
    found = associated(some)
    assert list(found) == ["rise(0.5)"] and found["rise(0.5)"].num_left_out == 1
    plain = json.loads(json.dumps(association_json(some, found), allow_nan=False))
    assert plain["rise(0.5)"]["points"][4]["flatness"] is None
    header, *lines = csv.reader(flatness_csv([replace(rows[0], gap=None), *rows[1:]]).splitlines())
    assert all(len(line) == len(header) for line in lines)


def test_intervals_are_named_where_there_are_some() -> None:
    rows = [row_of(f"run{n}", 10, sharpness=5 + n, level=1 + 0.1 * (n % 5)) for n in range(8)]
    found = associated(rows)["rise(0.5)"]
    assert "(95 % intervals over runs)" in association_caption(found) and "[" in association_caption(found)


def test_tables_hold_the_gap(rows: list[Flatness]) -> None:
    lines = gap_table(rows).splitlines()
    assert lines[1].split() == ["robust", "train", "robust", "test", "gap", "±", "SE"] and len(lines) == 8
    header, first = flatness_csv(rows).splitlines()[:2]
    assert "gap,gap SE,rise(0.25)" in header and len(first.split(",")) == len(header.split(",")) + 1  # quoted comma


def test_two_checkpoints_are_too_few(rows: list[Flatness]) -> None:
    with pytest.raises(InputError, match="at least 3 checkpoints"):
        associated(rows[:2])

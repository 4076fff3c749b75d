"""Accuracies of evaluated models."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from landscape.analysis.robustness import (
    NATURAL,
    WORST,
    accuracies,
    best_and_last,
    best_per_attack,
    gap,
    gaps_over_seeds,
    mean_of,
    over_seeds,
)
from landscape.errors import InputError
from tests.analysis.evaluated import evaluation, model


def test_the_worst_case_is_per_example_not_the_smallest_mean() -> None:
    entry = model({"a": evaluation([1, 1, 0, 0]), "b": evaluation([1, 0, 1, 0])})
    assert entry.columns == (NATURAL, "a", "b", WORST)
    assert [entry.accuracy(column).value for column in entry.columns] == [1.0, 0.5, 0.5, 0.25]
    rng = np.random.default_rng(0)
    many = rng.integers(0, 2, (4, 50))
    entry = model({str(number): evaluation(list(row)) for number, row in enumerate(many)})
    literal = sum(all(row[i] for row in many) for i in range(50)) / 50
    assert entry.accuracy(WORST).value == literal


def test_one_attack_has_no_worst_case_and_none_is_no_attack() -> None:
    assert model({"a": evaluation([1])}).columns == (NATURAL, "a")
    assert model({"none": evaluation([1], name="none")}).columns == (NATURAL,)


def test_standard_errors_against_the_formula() -> None:
    correct = [1, 0, 0, 1, 1, 1, 0]
    found = model({"a": evaluation(correct)}).accuracy("a")
    assert found.value == pytest.approx(4 / 7)
    assert found.standard_error == pytest.approx(statistics.stdev(correct) / math.sqrt(7))
    assert math.isnan(mean_of(np.array([1.0])).standard_error)


def test_draws_of_noise_are_shares() -> None:
    entry = model({"a": evaluation([4, 2, 0], draws=4), "b": evaluation([3, 3, 3], draws=4)})
    np.testing.assert_allclose(entry.correct("a"), [1, 0.5, 0])
    np.testing.assert_allclose(entry.correct(WORST), [0.75, 0.5, 0])


def test_the_gap_is_train_minus_test_and_its_errors_add_in_squares() -> None:
    train = model({"a": evaluation([1, 1, 1, 0])}, split="train")
    test = model({"a": evaluation([1, 0, 0, 0, 1])})
    found = gap(train, test, "a")
    assert found.value == pytest.approx(0.75 - 0.4)
    errors = train.accuracy("a").standard_error, test.accuracy("a").standard_error
    assert found.standard_error == pytest.approx(math.sqrt(errors[0] ** 2 + errors[1] ** 2))


def test_best_per_attack_may_be_another_epoch_for_each_column() -> None:
    epochs = [
        model({"a": evaluation([1, 0, 0]), "b": evaluation([1, 1, 0])}, label="1", run="r", epoch=1),
        model({"a": evaluation([1, 1, 1]), "b": evaluation([1, 0, 0])}, label="2", run="r", epoch=2),
    ]
    (row,) = best_per_attack([*epochs, model({"a": evaluation([1]), "b": evaluation([1])}, label="file")])
    assert row.title == "r" and row.notes == {NATURAL: "epoch 1", "a": "epoch 2", "b": "epoch 1", WORST: "epoch 1"}
    assert [round(row.cells[column].value, 3) for column in ("a", "b", WORST)] == [1.0, 0.667, 0.333]


def test_seeds_have_a_mean_and_a_deviation_over_runs() -> None:
    runs = [
        model({"a": evaluation(correct)}, label=str(seed), method="at", seed=seed, run=str(seed), selection="last")
        for seed, correct in enumerate([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    ]
    best = model({"a": evaluation([1, 1, 1, 1])}, method="at", run="0", selection="test-selected")
    rows = over_seeds([*runs, best])
    assert [row.title for row in rows] == ["at, last, 3 runs", "at, test-selected, 1 run"]
    cell = rows[0].cells["a"]
    assert (cell.value, cell.count) == (0.5, 3)
    assert cell.standard_error == pytest.approx(statistics.stdev([0.5, 0.25, 0.75]))
    assert math.isnan(rows[1].cells["a"].standard_error)


def test_gaps_have_a_mean_and_a_deviation_over_runs() -> None:
    entries = [
        model({"a": evaluation(correct)}, label=str(seed), split=split, method="at", seed=seed, run=str(seed))
        for seed, both in enumerate([([1, 1], [1, 0]), ([1, 1], [0, 0])])
        for split, correct in zip(("train", "test"), both, strict=True)
    ]
    (row,) = gaps_over_seeds(entries)
    assert row.title == "at, 2 runs" and row.cells["a"].value == 0.75
    assert row.cells["a"].standard_error == pytest.approx(statistics.stdev([0.5, 1.0]))


def test_best_and_last_of_a_run_are_found() -> None:
    about = {"method": "at", "run": "r"}
    best = model({"a": evaluation([1, 1])}, label="r/best", selection="validation-selected", **about)
    last = model({"a": evaluation([1, 0])}, label="r/last", selection="last", **about)
    assert best_and_last([best, last, model({"a": evaluation([1, 1])})]) == [("r", best, last)]
    assert accuracies(last)["a"].value == 0.5


def test_attacks_on_other_examples_are_not_compared() -> None:
    with pytest.raises(InputError, match="compared on the same examples"):
        model({"a": evaluation([1, 1]), "b": evaluation([1])})

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape.analysis.group_differences import (
    claim,
    estimate_unpaired_examples,
    group_differences,
    train_minus_test,
)
from landscape.analysis.groups import Group, group_examples
from landscape.protocols import Measurement
from tests.analysis.grouped import split_surfaces
from tests.analysis.synthetic import make_surface

Floats = npt.NDArray[np.float64]


def group_of(rises: Floats, *, split: str = "train", directions: dict[str, Any] | None = None) -> Group:
    """A group whose members rise by `rises` (D, n) at r = 0.5, from a loss of 0 at the centre."""
    num_directions, size = rises.shape
    base = make_surface(
        grid="-0.5:0.5:2",
        num_directions=num_directions,
        num_examples=1,
        data={"split": split, "digest": split},
        directions=directions or {},
    )
    losses = np.repeat(rises[:, None, :], 2, axis=1).astype(np.float32)
    rights, zeros = np.ones(losses.shape, np.uint8), np.zeros(size, np.float32)
    surface = replace(
        base,
        arrays={
            "adversarial_loss": losses,
            "clean_loss": losses,
            "adversarial_correct": rights,
            "clean_correct": rights,
        },
        example_ids=np.arange(size),
        labels=np.zeros(size, np.int64),
        centre=Measurement(
            adversarial_loss=zeros, clean_loss=zeros, adversarial_correct=rights[0, 0], clean_correct=rights[0, 0]
        ),
    )
    return Group(index=0, name="[0, 0.5)", surface=surface, num_of=size)


def crossed(
    generator: np.random.Generator, num_directions: int, num_train: int, num_test: int
) -> tuple[Floats, Floats]:
    """Rises of both splits, of equal expectation: related directions, other examples, skewed, with interactions."""
    shared = generator.standard_normal(num_directions)

    def split(size: int, own: float, spread: float) -> Floats:
        directions = 0.5 * shared + own * generator.standard_normal(num_directions)
        examples = spread * (generator.gamma(3.0, 1.0, size) - 3.0)
        rest = 0.4 * generator.standard_normal((num_directions, size))
        return np.asarray(2.0 + directions[:, None] + examples[None] + rest)

    return split(num_train, 0.1, 0.4), split(num_test, 0.15, 0.6)


@pytest.mark.parametrize(
    ("num_directions", "num_train", "num_test"),
    [
        pytest.param(5, 200, 100, id="5 directions"),
        pytest.param(10, 300, 30, id="10 directions"),
        pytest.param(10, 20, 20, id="the smallest groups"),
        pytest.param(40, 20, 25, id="more directions than examples"),
    ],
)
def test_intervals_cover_no_difference_as_often_as_they_promise(
    num_directions: int, num_train: int, num_test: int
) -> None:
    generator = np.random.default_rng(num_directions + num_train)
    covered = 0
    for _ in range(1000):
        train, test = crossed(generator, num_directions, num_train, num_test)
        value, half, *_ = estimate_unpaired_examples(train, test, paired_directions=True)
        covered += abs(value) <= half
    assert covered >= 940


def test_value_and_errors_are_those_of_the_formula() -> None:
    train, test = crossed(np.random.default_rng(0), 6, 40, 25)
    found = train_minus_test(group_of(train), group_of(test, split="test"))
    assert found is not None and found.low is not None and found.high is not None
    by_direction = [math.fsum(a) / 40 - math.fsum(b) / 25 for a, b in zip(train, test, strict=True)]
    directions = np.var(by_direction, ddof=1) / 6
    examples = np.var(train.mean(axis=0), ddof=1) / 40 + np.var(test.mean(axis=0), ddof=1) / 25
    assert found.value == pytest.approx(train.mean() - test.mean(), abs=1e-5)
    assert found.standard_error_directions == pytest.approx(math.sqrt(directions), rel=1e-4)
    assert found.standard_error_examples == pytest.approx(math.sqrt(examples), rel=1e-4)
    quantile = 2.570581835636314  # of t with 5 degrees of freedom at 97.5 %
    assert found.high - found.value == pytest.approx(quantile * math.sqrt(directions + examples), rel=1e-4)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    assert (found.num_train, found.num_test, found.num_directions) == (40, 25, 6)


def test_the_smallest_sample_gives_the_degrees_of_freedom() -> None:
    train, test = crossed(np.random.default_rng(0), 60, 40, 20)
    found = train_minus_test(group_of(train), group_of(test, split="test"))
    assert found is not None and found.high is not None
    error = math.hypot(found.standard_error_directions, found.standard_error_examples)
    assert (found.high - found.value) / error == pytest.approx(2.0930240544082634)  # t with 19


def _few(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    return train[:, :19], test


def _two_directions(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    return train[:2], test[:2]


@pytest.mark.parametrize("reduced", [_few, _two_directions])
def test_small_samples_have_a_value_and_no_interval(
    reduced: Callable[[Floats, Floats], tuple[Floats, Floats]],
) -> None:
    train, test = reduced(*crossed(np.random.default_rng(0), 6, 40, 25))
    found = train_minus_test(group_of(train), group_of(test, split="test"))
    assert found is not None and found.low is None and found.high is None and not found.shown
    assert found.value == pytest.approx(train.mean() - test.mean(), abs=1e-5)


def test_other_directions_are_not_paired() -> None:
    train, test = crossed(np.random.default_rng(0), 8, 40, 25)
    same = train_minus_test(group_of(train), group_of(test, split="test"))
    other = train_minus_test(group_of(train), group_of(test, split="test", directions={"seed": 1}))
    assert same is not None and other is not None
    assert same.paired_directions and not other.paired_directions
    assert other.standard_error_directions > 2 * same.standard_error_directions


def test_a_radius_beyond_the_grid_gives_nothing() -> None:
    train, test = crossed(np.random.default_rng(0), 4, 30, 30)
    assert train_minus_test(group_of(train), group_of(test, split="test"), 1.0) is None


def test_groups_of_both_splits_are_compared_and_the_claim_says_which_way() -> None:
    train, test = (group_examples(surface, title="at") for surface in split_surfaces(num_directions=6))
    found = group_differences([test, train])
    assert [one.name for one in found][:2] == ["[0, 0.5)", "[0.5, 1)"]
    assert all(one.radius == 0.5 for one in found)
    few = [one.name for one in found if min(one.num_train, one.num_test) < 20]
    assert few and [one.name for one in found if one.low is None] == few
    sentence = claim([train, test])
    assert sentence is not None
    assert sentence.startswith("at at r = 0.5, train minus test: ")
    assert "nothing is claimed of [" in sentence and "6 directions, the same for both splits" in sentence
    assert claim([train]) is None and group_differences([train]) == []


def test_a_claim_of_steeper_training_examples() -> None:
    generator = np.random.default_rng(0)
    train, test = crossed(generator, 8, 60, 60)
    surfaces = [
        group_examples(group_of(rises, split=split).surface, title="at")
        for rises, split in ((train + 3, "train"), (test, "test"))
    ]
    assert "training examples rise more than test examples in [0, 0.5): 2.86 (2.45 to 3.27)" in str(claim(surfaces))
    down = [
        group_examples(group_of(rises, split=split).surface, title="at")
        for rises, split in ((train - 3, "train"), (test, "test"))
    ]
    assert "training examples rise less than test examples in [0, 0.5): -" in str(claim(down))

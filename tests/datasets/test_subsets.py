from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.datasets.subsets import balanced_subset, validation_split
from landscape.errors import InputError


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_examples("digits")


def of_classes(*counts: int) -> Examples:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    count = len(labels)
    return Examples(
        inputs=torch.rand(count, 1, 2, 2),
        labels=labels,
        ids=torch.arange(count) + 100,
        dataset="arrays",
        split="train",
        num_classes=len(counts),
    )


def test_validation_is_the_head_of_numpys_permutation(digits: Examples) -> None:
    train, validation = validation_split(digits, 150)
    np.random.seed(0)  # noqa: NPY002 - the reference's own call
    order = np.random.permutation(1000)  # noqa: NPY002 - the reference's own call
    assert validation.ids.tolist() == sorted(order[:150].tolist())
    assert train.ids.tolist() == sorted(order[150:].tolist())
    np.testing.assert_array_equal(validation.inputs, digits.inputs[validation.ids])
    np.testing.assert_array_equal(train.labels, digits.labels[train.ids])


def test_validation_of_cifar10_has_the_published_ids() -> None:
    # The first of the 50,000 in numpy's permutation with seed 0, as everybody finds them.
    assert np.random.RandomState(0).permutation(50_000)[:3].tolist() == [11841, 19602, 45519]


def test_parts_keep_the_ids_of_their_split() -> None:
    examples = of_classes(6, 6)
    train, validation = validation_split(examples, 5)
    assert sorted(train.ids.tolist() + validation.ids.tolist()) == list(range(100, 112))


@pytest.mark.parametrize("count", [0, -1, 1000, 1001])
def test_a_part_is_never_empty(digits: Examples, count: int) -> None:
    with pytest.raises(
        InputError, match=rf"of 1,000 training examples 1 to 999 can be for validation, got {count:,}\."
    ):
        validation_split(digits, count)


@pytest.mark.parametrize("count", [10, 100, 105, 999, 3])
def test_subsets_are_balanced(count: int) -> None:
    chosen = balanced_subset(of_classes(*[100] * 10), count)
    assert len(chosen) == count
    shares = torch.bincount(chosen.labels, minlength=10).tolist()
    assert shares == sorted([count // 10] * (10 - count % 10) + [count // 10 + 1] * (count % 10), reverse=True)
    assert chosen.ids.tolist() == sorted(chosen.ids.tolist())


def test_subsets_are_nested_and_depend_on_the_seed(digits: Examples) -> None:
    small, large = balanced_subset(digits, 123), balanced_subset(digits, 456)
    assert set(small.ids.tolist()) < set(large.ids.tolist())
    assert small.ids.tolist() == balanced_subset(digits, 123).ids.tolist()
    assert small.ids.tolist() != balanced_subset(digits, 123, seed=1).ids.tolist()
    np.testing.assert_array_equal(small.inputs, digits.inputs[small.ids])


def test_a_class_that_is_too_small_is_named() -> None:
    with pytest.raises(InputError, match=r"a subset of 30 examples needs 10 of class 1, there are 4; ask for fewer\."):
        balanced_subset(of_classes(20, 4, 20), 30)


@pytest.mark.parametrize("count", [0, -1, 45])
def test_sizes_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=rf"a subset of 44 examples has 1 to 44, got {count}\."):
        balanced_subset(of_classes(20, 4, 20), count)

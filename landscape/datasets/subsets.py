"""Parts of a training set: a validation split, and a subset with as many examples of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError
from landscape.randomness import Stream, permutation

if TYPE_CHECKING:
    from landscape.datasets.examples import Examples


def validation_split(examples: Examples, num_validation: int) -> tuple[Examples, Examples]:
    """Training and validation examples, by the rule of Rice et al. 2020 (robust overfitting).

    The first `num_validation` of numpy's permutation of n with seed 0 are for validation: with 1,000 of CIFAR-10 the
    split of that paper's code. Both parts are in the order of their ids.

    Args:
        examples: the n training examples of a data set.
        num_validation: size of the second part, from 1 to n - 1.

    Raises:
        InputError: a part would be empty.
    """
    count = len(examples)
    if not 1 <= num_validation < count:
        raise InputError(
            f"of {count:,} training examples 1 to {count - 1:,} can be for validation, got {num_validation:,}."
        )
    # RandomState is frozen for good, so this split is the same with every numpy.
    order = np.random.RandomState(0).permutation(count)
    return examples.take(np.sort(order[num_validation:])), examples.take(np.sort(order[:num_validation]))


def balanced_subset(examples: Examples, num_examples: int, *, seed: int = 0) -> Examples:
    """A subset with equally many examples of each class, in the order of their ids.

    Each class gives its first examples in one permutation of all, which only `seed` and n determine: a smaller subset
    is part of a larger one. If the classes do not divide `num_examples`, the first classes give one example more.

    Args:
        examples: n examples.
        num_examples: size of the subset, from 1 to n.
        seed: seed of the choice.

    Raises:
        InputError: there are not as many examples, in all or of a class.
    """
    if not 1 <= num_examples <= len(examples):
        raise InputError(f"a subset of {len(examples):,} examples has 1 to {len(examples):,}, got {num_examples:,}.")
    labels = examples.labels.cpu().numpy()
    order = permutation(len(examples), seed=seed, stream=Stream.SUBSET)
    share, rest = divmod(num_examples, examples.num_classes)
    chosen: list[npt.NDArray[np.int64]] = []
    for label in range(examples.num_classes):
        wanted = share + (label < rest)
        of_class = order[labels[order] == label]
        if len(of_class) < wanted:
            raise InputError(
                f"a subset of {num_examples:,} examples needs {wanted:,} of class {label}, there are "
                f"{len(of_class):,}; ask for fewer."
            )
        chosen.append(of_class[:wanted])
    return examples.take(np.sort(np.concatenate(chosen)))

"""Data sets by name: facts, splits and subsets. Reads files; fetching them is `download.py`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from landscape import files
from landscape.datasets.source import DatasetInfo, Reader
from landscape.errors import InputError
from landscape.names import SPLITS
from landscape.randomness import Stream, permutation

if TYPE_CHECKING:
    from landscape.datasets.examples import Examples

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "data_place",
    "dataset_info",
    "has_separate_splits",
    "load_examples",
    "own_splits",
    "reader",
    "split_size",
]

DATASETS = {
    "digits": "landscape.datasets.digits",
    "cifar10": "landscape.datasets.cifar10",
    "cifar100": "landscape.datasets.cifar100",
    "svhn": "landscape.datasets.svhn",
    "mnist": "landscape.datasets.mnist",
    "arrays": "landscape.datasets.arrays",
}
"""Name of a data set to the module that reads it; each module is a `source.Reader`."""


def load_examples(
    name: str,
    *,
    split: str = "train",
    num_examples: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
) -> Examples:
    """Examples of a data set, in the order of their ids.

    A subset is the first `num_examples` of a permutation that only `seed` and the size of the split determine: the
    subset of 100 is part of the subset of 500.

    Args:
        name: one of `DATASETS`, or the path of your own data (ends in .npz or contains a path separator).
        split: "train" or "test".
        num_examples: size of the subset, None for all.
        seed: seed of the choice of the subset.
        data_dir: folder of the data; None for `$LANDSCAPE_DATA` or its default. For "arrays" the path of your data.

    Raises:
        InputError: an unknown name or split, or `num_examples` is not in [1, size of the split].
        DataError: the data are missing, damaged or not in their layout.
    """
    from torch import from_numpy

    from landscape.datasets.examples import Examples

    if split not in SPLITS:
        raise InputError(f"the split is one of {', '.join(SPLITS)}, got {split!r}.")
    name, place = data_place(name, data_dir)
    source = reader(name).open_split(place, split)
    count = len(source)
    if num_examples is not None and not 1 <= num_examples <= count:
        raise InputError(
            f"the {split} split of {name} has {count:,} examples, got a request for {num_examples:,}; "
            f"ask for 1 to {count} or for all."
        )
    ids = np.sort(permutation(count, seed=seed, stream=Stream.SUBSET)[:num_examples])
    return Examples(
        inputs=from_numpy(source.pixels(ids)),
        labels=from_numpy(source.labels[ids]),
        ids=from_numpy(ids),
        dataset=name,
        split=split,
        num_classes=source.num_classes,
    )


def split_size(name: str, *, split: str, data_dir: str | Path | None = None) -> int:
    """How many examples a split has; arguments and errors as in `load_examples`."""
    if split not in SPLITS:
        raise InputError(f"the split is one of {', '.join(SPLITS)}, got {split!r}.")
    name, place = data_place(name, data_dir)
    return len(reader(name).open_split(place, split))


def dataset_info(name: str, *, data_dir: str | Path | None = None) -> DatasetInfo:
    """Facts about a data set; only "arrays" looks at files. `name` and `data_dir` as in `load_examples`.

    Raises:
        InputError: an unknown name, or "arrays" without a path.
        DataError: the files of "arrays" are missing or damaged.
    """
    name, place = data_place(name, data_dir)
    return reader(name).info(place)


def has_separate_splits(name: str, *, data_dir: str | Path | None = None) -> bool:
    """Whether training and test split are different examples; training asks for that. Arguments as `dataset_info`.

    Raises:
        InputError: an unknown name, or "arrays" without a path.
        DataError: "arrays" finds nothing at its path.
    """
    return own_splits(name, data_dir=data_dir) == SPLITS


def own_splits(name: str, *, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits that are different examples; `train` alone for one set. Arguments and errors as above."""
    name, place = data_place(name, data_dir)
    if name != "arrays":
        return SPLITS
    from landscape.datasets import arrays

    return arrays.own_splits(place)


def data_place(name: str, data_dir: str | Path | None = None) -> tuple[str, Path]:
    """The registered name and the place of its data, for `name` and `data_dir` as in `load_examples`.

    Raises:
        InputError: an unknown name, "arrays" without a path, or a path given twice.
    """
    if _is_path(name):
        if data_dir is not None and Path(data_dir) != Path(name):
            raise InputError(f"your own data have one path, got {name} and {data_dir}; drop the data folder.")
        return "arrays", Path(name).expanduser()
    if name not in DATASETS:
        raise InputError(f"the data set is one of {', '.join(DATASETS)} or the path of your own, got {name!r}.")
    if data_dir is not None:
        return name, Path(data_dir).expanduser()
    if name == "arrays":
        raise InputError("the data set 'arrays' is your own: give its path, with --data-dir PATH or as its name.")
    return name, files.data_folder()


def reader(name: str) -> Reader:
    """The module that reads the registered data set `name`."""
    return cast(Reader, importlib.import_module(DATASETS[name]))


def _is_path(name: str) -> bool:
    separators = [separator for separator in ("/", os.sep, os.altsep) if separator]
    looks_so = name.endswith(".npz") or any(separator in name for separator in separators)
    return looks_so or (name not in DATASETS and Path(name).is_dir())

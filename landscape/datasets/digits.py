"""The 8x8 handwritten digits that ship inside scikit-learn: 1,797 real images, a fixed split of 1,000 and 797.

They are read from the package's file: importing scikit-learn would take longer than everything else a command does.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.datasets.source import DatasetInfo, Source, in_memory, require_labels
from landscape.errors import DataError

NUM_IMAGES = 1797
NUM_TRAIN = 1000
MAX_PIXEL = 16

INFO = DatasetInfo(
    name="digits",
    title="digits 8x8",
    num_classes=10,
    image_shape=(1, 8, 8),
    norm="linf",
    epsilon=0.15,
    step_size=0.15 / 4,
)


def info(folder: Path) -> DatasetInfo:
    """Facts about the digits."""
    return INFO


def open_split(folder: Path, split: str) -> Source:
    """The digits of `split`; `folder` plays no part.

    Raises:
        DataError: scikit-learn is missing or its file is not the known one.
    """
    path = packaged_file()
    rows = read_rows(path) if path is not None else _rows_from_load_digits()
    if rows.shape != (NUM_IMAGES, 65) or rows[:, :-1].min() < 0 or rows[:, :-1].max() > MAX_PIXEL:
        raise DataError(
            f"scikit-learn's digits must be {NUM_IMAGES} rows of 64 pixels from 0 to {MAX_PIXEL} and a label, "
            f"got an array of shape {rows.shape}; reinstall scikit-learn."
        )
    require_labels(rows[:, -1], INFO.num_classes, "scikit-learn's digits")
    # RandomState is frozen for good, so this split is the same with every numpy.
    order = np.random.RandomState(0).permutation(NUM_IMAGES)
    rows = rows[order[:NUM_TRAIN] if split == "train" else order[NUM_TRAIN:]]
    pixels = rows[:, :-1].reshape(-1, *INFO.image_shape)
    return in_memory(pixels, rows[:, -1], scale=MAX_PIXEL, num_classes=INFO.num_classes)


def located(folder: Path) -> Path | None:
    """The installed scikit-learn, None if it is missing."""
    return _package()


def expected(folder: Path) -> str:
    """Where the digits come from."""
    return "the package scikit-learn (`pip install scikit-learn`)"


def packaged_file() -> Path | None:
    """The file of the digits in the installed scikit-learn, found without importing it; None if it has moved.

    Raises:
        DataError: scikit-learn is not installed.
    """
    package = _package()
    if package is None:
        raise DataError("the digits ship with scikit-learn, which is not installed; run `pip install scikit-learn`.")
    path = package / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None


def read_rows(path: Path) -> npt.NDArray[Any]:
    """Rows (n, 65) int16 of a gzipped CSV file: 64 pixels and the label.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            return np.loadtxt(stream, delimiter=",", dtype=np.int16, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"the digits in {path} cannot be read; reinstall scikit-learn.") from error


def _package() -> Path | None:
    try:
        found = importlib.util.find_spec("sklearn")
    except ValueError:
        return None
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def _rows_from_load_digits() -> npt.NDArray[Any]:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.int16)

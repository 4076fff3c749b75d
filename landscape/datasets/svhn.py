"""SVHN, cropped digits, in its official layout: MATLAB files of the images X (32, 32, 3, n) and the labels y (n, 1).

The label of the digit 0 is 10 in the files and 0 here. The 531,131 `extra` images are left aside, as in the papers.
Source: Y. Netzer et al., "Reading digits in natural images with unsupervised feature learning", 2011,
http://ufldl.stanford.edu/housenumbers.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.datasets.source import DatasetInfo, Source, in_memory, missing
from landscape.errors import DataError

FOLDER = "svhn"
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}

INFO = DatasetInfo(
    name="svhn",
    title="SVHN",
    num_classes=10,
    image_shape=(3, 32, 32),
    # Mean and deviation, threat model and step of the AWP code; it does not augment these images.
    normalization=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    norm="linf",
    epsilon=8 / 255,
    step_size=1 / 255,
    natural_images=False,
)


def info(folder: Path) -> DatasetInfo:
    """Facts about SVHN."""
    return INFO


def open_split(folder: Path, split: str) -> Source:
    """SVHN's `split`, kept as bytes: as many images as the file holds, 73,257 or 26,032 in the whole data set.

    Raises:
        DataError: the file is missing, damaged, of another layout, or holds a label outside 1 to 10.
    """
    place = _find(folder, (FILES[split],))
    if place is None:
        raise missing(INFO, folder, expected(folder))
    path = place / FILES[split]
    images, labels = _arrays(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.shape[3] == 0:
        raise DataError(
            f"{path} must hold the images X as uint8 of shape (32, 32, 3, n), got {images.dtype} of shape "
            f"{images.shape}; it is another data set."
        )
    if labels.dtype.kind not in "iu" or labels.shape != (images.shape[3], 1):
        raise DataError(
            f"{path} must hold the labels y as whole numbers of shape ({images.shape[3]}, 1), got {labels.dtype} of "
            f"shape {labels.shape}; it is another data set."
        )
    return in_memory(images.transpose(3, 2, 0, 1), _digits(labels, path), scale=255, num_classes=INFO.num_classes)


def located(folder: Path) -> Path | None:
    """The folder of both files, None if one is missing."""
    return _find(folder, tuple(FILES.values()))


def expected(folder: Path) -> str:
    """The files that are looked for."""
    return f"{' and '.join(FILES.values())} there or in {FOLDER}/"


def _arrays(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    import scipy.io
    from scipy.io.matlab import MatReadError

    damage = (MatReadError, NotImplementedError, ValueError, TypeError, KeyError, EOFError, IndexError, zlib.error)
    try:
        content = scipy.io.loadmat(str(path), variable_names=["X", "y"])
        return np.asarray(content["X"]), np.asarray(content["y"])
    except (OSError, *damage) as error:
        # An OSError without a number is the reader's own word for a file that breaks off.
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions.") from error
        raise DataError(
            f"{path} must be a MATLAB file with the arrays X and y, and it is not, or it is damaged; "
            "run `landscape data fetch svhn` for a whole copy."
        ) from error


def _digits(labels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.int64]:
    written = labels[:, 0].astype(np.int64)
    bad = np.flatnonzero((written < 1) | (written > 10))
    if len(bad):
        raise DataError(
            f"labels in {path} must be 1 to 10, 10 for the digit 0, got {written[bad[0]]} at example {bad[0]}; "
            "the file is damaged or of another data set."
        )
    return written % 10


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    # The place of a fetched copy comes first, so that fetching mends a damaged one.
    for place in (folder / FOLDER, folder):
        if all((place / name).is_file() for name in names):
            return place
    return None

"""MNIST in its official idx layout, compressed or not.

An idx file is a big-endian header, magic number and one size for each dimension, and then the bytes. Source of the
layout: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.datasets.source import DatasetInfo, Source, in_memory, missing, require_labels
from landscape.errors import DataError

# The place and form of a fetched copy come first, so that fetching mends a damaged one.
FOLDERS = ("mnist", "MNIST/raw", "")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# 8 = unsigned byte; the last digit is the number of dimensions.
IMAGES_MAGIC, LABELS_MAGIC = 0x0803, 0x0801

INFO = DatasetInfo(
    name="mnist",
    title="MNIST",
    num_classes=10,
    image_shape=(1, 28, 28),
    norm="linf",
    epsilon=0.3,
    step_size=0.3 / 4,
)


def info(folder: Path) -> DatasetInfo:
    """Facts about MNIST."""
    return INFO


def open_split(folder: Path, split: str) -> Source:
    """MNIST's `split`: as many images as the headers say, 60,000 or 10,000 in the whole data set.

    Raises:
        DataError: a file is missing, truncated or not idx, or images and labels do not belong together.
    """
    paths = _find(folder, FILES[split])
    if paths is None:
        raise missing(INFO, folder, expected(folder))
    images = read_idx(paths[0], magic=IMAGES_MAGIC)
    labels = read_idx(paths[1], magic=LABELS_MAGIC)
    if images.shape[1:] != INFO.image_shape[1:] or len(images) == 0:
        raise DataError(
            f"{paths[0]} must hold images of 28x28, got {len(images):,} of {'x'.join(map(str, images.shape[1:]))}; "
            "it is another data set."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{paths[0]} holds {len(images):,} images but {paths[1].name} {len(labels):,} labels; "
            "both files must come from the same copy."
        )
    require_labels(labels, INFO.num_classes, str(paths[1]))
    return in_memory(images[:, None], labels, scale=255, num_classes=INFO.num_classes)


def located(folder: Path) -> Path | None:
    """The folder of the four files, None if one is missing."""
    found = _find(folder, FILES["train"] + FILES["test"])
    return None if found is None else found[0].parent


def expected(folder: Path) -> str:
    """The files that are looked for."""
    names = ", ".join(name for pair in FILES.values() for name in pair)
    return f"{names} (each with .gz or without) there, in mnist/ or in MNIST/raw/"


def read_idx(path: Path, *, magic: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in an idx file, in the shape its header gives.

    Raises:
        DataError: the file cannot be read, has another magic number, or another length than its header says.
    """
    content = _content(path)
    num_dimensions = magic & 0xFF
    header_bytes = 4 * (1 + num_dimensions)
    if len(content) < header_bytes:
        raise DataError(f"{path} must start with an idx header of {header_bytes} bytes, got {len(content)} bytes.")
    number, *shape = struct.unpack_from(f">{1 + num_dimensions}I", content)
    if number != magic:
        raise DataError(f"{path} must start with the magic number {magic}, got {number}; it is not the idx file.")
    values = np.frombuffer(content, np.uint8, offset=header_bytes)
    count = math.prod(shape)
    if len(values) != count:
        sizes = "x".join(str(size) for size in shape)
        raise DataError(
            f"{path} must hold {count:,} bytes after its header ({sizes}), got {len(values):,}; "
            "the file is truncated or damaged, fetch it again."
        )
    return values.reshape(shape)


def _content(path: Path) -> bytes:
    try:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as stream:
            content: bytes = stream.read()
            return content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged as a gzip file; fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions.") from error


def _find(folder: Path, names: tuple[str, ...]) -> list[Path] | None:
    for place in FOLDERS:
        found = [_with_or_without_gz(folder / place / name) for name in names]
        paths = [path for path in found if path is not None]
        if len(paths) == len(names):
            return paths
    return None


def _with_or_without_gz(path: Path) -> Path | None:
    for candidate in (path.with_name(path.name + ".gz"), path):
        if candidate.is_file():
            return candidate
    return None

"""CIFAR's binary files: records of a fixed size, one after the other: label bytes, then 3,072 pixel bytes.

Source of the layout: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landscape.errors import DataError

IMAGE_SHAPE = (3, 32, 32)


def read_records(path: Path, records: npt.NDArray[np.uint8], *, dataset: str) -> None:
    """Fill `records` with those of a file.

    Args:
        path: the file.
        records: (n, label bytes + 3072), contiguous; n records are expected.
        dataset: the name to fetch it by, for messages.

    Raises:
        DataError: the file has another size or cannot be read.
    """
    size = path.stat().st_size
    if size != records.size:
        raise DataError(
            f"{path} must have {records.size:,} bytes ({len(records):,} records of {records.shape[1]:,}), "
            f"got {size:,}; run `landscape data fetch {dataset}` for a whole copy."
        )
    try:
        with open(path, "rb") as stream:
            count = stream.readinto(records.reshape(-1).data)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions.") from error
    if count != records.size:
        raise DataError(f"{path} ended after {count:,} of {records.size:,} bytes; it changed while it was read.")


def record_bytes(label_bytes: int) -> int:
    """Size of a record in bytes."""
    return label_bytes + math.prod(IMAGE_SHAPE)

"""CIFAR-100 in its official binary layout: records of a coarse label, a fine label and 3,072 pixel bytes.

The fine labels, 100 classes, are the labels; the coarse ones are left aside.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landscape.datasets.records import IMAGE_SHAPE, read_records, record_bytes
from landscape.datasets.source import DatasetInfo, Source, in_memory, missing, require_labels

FOLDER = "cifar-100-binary"
FILES = {"train": "train.bin", "test": "test.bin"}
RECORDS = {"train": 50_000, "test": 10_000}
LABEL_BYTES = 2

INFO = DatasetInfo(
    name="cifar100",
    title="CIFAR-100",
    num_classes=100,
    image_shape=IMAGE_SHAPE,
    # Mean and deviation of the AWP and robust-overfitting code (AT scripts).
    normalization=(
        (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
        (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
    ),
    norm="linf",
    epsilon=8 / 255,
    step_size=2 / 255,
    natural_images=True,
)


def info(folder: Path) -> DatasetInfo:
    """Facts about CIFAR-100."""
    return INFO


def open_split(folder: Path, split: str) -> Source:
    """CIFAR-100's `split`, kept as bytes.

    Raises:
        DataError: the file is missing, has another size, cannot be read, or holds a label above 99.
    """
    place = _find(folder, (FILES[split],))
    if place is None:
        pickled = (folder / "cifar-100-python").is_dir()
        hint = " (the Python version that lies there is never unpickled)" if pickled else ""
        raise missing(INFO, folder, expected(folder), found=hint)
    path = place / FILES[split]
    records = np.empty((RECORDS[split], record_bytes(LABEL_BYTES)), np.uint8)
    read_records(path, records, dataset=INFO.name)
    labels = records[:, LABEL_BYTES - 1]
    require_labels(labels, INFO.num_classes, str(path))
    pixels = records[:, LABEL_BYTES:].reshape(-1, *INFO.image_shape)
    return in_memory(pixels, labels, scale=255, num_classes=INFO.num_classes)


def located(folder: Path) -> Path | None:
    """The folder of both files in their full size, None if there is none."""
    place = _find(folder, tuple(FILES.values()))
    if place is None:
        return None
    sizes = {split: RECORDS[split] * record_bytes(LABEL_BYTES) for split in FILES}
    whole = all((place / FILES[split]).stat().st_size == size for split, size in sizes.items())
    return place if whole else None


def expected(folder: Path) -> str:
    """The files that are looked for."""
    return f"train.bin and test.bin there or in {FOLDER}/"


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    # The place of a fetched copy comes first, so that fetching mends a damaged one.
    for place in (folder / FOLDER, folder):
        if all((place / name).is_file() for name in names):
            return place
    return None

"""CIFAR-10 in its official binary layout: files of 10,000 records of a label byte and 3,072 pixel bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landscape.datasets.records import IMAGE_SHAPE, read_records, record_bytes
from landscape.datasets.source import DatasetInfo, Source, in_memory, missing, require_labels

FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORDS_PER_FILE = 10_000
LABEL_BYTES = 1

INFO = DatasetInfo(
    name="cifar10",
    title="CIFAR-10",
    num_classes=10,
    image_shape=IMAGE_SHAPE,
    # Mean and deviation of the AWP and robust-overfitting code (AT scripts).
    normalization=((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    norm="linf",
    epsilon=8 / 255,
    step_size=2 / 255,
    natural_images=True,
)


def info(folder: Path) -> DatasetInfo:
    """Facts about CIFAR-10."""
    return INFO


def open_split(folder: Path, split: str) -> Source:
    """CIFAR-10's `split`, kept as bytes.

    Raises:
        DataError: a file is missing, has another size, cannot be read, or holds a label above 9.
    """
    found = _find(folder, FILES[split])
    if found is None:
        pickled = (folder / "cifar-10-batches-py").is_dir()
        hint = " (the Python version that lies there is never unpickled)" if pickled else ""
        raise missing(INFO, folder, expected(folder), found=hint)
    paths = [found / name for name in FILES[split]]
    blocks = np.empty((len(paths), RECORDS_PER_FILE, record_bytes(LABEL_BYTES)), np.uint8)
    for block, path in zip(blocks, paths, strict=True):
        read_records(path, block, dataset=INFO.name)
        require_labels(block[:, 0], INFO.num_classes, str(path))
    records = blocks.reshape(-1, blocks.shape[2])
    pixels = records[:, LABEL_BYTES:].reshape(-1, *INFO.image_shape)
    return in_memory(pixels, records[:, 0], scale=255, num_classes=INFO.num_classes)


def located(folder: Path) -> Path | None:
    """The folder of all six files in their full size, None if there is none."""
    names = FILES["train"] + FILES["test"]
    found = _find(folder, names)
    if found is None or any((found / name).stat().st_size != file_bytes() for name in names):
        return None
    return found


def expected(folder: Path) -> str:
    """The files that are looked for."""
    return f"data_batch_1.bin to data_batch_5.bin and test_batch.bin there or in {FOLDER}/"


def file_bytes() -> int:
    """Size of each file in bytes: 30,730,000."""
    return RECORDS_PER_FILE * record_bytes(LABEL_BYTES)


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    # The place of a fetched copy comes first, so that fetching mends a damaged one.
    for place in (folder / FOLDER, folder):
        if all((place / name).is_file() for name in names):
            return place
    return None

"""A user's `.npz` file: `inputs`, `labels` and, if not every class occurs, `num_classes`. Nothing is ever unpickled.

    inputs       (n, C, H, W) or (n, H, W); floats in [0, 1], or uint8, which is divided by 255
    labels       (n,) of an integer type, 0 to num_classes - 1
    num_classes  a whole number; without it the largest label plus one

Other arrays in the file are not looked at.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.datasets.source import Part, Source, in_memory, require_labels
from landscape.errors import DataError

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError)


def describe(path: Path) -> Part:
    """Image shape and number of classes, without reading the inputs.

    Raises:
        DataError: the file is damaged, or an array is missing or of another shape or dtype.
    """
    shape, dtype = _header(path, "inputs")
    image_shape = _image_shape(path, shape, dtype)
    labels = _labels(path)
    if len(labels) != shape[0]:
        raise DataError(f"{path} must hold one label for each input, got {shape[0]} inputs and {len(labels)} labels.")
    declared = _declared_classes(path)
    num_classes = int(labels.max()) + 1 if declared is None else declared
    return Part(path=path, image_shape=image_shape, num_classes=num_classes, declared=declared is not None)


def open_npz(path: Path, num_classes: int) -> Source:
    """The examples of the file; all values are checked here, those asked for are converted later.

    Raises:
        DataError: as `describe`; and if an input is not a number in [0, 1] or a label is not below `num_classes`.
    """
    part = describe(path)
    labels = _labels(path)
    require_labels(labels, num_classes, str(path))
    inputs = _array(path, "inputs")
    if inputs.dtype.kind == "f":
        low, high = float(inputs.min()), float(inputs.max())
        # A NaN makes both comparisons false.
        if not (low >= 0.0 and high <= 1.0):
            raise DataError(
                f"inputs in {path} must be numbers in [0, 1], got values from {low:g} to {high:g}; "
                "scale them, undo any normalization, or store uint8."
            )
    pixels = inputs.reshape(-1, *part.image_shape)
    return in_memory(pixels, labels, scale=255 if inputs.dtype == np.uint8 else 1, num_classes=num_classes)


def _image_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int, int]:
    if dtype != np.uint8 and dtype.kind != "f":
        raise DataError(f"inputs in {path} must be floats in [0, 1] or uint8, got {dtype}; convert them.")
    if len(shape) not in (3, 4) or 0 in shape:
        raise DataError(
            f"inputs in {path} must have the shape (n, C, H, W) or (n, H, W), none of them zero, got {shape}."
        )
    if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] == shape[2] > 4:
        raise DataError(
            f"inputs in {path} must have the channels first, (n, C, H, W), got {shape}; "
            "store inputs.transpose(0, 3, 1, 2)."
        )
    height, width = shape[-2:]
    return (shape[1] if len(shape) == 4 else 1), height, width


def _labels(path: Path) -> npt.NDArray[np.int64]:
    labels = _array(path, "labels")
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels in {path} must be whole numbers of an integer type, got {labels.dtype}.")
    if labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"labels in {path} must have the shape (n,) with n of at least 1, got {labels.shape}.")
    if int(labels.min()) < 0 or int(labels.max()) >= 2**31:
        raise DataError(
            f"labels in {path} must be 0, 1, 2 and so on, got {labels.min()} to {labels.max()}; number the classes so."
        )
    return labels.astype(np.int64)


def _declared_classes(path: Path) -> int | None:
    with _opened(path, "num_classes") as archive:
        if "num_classes" not in archive.files:
            return None
    value = _array(path, "num_classes")
    if value.dtype.kind not in "iu" or value.size != 1:
        raise DataError(f"num_classes in {path} must be one whole number, got {value.dtype} of shape {value.shape}.")
    return int(value.reshape(()))


def _array(path: Path, name: str) -> npt.NDArray[Any]:
    _header(path, name)
    with _opened(path, name) as archive:
        array: npt.NDArray[Any] = archive[name]
        return array


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array, from the first bytes of its member; an array of objects is refused here."""
    with _opened(path, name) as archive:
        if name not in archive.files:
            present = ", ".join(archive.files) or "nothing"
            raise DataError(f"{path} must hold the arrays inputs and labels, got {present}; add {name}.")
        with archive.zip.open(f"{name}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise DataError(
            f"{name} in {path} is an array of Python objects, which is never unpickled; "
            "store numbers, all images of one size."
        )
    return shape, dtype


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _DAMAGE as error:
        raise DataError(
            f"{name} cannot be read from {path}: the file is damaged or no .npz; write it again with numpy.savez."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions.") from error

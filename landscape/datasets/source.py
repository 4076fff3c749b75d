"""What a reader of a data set gives: facts about it, and its splits as sources that convert only what is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from landscape import files
from landscape.errors import DataError

_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts about a data set and its usual settings.

    Attributes:
        name: as a user writes it.
        title: as a caption writes it.
        num_classes: number of classes.
        image_shape: (C, H, W).
        normalization: per-channel mean and standard deviation that models of it usually apply; None for none.
        norm: norm of its usual threat model, None if it has none.
        epsilon: size of that threat model, in units of [0, 1] pixels.
        step_size: its usual attack step, in the same units.
        natural_images: whether random crops and horizontal flips keep the class.
    """

    name: str
    title: str
    num_classes: int
    image_shape: tuple[int, int, int]
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    norm: str | None = None
    epsilon: float | None = None
    step_size: float | None = None
    natural_images: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """One split: all labels, and its pixels on demand.

    Attributes:
        labels: (n,) int64 in [0, num_classes).
        num_classes: number of classes of the data set.
        pixels: from ids (k,) int64 in [0, n) to images (k, C, H, W) float32 in [0, 1].
    """

    labels: npt.NDArray[np.int64]
    num_classes: int
    pixels: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a user's file or folder says about itself before its pixels are read.

    Attributes:
        path: where it lies.
        image_shape: (C, H, W).
        num_classes: as declared, else the largest label plus one.
        declared: whether the number of classes was written down.
        class_names: names of the classes by label, None where they have no names.
    """

    path: Path
    image_shape: tuple[int, int, int]
    num_classes: int
    declared: bool
    class_names: tuple[str, ...] | None = None


class Reader(Protocol):
    """A module that knows one layout. `folder` is where the user's data lie."""

    def info(self, folder: Path) -> DatasetInfo:
        """Facts about the data set; constant for a published one."""
        ...

    def open_split(self, folder: Path, split: str) -> Source:
        """The split `train` or `test`, checked.

        Raises:
            DataError: the files are missing, damaged or of another layout.
        """
        ...

    def located(self, folder: Path) -> Path | None:
        """Where all files of the data set are, None if one is missing; their content is not looked at."""
        ...

    def expected(self, folder: Path) -> str:
        """The places that are looked at, for people."""
        ...


def in_memory(pixels: npt.NDArray[Any], labels: npt.NDArray[Any], *, scale: float, num_classes: int) -> Source:
    """A source over `pixels` (n, C, H, W) of values in [0, scale], kept in their own dtype until they are asked for."""

    def converted(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        images = np.empty((len(ids), *pixels.shape[1:]), np.float32)
        # In chunks: the whole of CIFAR-10 in float32 is 614 MB, and one copy of it is enough.
        for start in range(0, len(ids), _CHUNK):
            part = pixels[ids[start : start + _CHUNK]]
            images[start : start + _CHUNK] = part.astype(np.float32) / np.float32(scale)
        return images

    return Source(labels=labels.astype(np.int64), num_classes=num_classes, pixels=converted)


def require_labels(labels: npt.NDArray[Any], num_classes: int, where: str) -> None:
    """Refuse labels outside [0, num_classes).

    Raises:
        DataError: naming the first such label and its position.
    """
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(bad):
        raise DataError(
            f"labels in {where} must be 0 to {num_classes - 1}, got {labels[bad[0]]} at example {bad[0]}; "
            "the file is damaged or of another data set."
        )


def missing(info: DatasetInfo, folder: Path, expected: str, *, found: str = "") -> DataError:
    """The error for a data set that is not there: the folder, the expected files, and the command that fetches it."""
    place = "" if folder == files.data_folder() else f" --data-dir {shlex.quote(str(folder))}"
    return DataError(
        f"{info.title} was not found in {folder}: expected {expected}{found}; "
        f"run `landscape data fetch {info.name}{place}` or name the folder with --data-dir."
    )

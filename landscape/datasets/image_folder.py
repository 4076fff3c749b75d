"""A folder of images by class: `folder/<class>/*.png`; the label is the place of the class among the sorted names.

All images have one size. They are grey (one channel) if the first one is, else they have the three channels of RGB; ids
count the files class by class, sorted by name. Only the images asked for are decoded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.datasets.source import Part, Source
from landscape.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
GREY_MODES = frozenset({"1", "L"})
COLOUR_MODES = frozenset({"P", "RGB"})

MOST_NAMED = 3
"""Files that are left out and named."""

_log = logging.getLogger(__name__)


def describe(folder: Path) -> Part:
    """Classes of the folder and the shape of its first image.

    Raises:
        DataError: there are no class folders, one is empty, or the first image cannot be read.
    """
    return _part(folder, _classes(folder))


def open_folder(folder: Path) -> Source:
    """The images of the folder.

    Raises:
        DataError: as `describe`; later, from `pixels`, an image is damaged or of another size or kind than the first.
    """
    classes = _classes(folder)
    part = _part(folder, classes)
    paths = [path for found in classes.values() for path in found]
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes.values()])

    def pixels(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        images = np.empty((len(ids), *part.image_shape), np.float32)
        for image, number in zip(images, ids, strict=True):
            image[:] = _decoded(paths[number], part.image_shape).astype(np.float32) / np.float32(255)
        return images

    return Source(labels=labels.astype(np.int64), num_classes=part.num_classes, pixels=pixels)


def _part(folder: Path, classes: dict[str, list[Path]]) -> Part:
    with _opened(next(iter(classes.values()))[0]) as image:
        shape = (1 if image.mode in GREY_MODES else 3, image.height, image.width)
    return Part(
        path=folder, image_shape=shape, num_classes=len(classes), declared=True, class_names=tuple(sorted(classes))
    )


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Image files by class, both sorted by name; one warning names what else lies there."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        files = {path: _files(path) for path in entries if path.is_dir()}
        classes = {path.name: [file for file in found if _is_image(file)] for path, found in files.items()}
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}; check its permissions.") from error
    for name, found in classes.items():
        if not found:
            raise DataError(f"the class folder {folder / name} must hold images (.png, .jpg and others), got none.")
    if len(classes) < 2:
        raise DataError(
            f"{folder} must hold images by class, <class>/<image>.png with at least 2 classes, "
            f"got {len(classes)} class folders."
        )
    left_out = [path for path in entries if path not in files]
    for path, found in files.items():
        images = set(classes[path.name])
        left_out += [file for file in found if file not in images]
    if left_out:
        named = ", ".join(str(path.relative_to(folder)) for path in left_out[:MOST_NAMED])
        more = f" and {len(left_out) - MOST_NAMED} more" if len(left_out) > MOST_NAMED else ""
        _log.warning("%s: left out, as no images of a known kind in a class folder: %s%s.", folder, named, more)
    return classes


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _decoded(path: Path, image_shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    channels, height, width = image_shape
    with _opened(path) as image:
        if (image.height, image.width) != (height, width):
            raise DataError(
                f"{path} must be {width}x{height} pixels like the first image, got {image.width}x{image.height}; "
                "bring all images to one size."
            )
        if channels == 1 and image.mode not in GREY_MODES:
            raise DataError(f"{path} must be grey like the first image, got mode {image.mode}; convert one of them.")
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array.reshape(height, width, channels).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "a folder of images is read with Pillow, which is missing; run `pip install pillow`."
        ) from error
    try:
        with Image.open(path) as image:
            if image.mode not in GREY_MODES | COLOUR_MODES:
                raise DataError(
                    f"{path} must be grey or RGB with 8 bits a channel and no transparency, got mode {image.mode}; "
                    "convert it."
                )
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image; it is damaged or of another kind.") from error

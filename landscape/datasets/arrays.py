"""A user's own data: an `.npz` file, a folder of images by class, or a folder that holds a part for each split.

The rule, for a path P:

    P is a file X.npz                      it serves whichever split is asked for
    P holds train.npz and/or test.npz      each serves its split
    P holds train/ and/or test/            each is a folder of images by class and serves its split
    P is any other folder                  a folder of images by class that serves whichever split is asked for

Two parts must be of one kind and agree on image shape and classes.
"""

from __future__ import annotations

from pathlib import Path

from landscape.datasets import image_folder, npz
from landscape.datasets.source import DatasetInfo, Part, Source
from landscape.errors import DataError
from landscape.names import SPLITS


def info(folder: Path) -> DatasetInfo:
    """Facts read from the files at `folder`; there is no usual threat model or normalization.

    Raises:
        DataError: the files are missing or damaged, or the two parts disagree.
    """
    described = [_describe(path) for path in dict.fromkeys(_parts(folder).values())]
    return DatasetInfo(
        name="arrays",
        title=folder.name or str(folder),
        num_classes=_num_classes(described),
        image_shape=_image_shape(described),
    )


def open_split(folder: Path, split: str) -> Source:
    """The part at `folder` that serves `split`.

    Raises:
        DataError: there is no such part, or a file is damaged or of another layout.
    """
    parts = _parts(folder)
    if split not in parts:
        (other,) = parts.values()
        raise DataError(
            f"{folder} has no {split} split: expected {split}.npz or {split}/ beside {other.name}; "
            "add it or ask for the other split."
        )
    num_classes = info(folder).num_classes
    path = parts[split]
    return npz.open_npz(path, num_classes) if path.is_file() else image_folder.open_folder(path)


def located(folder: Path) -> Path | None:
    """The path itself, None if nothing is there."""
    return folder if folder.exists() else None


def expected(folder: Path) -> str:
    """The layouts that are read."""
    return "your .npz with inputs and labels, or a folder of images by class"


def own_splits(folder: Path) -> tuple[str, ...]:
    """The splits that have a file of their own; `train` alone where one serves whichever is asked for.

    Raises:
        DataError: nothing lies at `folder`.
    """
    parts = _parts(folder)
    return tuple(parts) if len(set(parts.values())) == len(parts) else SPLITS[:1]


def _parts(folder: Path) -> dict[str, Path]:
    if folder.is_file() and folder.suffix == ".npz":
        return dict.fromkeys(SPLITS, folder)
    if not folder.is_dir():
        state = "a file of another kind" if folder.exists() else "nothing"
        raise DataError(f"expected {expected(folder)} at {folder}, got {state}; correct the path.")
    files = {split: folder / f"{split}.npz" for split in SPLITS if (folder / f"{split}.npz").is_file()}
    folders = {split: folder / split for split in SPLITS if (folder / split).is_dir()}
    if files and folders:
        raise DataError(
            f"{folder} must hold its splits either as train.npz and test.npz or as train/ and test/, "
            f"got {', '.join(path.name for path in (*files.values(), *folders.values()))}; move one kind away."
        )
    return files or folders or dict.fromkeys(SPLITS, folder)


def _describe(path: Path) -> Part:
    return npz.describe(path) if path.is_file() else image_folder.describe(path)


def _num_classes(parts: list[Part]) -> int:
    first, *rest = parts
    for other in rest:
        if first.class_names != other.class_names:
            raise DataError(
                f"{first.path} and {other.path} must hold the same classes, got {_names(first)} and {_names(other)}."
            )
    declared = {part.num_classes for part in parts if part.declared}
    if len(declared) > 1:
        raise DataError(
            f"{parts[0].path} and {parts[1].path} must agree on num_classes, "
            f"got {parts[0].num_classes} and {parts[1].num_classes}."
        )
    num_classes = declared.pop() if declared else max(part.num_classes for part in parts)
    if num_classes < 2:
        raise DataError(f"{parts[0].path} must hold at least 2 classes, got {num_classes}.")
    return num_classes


def _image_shape(parts: list[Part]) -> tuple[int, int, int]:
    first, *rest = parts
    for other in rest:
        if first.image_shape != other.image_shape:
            raise DataError(
                f"{first.path} and {other.path} must hold images of one shape (C, H, W), "
                f"got {first.image_shape} and {other.image_shape}."
            )
    return first.image_shape


def _names(part: Part) -> str:
    return ", ".join(part.class_names or ())

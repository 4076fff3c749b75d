"""Examples without labels for robust self-training, and the labels that a model gives them (Carmon et al. 2019)."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from landscape.datasets.examples import Examples
from landscape.datasets.subsets import balanced_subset
from landscape.errors import DataError, InputError
from landscape.weights import bind

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from landscape.training.config import Settings

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, OSError)


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """Examples that count as unlabelled.

    Attributes:
        examples: their labels are pseudo-labels if `labelled`, and otherwise not to be looked at.
        labelled: whether a model has given the labels, here or before the file was written.
    """

    examples: Examples
    labelled: bool

    def with_labels_of(self, model: nn.Module, *, batch_size: int) -> Unlabelled:
        """The same examples with the most probable classes under a model (in eval mode, on a copy) as labels."""
        forward = bind(model, {})
        device = next(model.parameters()).device
        with torch.no_grad():
            found = [forward(part.to(device)).argmax(dim=1) for part in torch.split(self.examples.inputs, batch_size)]
        return Unlabelled(examples=_relabelled(self.examples, torch.cat(found)), labelled=True)

    def to(self, device: torch.device) -> Unlabelled:
        """The same on `device`."""
        return replace(self, examples=self.examples.to(device))


def split_labels(train: Examples, settings: Settings) -> tuple[Examples, Unlabelled | None]:
    """The examples that keep their labels, and those without; None for a run in which every example has a label.

    Args:
        train: the training examples.
        settings: with `labelled`, all but so many of `train` lose their labels (those that stay are a
            `balanced_subset`); `unlabelled` names a file of other examples.

    Raises:
        InputError: no example, or all of them, would lose its label.
        DataError: the file is missing, damaged or of another layout.
    """
    if settings.unlabelled is not None:
        others = read_unlabelled(Path(settings.unlabelled), train)
        if settings.labelled is not None:
            train = balanced_subset(train, settings.labelled)
        return train, others
    if settings.labelled is None:
        return train, None
    if settings.labelled >= len(train):
        raise InputError(
            f"labelled keeps the labels of fewer than all {len(train):,} training examples, got {settings.labelled:,}."
        )
    kept = balanced_subset(train, settings.labelled)
    hidden = np.flatnonzero(~np.isin(train.ids.cpu().numpy(), kept.ids.cpu().numpy()))
    return kept, Unlabelled(examples=train.take(hidden), labelled=False)


def read_unlabelled(path: Path, like: Examples) -> Unlabelled:
    """Examples from an `.npz` file: `inputs` (n, C, H, W), floats in [0, 1] or uint8, and perhaps `labels` (n,).

    Labels in the file are taken as the pseudo-labels. Nothing is ever unpickled.

    Args:
        path: the file.
        like: the labelled examples; ids of these go on after theirs.

    Raises:
        DataError: the file is missing or damaged, or does not fit `like`.
    """
    inputs, labels = _arrays(path)
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    if inputs.shape[1:] != like.image_shape or (inputs.dtype != np.uint8 and inputs.dtype.kind != "f"):
        raise DataError(
            f"inputs in {path} must be floats or uint8 of the shape (n, {', '.join(map(str, like.image_shape))}), "
            f"got {inputs.dtype} of shape {inputs.shape}."
        )
    if labels is not None and (labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu"):
        raise DataError(
            f"labels in {path} must be one whole number for each of {len(inputs)} inputs, "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    scale = 255 if inputs.dtype == np.uint8 else 1
    given = np.zeros(len(inputs), dtype=np.int64) if labels is None else labels.astype(np.int64)
    try:
        examples = Examples(
            inputs=torch.from_numpy(inputs.astype(np.float32) / np.float32(scale)),
            labels=torch.from_numpy(given),
            ids=torch.arange(len(inputs)) + 1 + int(like.ids.max()),
            dataset=like.dataset,
            split=like.split,
            num_classes=like.num_classes,
        )
    except (InputError, DataError) as error:
        raise DataError(f"{path} does not hold examples: {error}") from error
    return Unlabelled(examples=examples, labelled=labels is not None)


def joined(first: Examples, second: Examples) -> Examples:
    """The examples of both, in this order."""
    return Examples(
        inputs=torch.cat([first.inputs, second.inputs]),
        labels=torch.cat([first.labels, second.labels]),
        ids=torch.cat([first.ids, second.ids]),
        dataset=first.dataset,
        split=first.split,
        num_classes=first.num_classes,
    )


def _relabelled(examples: Examples, labels: torch.Tensor) -> Examples:
    return Examples(
        inputs=examples.inputs,
        labels=labels.to(examples.labels),
        ids=examples.ids,
        dataset=examples.dataset,
        split=examples.split,
        num_classes=examples.num_classes,
    )


def _arrays(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    if not path.is_file():
        raise DataError(f"{path} with examples without labels is missing; name an .npz file by --unlabelled.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "inputs" not in archive.files:
                found = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path} must hold the array inputs, got {found}.")
            return archive["inputs"], archive["labels"] if "labels" in archive.files else None
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged or no .npz of numbers; write it again with numpy.savez.") from error

"""Examples: images in [0, 1], their labels, and their ids in the split they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from landscape import files
from landscape.errors import DataError, InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Labelled images of one split of one data set.

    Attributes:
        inputs: (n, C, H, W) float32 in [0, 1].
        labels: (n,) int64 in [0, num_classes).
        ids: (n,) int64, the position of each example in its split; random numbers of an example are keyed by it.
        dataset: name of the data set.
        split: name of the split.
        num_classes: number of classes of the data set, at least 2.

    Raises:
        InputError: a shape or dtype is not as above, the tensors differ in length or device, or there is no example.
        DataError: a value of `inputs`, `labels` or `ids` is outside its range, or not a number.
    """

    inputs: Tensor
    labels: Tensor
    ids: Tensor
    dataset: str
    split: str
    num_classes: int

    def __post_init__(self) -> None:
        _check_layout(self)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.inputs.shape[1:]
        return channels, height, width

    def digest(self) -> str:
        """sha256 of inputs and labels in hexadecimal, computed once."""
        return self._digest

    def take(self, positions: Tensor | npt.NDArray[Any] | Sequence[int]) -> Examples:
        """The examples at `positions`, whole numbers in [0, n), in the order given.

        Raises:
            InputError: no position, one outside the range, or something else than whole numbers.
        """
        chosen = torch.as_tensor(positions)
        if chosen.dim() != 1 or len(chosen) == 0 or chosen.is_floating_point() or chosen.dtype == torch.bool:
            raise InputError(
                "positions of examples are a list of one or more whole numbers, "
                f"got shape {tuple(chosen.shape)} of {chosen.dtype}."
            )
        low, high = int(chosen.min()), int(chosen.max())
        if low < 0 or high >= len(self):
            raise InputError(f"positions of {len(self)} examples are 0 to {len(self) - 1}, got {low} to {high}.")
        chosen = chosen.to(self.labels.device, torch.int64)
        tensors = {"inputs": self.inputs[chosen], "labels": self.labels[chosen], "ids": self.ids[chosen]}
        return self._with(tensors, forget=("_digest",))

    def to(self, device: torch.device | str) -> Examples:
        """The same examples on `device`."""
        return self._with({name: getattr(self, name).to(device) for name in ("inputs", "labels", "ids")})

    @cached_property
    def _digest(self) -> str:
        return files.digest_arrays({"inputs": self.inputs.cpu().numpy(), "labels": self.labels.cpu().numpy()})

    def _with(self, tensors: dict[str, Tensor], forget: Sequence[str] = ()) -> Examples:
        # Parts and copies of checked examples need no second check, which on a GPU would wait for the device.
        other = object.__new__(Examples)
        kept = {name: value for name, value in vars(self).items() if name not in forget}
        vars(other).update(kept | tensors)
        return other


def _check_layout(examples: Examples) -> None:
    inputs, labels, ids = examples.inputs, examples.labels, examples.ids
    if inputs.dim() != 4 or inputs.dtype != torch.float32 or 0 in inputs.shape:
        raise InputError(
            "inputs of examples are float32 of shape (n, C, H, W), none of them zero, "
            f"got {inputs.dtype} of shape {tuple(inputs.shape)}."
        )
    for name, tensor in {"labels": labels, "ids": ids}.items():
        if tensor.dtype != torch.int64 or tensor.shape != inputs.shape[:1]:
            raise InputError(
                f"{name} of {len(inputs)} examples are int64 of shape ({len(inputs)},), "
                f"got {tensor.dtype} of shape {tuple(tensor.shape)}."
            )
        if tensor.device != inputs.device:
            raise InputError(f"inputs and {name} lie on one device, got {inputs.device} and {tensor.device}.")
    if examples.num_classes < 2:
        raise InputError(f"a data set has at least 2 classes, got {examples.num_classes}.")


def _check_values(examples: Examples) -> None:
    where = f"the {examples.split} split of {examples.dataset}"
    low, high = (float(value) for value in torch.aminmax(examples.inputs))
    # A NaN makes both comparisons false.
    if not (low >= 0.0 and high <= 1.0):
        raise DataError(f"inputs of {where} must be numbers in [0, 1], got values from {low:g} to {high:g}.")
    first, last = (int(value) for value in torch.aminmax(examples.labels))
    if first < 0 or last >= examples.num_classes:
        raise DataError(
            f"labels of {where} must be 0 to {examples.num_classes - 1} for {examples.num_classes} classes, "
            f"got {first} to {last}."
        )
    if int(examples.ids.min()) < 0:
        raise DataError(f"ids of {where} are positions from 0 on, got {int(examples.ids.min())}.")

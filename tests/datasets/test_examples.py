from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch

from landscape.datasets.examples import Examples
from landscape.errors import DataError, InputError


def make(**changes: Any) -> Examples:
    fields: dict[str, Any] = {
        "inputs": torch.linspace(0, 1, 5 * 2 * 3 * 4).reshape(5, 2, 3, 4),
        "labels": torch.tensor([0, 1, 2, 1, 0]),
        "ids": torch.tensor([3, 5, 8, 11, 12]),
        "dataset": "toy",
        "split": "train",
        "num_classes": 3,
    }
    return Examples(**(fields | changes))


def changed(index: int, value: float) -> torch.Tensor:
    inputs = make().inputs.clone()
    inputs.view(-1)[index] = value
    return inputs


def test_length_and_image_shape() -> None:
    assert len(make()) == 5
    assert make().image_shape == (2, 3, 4)


def test_take_keeps_order_and_ids() -> None:
    part = make().take([4, 0, 2])
    assert part.ids.tolist() == [12, 3, 8]
    assert part.labels.tolist() == [0, 0, 2]
    assert torch.equal(part.inputs, make().inputs[[4, 0, 2]])
    assert (part.dataset, part.split, part.num_classes) == ("toy", "train", 3)


@pytest.mark.parametrize(
    "positions", [torch.tensor([1, 2], dtype=torch.int32), np.array([1, 2]), [1, 2]], ids=["tensor", "array", "list"]
)
def test_take_accepts(positions: Any) -> None:
    assert make().take(positions).ids.tolist() == [5, 8]


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([], "one or more whole numbers"),
        ([True, False, True, False, True], "one or more whole numbers"),
        ([0.5], "one or more whole numbers"),
        ([[0]], "one or more whole numbers"),
        ([5], r"positions of 5 examples are 0 to 4, got 5 to 5\."),
        ([-1, 2], "got -1 to 2"),
    ],
    ids=["empty", "mask", "float", "2-d", "too-large", "negative"],
)
def test_take_refuses(positions: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().take(positions)


def test_digest_is_of_inputs_and_labels() -> None:
    examples = make()
    literal = hashlib.sha256()
    for name, array in (("inputs", examples.inputs.numpy()), ("labels", examples.labels.numpy())):
        header = json.dumps([name, list(array.shape), array.dtype.str], separators=(",", ":"))
        literal.update(header.encode() + array.tobytes())
    assert examples.digest() == literal.hexdigest()
    assert make(ids=torch.arange(5), dataset="other").digest() == examples.digest()
    assert make(inputs=changed(7, 0.5)).digest() != examples.digest()
    assert make(labels=torch.tensor([1, 1, 2, 1, 0])).digest() != examples.digest()


def test_digest_of_a_part_is_its_own() -> None:
    examples = make()
    whole = examples.digest()
    part = examples.take([0, 1])
    assert part.digest() != whole
    assert part.digest() == make(inputs=part.inputs, labels=part.labels, ids=part.ids).digest()
    assert examples.to("cpu").digest() == whole


def test_is_frozen() -> None:
    with pytest.raises(AttributeError):
        make().split = "test"  # type: ignore[misc]  # wrong on purpose


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": torch.zeros(5, 3, 4)}, r"float32 of shape \(n, C, H, W\)"),
        ({"inputs": torch.zeros(5, 2, 3, 4, dtype=torch.float64)}, "got torch.float64"),
        ({"inputs": torch.zeros(0, 2, 3, 4)}, "none of them zero"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, r"labels of 5 examples are int64 of shape \(5,\)"),
        ({"labels": torch.zeros(5, dtype=torch.int32)}, "got torch.int32"),
        ({"ids": torch.zeros(5, 1, dtype=torch.int64)}, "ids of 5 examples"),
        ({"labels": torch.zeros(5, dtype=torch.int64, device="meta")}, "lie on one device"),
        ({"num_classes": 1}, "at least 2 classes, got 1"),
    ],
    ids=["3-d", "float64", "empty", "short-labels", "int32", "2-d-ids", "device", "one-class"],
)
def test_layout_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": changed(3, 1.0001)}, r"inputs of the train split of toy must be numbers in \[0, 1\].* to 1.0001\."),
        ({"inputs": changed(3, -0.5)}, "from -0.5 to 1"),
        ({"inputs": changed(3, float("nan"))}, "nan"),
        ({"inputs": changed(3, float("inf"))}, "inf"),
        ({"labels": torch.tensor([0, 1, 3, 1, 0])}, "labels of .* must be 0 to 2 for 3 classes, got 0 to 3"),
        ({"labels": torch.tensor([0, 1, -1, 1, 0])}, "got -1 to 1"),
        ({"ids": torch.tensor([0, 1, -1, 2, 3])}, "ids of .* got -1"),
    ],
    ids=["above", "below", "nan", "inf", "label-above", "label-below", "negative-id"],
)
def test_values_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(**changes)

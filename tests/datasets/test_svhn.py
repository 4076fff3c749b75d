from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from landscape.datasets import svhn
from landscape.datasets.registry import load_examples
from landscape.errors import DataError
from tests.datasets.layouts import write_svhn


@pytest.mark.parametrize("below", ["", "svhn"], ids=["itself", "subfolder"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_every_image(tmp_path: Path, below: str, split: str) -> None:
    images, labels = write_svhn(tmp_path / below)[split]
    examples = load_examples("svhn", split=split, data_dir=tmp_path)
    assert examples.labels.tolist() == [label % 10 for label in labels[:, 0].tolist()]
    assert 0 in examples.labels.tolist()
    for number in range(len(labels)):
        for channel in range(3):
            plane = (images[:, :, channel, number] / 255).astype(np.float32)  # rows, columns
            np.testing.assert_array_equal(examples.inputs[number, channel].numpy(), plane)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"SVHN was not found in .*train_32x32\.mat .*`landscape data fetch svhn"):
        svhn.open_split(tmp_path, "train")
    assert svhn.located(tmp_path) is None
    write_svhn(tmp_path)
    assert svhn.located(tmp_path) == tmp_path
    (tmp_path / "test_32x32.mat").unlink()
    assert svhn.located(tmp_path) is None
    assert len(svhn.open_split(tmp_path, "train")) == 30


Content = dict[str, Any]


def with_label(label: int) -> Callable[[Content], Content]:
    def changed(content: Content) -> Content:
        content["y"][4, 0] = label
        return content

    return changed


WRONG: dict[str, tuple[Callable[[Content], Content], str]] = {
    "label 0": (with_label(0), r"must be 1 to 10, 10 for the digit 0, got 0 at example 4"),
    "label 11": (with_label(11), r"must be 1 to 10, 10 for the digit 0, got 11 at example 4"),
    "no labels": (lambda content: {"X": content["X"]}, r"must be a MATLAB file with the arrays X and y"),
    "images last": (
        lambda content: {**content, "X": content["X"].transpose(3, 0, 1, 2)},
        r"X as uint8 of shape \(32, 32, 3, n\), got uint8 of shape \(12, 32, 32, 3\); it is another data set",
    ),
    "floats": (lambda content: {**content, "X": content["X"] / 255}, r"X as uint8 .*, got float64 of shape"),
    "no images": (lambda content: {**content, "X": content["X"][..., :0]}, r"got uint8 of shape \(32, 32, 3, 0\)"),
    "too few labels": (
        lambda content: {**content, "y": content["y"][:-1]},
        r"y as whole numbers of shape \(12, 1\), got uint8 of shape \(11, 1\)",
    ),
    "labels of floats": (lambda content: {**content, "y": content["y"] + 0.5}, r"y as whole numbers .*, got float64"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_other_content_is_refused(change: Callable[[Content], Content], message: str, tmp_path: Path) -> None:
    images, labels = write_svhn(tmp_path)["test"]
    scipy.io.savemat(tmp_path / "test_32x32.mat", change({"X": images, "y": labels}))
    with pytest.raises(DataError, match=message):
        svhn.open_split(tmp_path, "test")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "text": lambda content: b"not found, " * 40,
    "cut": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:100],
    "a changed byte": lambda content: content[:3000] + bytes([content[3000] ^ 255]) + content[3001:],
    "zeros": lambda content: bytes(500),
}


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "plain"])
@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_refused(name: str, compressed: bool, tmp_path: Path) -> None:
    images, labels = write_svhn(tmp_path)["test"]
    path = tmp_path / "test_32x32.mat"
    scipy.io.savemat(path, {"X": images, "y": labels}, do_compression=compressed)
    path.write_bytes(DAMAGES[name](path.read_bytes()))
    if name == "a changed byte" and not compressed:
        assert len(svhn.open_split(tmp_path, "test")) == 12  # a pixel has no check sum; fetching compares the hash
        return
    with pytest.raises(DataError, match=r"must be a MATLAB file with the arrays X and y, and it is not, or it is dam"):
        svhn.open_split(tmp_path, "test")

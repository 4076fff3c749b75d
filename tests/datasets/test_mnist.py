from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from landscape.datasets import mnist
from landscape.datasets.registry import load_examples
from landscape.errors import DataError
from tests.datasets.layouts import idx, write_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("zipped", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"], ids=["itself", "mnist", "MNIST-raw"])
def test_reads_both_splits(tmp_path: Path, below: str, zipped: bool) -> None:
    content = write_mnist(tmp_path / below, zipped=zipped)
    for split, (images, labels) in content.items():
        examples = load_examples("mnist", split=split, data_dir=tmp_path)
        assert examples.image_shape == (1, 28, 28)
        assert examples.labels.tolist() == labels.tolist()
        np.testing.assert_array_equal(examples.inputs.numpy()[:, 0], (images / 255).astype(np.float32))
    assert mnist.located(tmp_path) == tmp_path / below


def test_missing(tmp_path: Path) -> None:
    write_mnist(tmp_path, zipped=True)
    (tmp_path / f"{LABELS}.gz").unlink()
    assert len(mnist.open_split(tmp_path, "test")) == 12
    assert mnist.located(tmp_path) is None
    with pytest.raises(
        DataError, match=r"MNIST was not found in .*train-images-idx3-ubyte.*`landscape data fetch mnist"
    ):
        mnist.open_split(tmp_path, "train")


def damaged(name: str, content: bytes, tmp_path: Path) -> None:
    write_mnist(tmp_path, zipped=False)
    (tmp_path / name).write_bytes(content)
    mnist.open_split(tmp_path, "train")


IMAGE = np.zeros((30, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, idx(IMAGE)[:-1], r"must hold 23,520 bytes after its header \(30x28x28\), got 23,519; .*truncated"),
        (IMAGES, idx(IMAGE) + b"\0", "got 23,521"),
        (IMAGES, b"\0\0\x08", "must start with an idx header of 16 bytes, got 3 bytes"),
        (IMAGES, b"", "got 0 bytes"),
        (IMAGES, b"text" * 100, "must start with the magic number 2051, got 1952807028"),
        (IMAGES, idx(np.zeros(30, np.uint8)), "must start with"),
        (IMAGES, idx(np.zeros((30, 28, 27), np.uint8)), "must hold images of 28x28, got 30 of 28x27"),
        (IMAGES, idx(np.zeros((0, 28, 28), np.uint8)), "got 0 of 28x28"),
        (IMAGES, idx(IMAGE[:29]), "holds 29 images but train-labels-idx1-ubyte 30 labels"),
        (
            IMAGES,
            struct.pack(">4I", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "must hold 79,228,162,458,924,105,385,300,",
        ),
        (LABELS, idx(np.full(30, 10, np.uint8)), "must be 0 to 9, got 10 at example 0"),
    ],
    ids=[
        "truncated",
        "long",
        "short-header",
        "empty",
        "text",
        "labels-as-images",
        "size",
        "none",
        "counts",
        "huge",
        "label",
    ],
)
def test_damaged(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        damaged(name, content, tmp_path)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(idx(IMAGE))[:-20], b"no gzip at all", gzip.compress(b"x")[:4]],
    ids=["cut", "text", "stub"],
)
def test_damaged_gzip(tmp_path: Path, content: bytes) -> None:
    write_mnist(tmp_path, zipped=True)
    (tmp_path / f"{IMAGES}.gz").write_bytes(content)
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte\.gz is truncated or damaged as a gzip file; fetch it"
    ):
        mnist.open_split(tmp_path, "train")

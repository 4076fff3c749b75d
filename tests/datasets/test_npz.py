from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.datasets import npz
from landscape.errors import DataError

GENERATOR = np.random.default_rng(0)
FLOATS = GENERATOR.random((6, 3, 8, 9))
BYTES = GENERATOR.integers(0, 256, (6, 8, 9), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 3, 1, 0])


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (FLOATS, FLOATS.astype(np.float32)),
        (FLOATS.astype(np.float32), FLOATS.astype(np.float32)),
        (FLOATS.astype(">f4"), FLOATS.astype(np.float32)),
        (np.asfortranarray(FLOATS), FLOATS.astype(np.float32)),
        (FLOATS.astype(np.float16), FLOATS.astype(np.float16).astype(np.float32)),
        (BYTES, (BYTES / 255).astype(np.float32)[:, None]),
    ],
    ids=["float64", "float32", "big-endian", "fortran", "float16", "bytes-grey"],
)
def test_inputs(tmp_path: Path, inputs: Any, expected: Any) -> None:
    path = write(tmp_path / "x.npz", inputs=inputs, labels=LABELS.astype(np.uint8))
    source = npz.open_npz(path, 4)
    np.testing.assert_array_equal(source.pixels(np.arange(6)), expected)
    np.testing.assert_array_equal(source.labels, LABELS)
    part = npz.describe(path)
    assert (part.image_shape, part.num_classes, part.declared) == (expected.shape[1:], 4, False)


def test_compressed_and_declared_classes(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, inputs=FLOATS, labels=LABELS, num_classes=7, remark=np.array("mine"))
    assert npz.describe(path).num_classes == 7
    assert npz.open_npz(path, 7).num_classes == 7


def with_value(value: float) -> Any:
    inputs = FLOATS.copy()
    inputs[2, 1, 3, 4] = value
    return inputs


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": with_value(np.nan)}, r"must be numbers in \[0, 1\], got values from nan"),
        ({"inputs": with_value(1.01)}, r"to 1\.01; scale them, undo any normalization, or store uint8"),
        ({"inputs": with_value(-np.inf)}, "from -inf"),
        ({"inputs": FLOATS[:, 0, 0]}, r"shape \(n, C, H, W\) or \(n, H, W\).* got \(6, 9\)"),
        ({"inputs": FLOATS[:0]}, "none of them zero"),
        ({"inputs": (FLOATS * 255).astype(np.int64)}, "must be floats in .* or uint8, got int64"),
        ({"inputs": FLOATS.astype(np.complex128)}, "got complex128"),
        (
            {"inputs": np.array([np.zeros((2, 2)), None, 1, 2, 3, 4], object)},
            "Python objects, which is never unpickled",
        ),
        ({"inputs": np.zeros((6, 8, 8, 3))}, r"channels first.* got \(6, 8, 8, 3\); store inputs.transpose"),
        ({"labels": LABELS.astype(float)}, "whole numbers of an integer type, got float64"),
        ({"labels": LABELS > 0}, "got bool"),
        ({"labels": LABELS.astype(object)}, "labels in .* Python objects"),
        ({"labels": LABELS - 1}, "must be 0, 1, 2 and so on, got -1 to 2"),
        ({"labels": LABELS[:, None]}, r"shape \(n,\)"),
        ({"labels": LABELS[:5]}, "one label for each input, got 6 inputs and 5 labels"),
        ({"labels": LABELS * 2}, "must be 0 to 3, got 4 at example 2"),
        ({"num_classes": np.array([3, 4])}, "num_classes in .* one whole number"),
        ({"num_classes": 4.0}, "one whole number, got float64"),
    ],
    ids=[
        *("nan", "above", "inf", "2-d", "empty", "int64", "complex", "objects", "channels-last"),
        *("float-labels", "bool-labels", "object-labels", "negative", "2-d-labels", "short-labels", "too-large"),
        *("two-counts", "float-count"),
    ],
)
def test_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "x.npz", **({"inputs": FLOATS, "labels": LABELS} | arrays))
    with pytest.raises(DataError, match=message):
        npz.open_npz(path, 4)


@pytest.mark.parametrize("name", ["inputs", "labels"])
def test_missing_array(tmp_path: Path, name: str) -> None:
    arrays = {"inputs": FLOATS, "labels": LABELS}
    del arrays[name]
    with pytest.raises(DataError, match=f"must hold the arrays inputs and labels, got .*; add {name}"):
        npz.describe(write(tmp_path / "x.npz", **arrays))


def broken(path: Path, how: str) -> None:
    content = write(path, inputs=FLOATS, labels=LABELS).read_bytes()
    middle = len(content) // 2
    changed = {
        "truncated": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
        "text": b"inputs, labels\n",
        "npy": b"\x93NUMPY\x01\x00",
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "text", "npy"])
def test_damaged(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.npz"
    broken(path, how)
    with pytest.raises(DataError, match=r"inputs cannot be read from .*: the file is damaged or no \.npz"):
        npz.open_npz(path, 4)

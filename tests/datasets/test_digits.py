from __future__ import annotations

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.datasets import digits
from landscape.datasets.registry import load_examples
from landscape.errors import DataError


def official() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return bunch.images, bunch.target


def test_split_is_that_of_load_digits() -> None:
    images, labels = official()
    order = np.random.RandomState(0).permutation(1797)
    for split, rows in (("train", order[:1000]), ("test", order[1000:])):
        examples = load_examples("digits", split=split)
        assert len(examples) == len(rows)
        np.testing.assert_array_equal(examples.inputs.numpy()[:, 0], (images[rows] / 16).astype(np.float32))
        np.testing.assert_array_equal(examples.labels.numpy(), labels[rows])
        np.testing.assert_array_equal(examples.ids.numpy(), np.arange(len(rows)))


def test_is_read_without_importing_scikit_learn_or_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from landscape.datasets import digits;"
        "assert len(digits.open_split(Path(), 'train')) == 1000;"
        "print([name for name in ('sklearn', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_falls_back_to_load_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = digits.open_split(Path(), "test")
    monkeypatch.setattr(digits, "packaged_file", lambda: None)
    fallback = digits.open_split(Path(), "test")
    np.testing.assert_array_equal(fallback.labels, usual.labels)
    np.testing.assert_array_equal(fallback.pixels(np.arange(797)), usual.pixels(np.arange(797)))


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert digits.located(Path()) is None
    with pytest.raises(DataError, match="ship with scikit-learn, which is not installed; run `pip install"):
        digits.open_split(Path(), "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "cannot be read; reinstall scikit-learn"),
        (gzip.compress(b"1,2,x\n"), "cannot be read; reinstall scikit-learn"),
        (gzip.compress(b"0,1,2\n" * 500)[:-12], "cannot be read; reinstall scikit-learn"),
        (gzip.compress(b"1,2,3\n"), r"must be 1797 rows of 64 pixels .* got an array of shape \(1, 3\)"),
        (gzip.compress((b"17," * 64 + b"0\n") * 1797), "from 0 to 16"),
        (gzip.compress((b"1," * 64 + b"10\n") * 1797), "labels in scikit-learn's digits must be 0 to 9, got 10"),
    ],
    ids=["not-gzip", "not-numbers", "truncated", "shape", "pixels", "labels"],
)
def test_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(digits, "packaged_file", lambda: path)
    with pytest.raises(DataError, match=message):
        digits.open_split(tmp_path, "train")

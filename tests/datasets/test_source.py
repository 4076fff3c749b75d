from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.datasets import digits, source
from landscape.errors import DataError


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_pixels_are_converted_for_the_ids_asked(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(source, "_CHUNK", chunk)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 1, 2, 3), dtype=np.uint8)
    split = source.in_memory(pixels, np.arange(10, dtype=np.uint8), scale=255, num_classes=10)
    ids = np.array([0, 3, 4, 7, 9])
    literal = np.array([[pixels[i, 0] / 255] for i in ids]).astype(np.float32)
    np.testing.assert_array_equal(split.pixels(ids), literal)
    assert split.pixels(ids).dtype == np.float32
    assert split.labels.dtype == np.int64
    assert len(split) == 10


def test_bytes_convert_as_the_reference_does() -> None:
    # The reference divides in float64 and rounds to float32 after.
    pixels = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    split = source.in_memory(pixels, np.zeros(256, np.uint8), scale=255, num_classes=2)
    np.testing.assert_array_equal(split.pixels(np.arange(256)), (pixels / 255).astype(np.float32))


@pytest.mark.parametrize(("label", "text"), [(-1, "got -1 at example 1"), (10, "got 10 at example 1")])
def test_labels_out_of_range(label: int, text: str) -> None:
    with pytest.raises(DataError, match=f"labels in here must be 0 to 9, {text}"):
        source.require_labels(np.array([0, label, 9]), 10, "here")


def test_missing_names_the_folder_files_and_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    usual = str(source.missing(digits.INFO, tmp_path, "a, b and c"))
    assert usual == (
        f"digits 8x8 was not found in {tmp_path}: expected a, b and c; "
        "run `landscape data fetch digits` or name the folder with --data-dir."
    )
    other = str(source.missing(digits.INFO, tmp_path / "my data", "a"))
    assert f"`landscape data fetch digits --data-dir '{tmp_path / 'my data'}'`" in other

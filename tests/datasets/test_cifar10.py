from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.datasets import cifar10
from landscape.datasets.records import record_bytes
from landscape.datasets.registry import load_examples
from landscape.errors import DataError
from tests.datasets.layouts import CIFAR_FILES, RECORDS, write_cifar10


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", RECORDS)


def test_official_size() -> None:
    assert record_bytes(cifar10.LABEL_BYTES) * 10_000 == 30_730_000


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"], ids=["itself", "subfolder"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_every_record(tmp_path: Path, below: str, split: str) -> None:
    content = write_cifar10(tmp_path / below)
    rows = np.concatenate([content[name] for name in CIFAR_FILES if ("test" in name) == (split == "test")])
    examples = load_examples("cifar10", split=split, data_dir=tmp_path)
    assert examples.labels.tolist() == rows[:, 0].tolist()
    for row, image in zip(rows, examples.inputs.numpy(), strict=True):
        for channel in range(3):
            plane = row[1 + 1024 * channel : 1 + 1024 * (channel + 1)].reshape(32, 32)
            np.testing.assert_array_equal(image[channel], (plane / 255).astype(np.float32))


def test_subset_has_the_pixels_of_its_ids(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    whole = load_examples("cifar10", data_dir=tmp_path)
    part = load_examples("cifar10", data_dir=tmp_path, num_examples=7, seed=3)
    assert len(part) == 7
    np.testing.assert_array_equal(part.inputs, whole.inputs[part.ids])
    np.testing.assert_array_equal(part.labels, whole.labels[part.ids])


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"CIFAR-10 was not found in .*data_batch_1\.bin .*`landscape data fetch cifar10"
    ):
        cifar10.open_split(tmp_path, "train")
    assert cifar10.located(tmp_path) is None


def test_one_file_missing(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    assert len(cifar10.open_split(tmp_path, "test")) == RECORDS
    assert cifar10.located(tmp_path) is None
    with pytest.raises(DataError, match="was not found"):
        cifar10.open_split(tmp_path, "train")


def test_the_pickled_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"the Python version that lies there is never unpickled"):
        cifar10.open_split(tmp_path, "train")


@pytest.mark.parametrize("change", [-1, 1, -3073], ids=["byte-short", "byte-long", "record-short"])
def test_wrong_size(tmp_path: Path, change: int) -> None:
    content = write_cifar10(tmp_path)["data_batch_3.bin"].tobytes()
    (tmp_path / "data_batch_3.bin").write_bytes((content + b"\0")[: len(content) + change])
    with pytest.raises(
        DataError, match=r"data_batch_3\.bin must have 61,460 bytes \(20 records of 3,073\), got [56]\d,\d+; run"
    ):
        cifar10.open_split(tmp_path, "train")
    assert cifar10.located(tmp_path) is None


def test_label_out_of_range(tmp_path: Path) -> None:
    rows = write_cifar10(tmp_path)["test_batch.bin"]
    rows[5, 0] = 10
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes())
    with pytest.raises(DataError, match=r"test_batch\.bin must be 0 to 9, got 10 at example 5"):
        cifar10.open_split(tmp_path, "test")

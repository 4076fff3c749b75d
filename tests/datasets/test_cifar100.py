from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from landscape.datasets import cifar100
from landscape.datasets.records import record_bytes
from landscape.datasets.registry import load_examples
from landscape.errors import DataError
from tests.datasets.layouts import CIFAR100_RECORDS, write_cifar100


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100, "RECORDS", CIFAR100_RECORDS)


def test_official_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    size = record_bytes(cifar100.LABEL_BYTES)
    assert {split: count * size for split, count in cifar100.RECORDS.items()} == {
        "train": 153_700_000,
        "test": 30_740_000,
    }


@pytest.mark.parametrize("below", ["", "cifar-100-binary"], ids=["itself", "subfolder"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_every_record_with_its_fine_label(tmp_path: Path, below: str, split: str) -> None:
    rows: npt.NDArray[np.uint8] = write_cifar100(tmp_path / below)[split]
    examples = load_examples("cifar100", split=split, data_dir=tmp_path)
    assert examples.num_classes == 100
    assert examples.labels.tolist() == rows[:, 1].tolist()
    for row, image in zip(rows, examples.inputs.numpy(), strict=True):
        for channel in range(3):
            plane = row[2 + 1024 * channel : 2 + 1024 * (channel + 1)].reshape(32, 32)
            np.testing.assert_array_equal(image[channel], (plane / 255).astype(np.float32))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-100 was not found in .*train\.bin .*`landscape data fetch cifar100"):
        cifar100.open_split(tmp_path, "train")
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(DataError, match=r"the Python version that lies there is never unpickled"):
        cifar100.open_split(tmp_path, "train")
    assert cifar100.located(tmp_path) is None


def test_located_needs_both_files_whole(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    assert cifar100.located(tmp_path) == tmp_path
    whole = (tmp_path / "test.bin").read_bytes()
    (tmp_path / "test.bin").write_bytes(whole[:-1])
    assert cifar100.located(tmp_path) is None
    with pytest.raises(
        DataError, match=r"test\.bin must have 36,888 bytes \(12 records of 3,074\), got 36,887; run `la"
    ):
        cifar100.open_split(tmp_path, "test")
    (tmp_path / "test.bin").unlink()
    assert cifar100.located(tmp_path) is None
    assert len(cifar100.open_split(tmp_path, "train")) == 30


def test_label_out_of_range(tmp_path: Path) -> None:
    rows = write_cifar100(tmp_path)["test"]
    rows[5, 1] = 100
    (tmp_path / "test.bin").write_bytes(rows.tobytes())
    with pytest.raises(DataError, match=r"test\.bin must be 0 to 99, got 100 at example 5"):
        cifar100.open_split(tmp_path, "test")

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landscape.datasets import arrays
from landscape.datasets.registry import dataset_info, has_separate_splits, load_examples
from landscape.errors import DataError


def npz(path: Path, *, shape: tuple[int, ...] = (6, 1, 4, 4), labels: Any = (0, 1, 2, 0, 1, 2), **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, inputs=np.full(shape, 0.5), labels=np.array(labels), **more)
    return path


def images(folder: Path, *, classes: str = "ab", size: int = 4) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.zeros((size, size), np.uint8)).save(folder / name / "1.png")
    return folder


def test_one_file_serves_both_splits(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz")
    assert arrays.own_splits(path) == ("train",)
    assert len(arrays.open_split(path, "train")) == len(arrays.open_split(path, "test")) == 6
    facts = arrays.info(path)
    assert (facts.name, facts.title, facts.num_classes, facts.image_shape) == ("arrays", "x.npz", 3, (1, 4, 4))
    assert (facts.normalization, facts.norm, facts.epsilon, facts.step_size) == (None, None, None, None)


def test_one_folder_serves_both_splits(tmp_path: Path) -> None:
    folder = images(tmp_path / "pictures")
    assert arrays.own_splits(folder) == ("train",)
    assert arrays.open_split(folder, "train").labels.tolist() == [0, 1]
    assert arrays.open_split(folder, "test").labels.tolist() == [0, 1]


def test_a_file_for_each_split(tmp_path: Path) -> None:
    npz(tmp_path / "train.npz")
    npz(tmp_path / "test.npz", shape=(2, 1, 4, 4), labels=[0, 1])
    assert arrays.own_splits(tmp_path) == ("train", "test")
    assert len(arrays.open_split(tmp_path, "train")) == 6
    assert len(arrays.open_split(tmp_path, "test")) == 2
    # The class that does not occur in the test split counts.
    assert arrays.open_split(tmp_path, "test").num_classes == 3


def test_a_folder_for_each_split(tmp_path: Path) -> None:
    images(tmp_path / "train")
    images(tmp_path / "test")
    assert arrays.own_splits(tmp_path) == ("train", "test")
    assert arrays.info(tmp_path).num_classes == 2
    assert len(arrays.open_split(tmp_path, "test")) == 2


@pytest.mark.parametrize("build", [lambda path: npz(path / "train.npz"), lambda path: images(path / "train")])
def test_a_missing_split(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    name = build(tmp_path).name
    assert arrays.own_splits(tmp_path) == ("train",)
    with pytest.raises(DataError, match=rf"has no test split: expected test\.npz or test/ beside {name}"):
        arrays.open_split(tmp_path, "test")


def test_declared_classes_bind(tmp_path: Path) -> None:
    npz(tmp_path / "train.npz", num_classes=3)
    npz(tmp_path / "test.npz", labels=[0, 1, 2, 3, 0, 0])
    assert arrays.info(tmp_path).num_classes == 3
    with pytest.raises(DataError, match=r"test\.npz must be 0 to 2, got 3 at example 3"):
        arrays.open_split(tmp_path, "test")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda path: npz(path / "test.npz", shape=(6, 3, 4, 4)),
            r"one shape \(C, H, W\), got \(1, 4, 4\) and \(3, 4, 4\)",
        ),
        (lambda path: npz(path / "test.npz", num_classes=9), "must agree on num_classes, got 3 and 9"),
        (lambda path: images(path / "test"), r"either as train\.npz and test\.npz or as train/ and test/, got"),
    ],
    ids=["shape", "classes", "mixed"],
)
def test_parts_that_disagree(tmp_path: Path, build: Callable[[Path], Path], message: str) -> None:
    npz(tmp_path / "train.npz", num_classes=3)
    build(tmp_path)
    with pytest.raises(DataError, match=message):
        arrays.open_split(tmp_path, "train")


def test_a_test_split_alone_is_no_training_split(tmp_path: Path) -> None:
    path = npz(tmp_path / "test.npz")
    assert arrays.own_splits(tmp_path) == ("test",)
    assert not has_separate_splits(str(path))


def test_folders_with_other_classes(tmp_path: Path) -> None:
    images(tmp_path / "train", classes="abc")
    images(tmp_path / "test", classes="abd")
    with pytest.raises(DataError, match="must hold the same classes, got a, b, c and a, b, d"):
        arrays.info(tmp_path)


def test_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 classes, got 1"):
        arrays.info(npz(tmp_path / "x.npz", labels=[0] * 6))


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1")
    with pytest.raises(DataError, match=r"expected your \.npz .* at .*gone\.npz, got nothing"):
        arrays.info(tmp_path / "gone.npz")
    with pytest.raises(DataError, match="got a file of another kind"):
        arrays.info(tmp_path / "x.csv")


def test_through_the_registry(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz")
    for examples in (load_examples(str(path)), load_examples("arrays", data_dir=path)):
        assert (len(examples), examples.dataset, examples.num_classes) == (6, "arrays", 3)
        assert float(examples.inputs.min()) == float(examples.inputs.max()) == 0.5
    assert dataset_info(str(path)).image_shape == (1, 4, 4)

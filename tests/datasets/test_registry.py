from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landscape import names
from landscape.datasets import registry
from landscape.datasets.registry import data_place, dataset_info, has_separate_splits, load_examples
from landscape.errors import InputError
from landscape.models.normalize import NORMALIZATIONS
from landscape.randomness import Stream, permutation


def test_table_has_the_public_names() -> None:
    assert tuple(registry.DATASETS) == names.DATASETS


@pytest.mark.parametrize(
    ("name", "image_shape", "norm", "epsilon", "step_size", "natural"),
    [
        ("digits", (1, 8, 8), "linf", 0.15, 0.0375, False),
        ("cifar10", (3, 32, 32), "linf", 8 / 255, 2 / 255, True),
        ("cifar100", (3, 32, 32), "linf", 8 / 255, 2 / 255, True),
        ("svhn", (3, 32, 32), "linf", 8 / 255, 1 / 255, False),
        ("mnist", (1, 28, 28), "linf", 0.3, 0.075, False),
    ],
)
def test_facts(
    name: str, image_shape: tuple[int, ...], norm: str, epsilon: float, step_size: float, natural: bool
) -> None:
    facts = dataset_info(name)
    num_classes = 100 if name == "cifar100" else 10
    assert (facts.name, facts.num_classes, facts.image_shape, facts.norm) == (name, num_classes, image_shape, norm)
    assert (facts.epsilon, facts.natural_images) == (epsilon, natural)
    assert facts.step_size == pytest.approx(step_size)
    assert facts.normalization == NORMALIZATIONS.get(name)
    assert has_separate_splits(name)


def test_facts_need_no_torch() -> None:
    code = (
        "import sys; from landscape.datasets.registry import dataset_info; dataset_info('cifar10');"
        "import landscape.datasets.download; print('torch' in sys.modules or 'pooch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_subsets_are_the_keyed_permutation_and_nested() -> None:
    order = permutation(1000, seed=4, stream=Stream.SUBSET)
    small, large = (load_examples("digits", num_examples=count, seed=4) for count in (100, 500))
    assert small.ids.tolist() == sorted(order[:100].tolist())
    assert set(small.ids.tolist()) < set(large.ids.tolist())
    whole = load_examples("digits", seed=9)
    np.testing.assert_array_equal(small.inputs, whole.inputs[small.ids])
    assert load_examples("digits", num_examples=1000).digest() == whole.digest()
    assert load_examples("digits", num_examples=100, seed=5).ids.tolist() != small.ids.tolist()


@pytest.mark.parametrize("count", [0, -3, 798])
def test_too_many_or_too_few(count: int) -> None:
    with pytest.raises(
        InputError, match=rf"test split of digits has 797 examples, got a request for {count}; ask for 1"
    ):
        load_examples("digits", split="test", num_examples=count)


def test_unknown_names() -> None:
    with pytest.raises(
        InputError, match="one of digits, cifar10, cifar100, svhn, mnist, arrays or the path of your own, got 'svhm'"
    ):
        load_examples("svhm")
    with pytest.raises(InputError, match="the split is one of train, test, got 'val'"):
        load_examples("digits", split="val")


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    assert data_place("cifar10") == ("cifar10", tmp_path)
    assert data_place("cifar10", "there") == ("cifar10", Path("there"))
    assert data_place("arrays", "mine") == ("arrays", Path("mine"))
    assert data_place("./mine") == ("arrays", Path("mine"))
    assert data_place("mine.npz") == ("arrays", Path("mine.npz"))
    with pytest.raises(InputError, match=r"one path, got mine\.npz and other; drop"):
        data_place("mine.npz", "other")
    with pytest.raises(InputError, match="'arrays' is your own: give its path"):
        data_place("arrays")

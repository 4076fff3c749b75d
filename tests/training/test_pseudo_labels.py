from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.errors import DataError, InputError, Interrupted
from landscape.training.config import TrainConfig, effective
from landscape.training.fit import train
from landscape.training.history import read_history
from landscape.training.pseudo_labels import Unlabelled, joined, read_unlabelled, split_labels
from landscape.training.runs import RunFolder, load_state

TRAIN, TEST = load_examples("digits", num_examples=60), load_examples("digits", split="test", num_examples=20)


def stop_at(moment: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) == moment


def settings(**given: Any) -> Any:
    return effective(TrainConfig(method="rst", norm="linf", epsilon=0.1, **given))


def config(**given: Any) -> TrainConfig:
    tiny: dict[str, Any] = {
        "method": "rst", "labelled": 20, "epochs": 2, "batch_size": 8, "attack_steps": 2, "eval_attack": "pgd-2",
        "device": "cpu",
    }  # fmt: skip
    return TrainConfig(**{**tiny, **given})


def test_hiding_labels_keeps_a_balanced_part_and_every_example_once() -> None:
    kept, others = split_labels(TRAIN, settings(labelled=20))
    assert others is not None
    assert not others.labelled
    assert torch.bincount(kept.labels, minlength=10).tolist() == [2] * 10
    assert sorted([*kept.ids.tolist(), *others.examples.ids.tolist()]) == sorted(TRAIN.ids.tolist())


def test_a_run_without_a_source_keeps_all_labels() -> None:
    kept, others = split_labels(TRAIN, effective(TrainConfig(norm="linf", epsilon=0.1)))
    assert kept is TRAIN
    assert others is None


def test_all_labels_cannot_be_kept() -> None:
    with pytest.raises(InputError, match="keeps the labels of fewer than all 60 training examples, got 60"):
        split_labels(TRAIN, settings(labelled=60))


@pytest.mark.parametrize("kind", ["uint8", "float", "no-channel"])
def test_a_file_without_labels(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    stored: Any = {"uint8": pixels, "float": pixels / 255.0, "no-channel": pixels[:, 0]}[kind]
    np.savez(tmp_path / "more.npz", inputs=stored)
    found = read_unlabelled(tmp_path / "more.npz", TRAIN)
    assert not found.labelled
    torch.testing.assert_close(found.examples.inputs, torch.from_numpy(pixels / np.float32(255)))
    assert found.examples.ids.min() > TRAIN.ids.max()
    assert len(joined(TRAIN, found.examples)) == 65


def test_labels_in_the_file_are_the_pseudo_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "more.npz", inputs=np.zeros((3, 1, 8, 8)), labels=np.array([3, 1, 4]))
    found = read_unlabelled(tmp_path / "more.npz", TRAIN)
    assert found.labelled
    assert found.examples.labels.tolist() == [3, 1, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"x": np.zeros(3)}, "must hold the array inputs, got x", id="no-inputs"),
        pytest.param({"inputs": np.zeros((2, 3, 8, 8))}, r"of the shape \(n, 1, 8, 8\), got float64", id="shape"),
        pytest.param({"inputs": np.zeros((2, 1, 8, 8), dtype=int)}, "floats or uint8", id="dtype"),
        pytest.param({"inputs": np.full((2, 1, 8, 8), 2.0)}, r"more\.npz does not hold .* in \[0, 1\]", id="range"),
        pytest.param({"inputs": np.zeros((2, 1, 8, 8)), "labels": np.zeros(3, int)}, "one whole number", id="labels"),
        pytest.param(
            {"inputs": np.zeros((2, 1, 8, 8)), "labels": np.full(2, 10)},
            r"more\.npz does not hold .* 0 to 9",
            id="classes",
        ),
        pytest.param({"inputs": np.zeros((0, 1, 8, 8))}, "does not hold examples", id="empty"),
    ],
)
def test_a_file_of_another_layout_is_refused(arrays: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "more.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_unlabelled(tmp_path / "more.npz", TRAIN)


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is missing; name an \.npz file by --unlabelled"):
        read_unlabelled(tmp_path / "more.npz", TRAIN)
    (tmp_path / "more.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"is damaged or no \.npz of numbers"):
        read_unlabelled(tmp_path / "more.npz", TRAIN)


def test_pseudo_labels_are_the_most_probable_classes_in_eval_mode_and_not_the_hidden_ones() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)).train()
    found = Unlabelled(examples=TRAIN, labelled=False).with_labels_of(model, batch_size=7)
    linear = model[2]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        expected = linear(TRAIN.inputs.flatten(1)).argmax(dim=1)
    assert found.labelled
    assert torch.equal(found.examples.labels, expected)
    assert not torch.equal(expected, TRAIN.labels)
    assert torch.equal(found.examples.ids, TRAIN.ids)


def test_the_pipeline_trains_a_teacher_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config(), whole, examples=(TRAIN, TEST))
    teacher = load_checkpoint(whole / "teacher")
    assert teacher.training["method"] == "natural"
    assert len(read_history(whole / "history.csv")) == 2
    _, hidden = split_labels(TRAIN, settings(labelled=20))
    state = load_state(RunFolder(whole))
    assert hidden is not None
    assert state is not None
    labelled = hidden.with_labels_of(teacher.model, batch_size=128)
    assert state["origin"]["unlabelled"] == labelled.examples.digest() != hidden.examples.digest()
    for moment in (1, 6, 5):
        with pytest.raises(Interrupted):
            train(config(), parts, examples=(TRAIN, TEST), should_stop=stop_at(moment))
    train(config(), parts, examples=(TRAIN, TEST))
    assert (whole / "last.pt").read_bytes() == (parts / "last.pt").read_bytes()
    assert (whole / "best.pt").read_bytes() == (parts / "best.pt").read_bytes()


def test_a_weight_of_zero_leaves_the_labelled_losses(tmp_path: Path) -> None:
    """Wrong labels that do not count change nothing."""
    for name, labels in (("a", np.zeros(30, int)), ("b", np.full(30, 9))):
        np.savez(tmp_path / f"{name}.npz", inputs=TEST.inputs.numpy()[:30].repeat(2, 0)[:30], labels=labels)
        chosen = config(labelled=None, unlabelled=str(tmp_path / f"{name}.npz"), unlabelled_weight=0.0, epochs=1)
        train(chosen, tmp_path / name, examples=(TRAIN, TEST))
    a, b = (load_checkpoint(tmp_path / name).weights_digest for name in ("a", "b"))
    assert a == b
    assert not (tmp_path / "a" / "teacher").exists()

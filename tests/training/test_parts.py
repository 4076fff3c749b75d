"""Runs on parts of the training examples, and with arguments of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.datasets.subsets import balanced_subset, validation_split
from landscape.errors import InputError, Interrupted, ModelError
from landscape.models.small_cnn import small_cnn
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.history import VALIDATION, read_history, selecting
from landscape.training.plan import make_plan, settings_for

TINY: dict[str, Any] = {
    "method": "at", "epochs": 3, "batch_size": 32, "attack_steps": 1, "eval_attack": "pgd-1", "eval_examples": 20,
    "model_arguments": {"width": 2}, "train_examples": 40, "device": "cpu",
}  # fmt: skip


def plan_of(**given: Any) -> Any:
    settings = settings_for(TrainConfig(**{**TINY, **given}), model=None, examples=None)
    return make_plan(settings, torch.device("cpu"), model=None, examples=None)


def test_parts_follow_their_rules_and_share_nothing() -> None:
    whole = load_examples("digits")
    rest, validation = validation_split(whole, 100)
    plan = plan_of(validation=100)
    assert plan.validation.ids.tolist() == validation.ids.tolist()
    assert plan.train.ids.tolist() == balanced_subset(rest, 40).ids.tolist()
    assert not set(plan.train.ids.tolist()) & set(plan.validation.ids.tolist())
    assert plan_of(validation=100, train_examples=None).train.ids.tolist() == rest.ids.tolist()
    alone = plan_of()
    assert alone.validation is None
    assert alone.train.ids.tolist() == balanced_subset(whole, 40).ids.tolist()
    assert plan_of(seed=5).train.ids.tolist() == alone.train.ids.tolist()  # seeds of runs see the same examples


def test_model_arguments_reach_the_network_and_its_checkpoint(tmp_path: Path) -> None:
    last = train(TrainConfig(**{**TINY, "epochs": 1}), tmp_path)
    checkpoint = load_checkpoint(last)
    assert checkpoint.model_arguments == {"in_channels": 1, "image_size": 8, "num_classes": 10, "width": 2}
    assert checkpoint.network.get_parameter("conv1.weight").shape == (2, 1, 3, 3)


def test_best_is_chosen_by_the_validation_examples(tmp_path: Path) -> None:
    train(TrainConfig(**TINY, validation=50), tmp_path)
    rows = read_history(tmp_path / "history.csv")
    assert [all(row[name] is not None for name in VALIDATION) for row in rows] == [True] * 3
    accuracies = [row["validation_robust_accuracy"] or 0.0 for row in rows]
    best = load_checkpoint(tmp_path / "best.pt").training
    assert best["selection"] == "validation-selected"
    assert best["epoch"] == 1 + accuracies.index(max(accuracies))
    assert 0 <= best["metrics"]["validation_robust_accuracy"] <= 1
    assert load_checkpoint(tmp_path / "last.pt").training["selection"] == "last"


def test_validation_columns_are_there_only_with_validation_examples(tmp_path: Path) -> None:
    train(TrainConfig(**{**TINY, "epochs": 1}), tmp_path)
    assert "validation" not in (tmp_path / "history.csv").read_text()
    assert load_checkpoint(tmp_path / "best.pt").training["selection"] == "test-selected"


def test_selecting_prefers_validation() -> None:
    assert selecting({"test_robust_accuracy": 0.5, "validation_robust_accuracy": 0.25}) == 0.25
    assert selecting({"test_robust_accuracy": 0.5}) == 0.5


def test_a_stopped_run_with_parts_goes_on(tmp_path: Path) -> None:
    config, asked = TrainConfig(**TINY, validation=50), iter([False, False, False, True])
    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped", should_stop=lambda: next(asked))
    train(config, tmp_path / "stopped")
    train(config, tmp_path / "whole")
    for name in ("last.pt", "best.pt"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "unknown argument": ({"model_arguments": {"depth": 3}}, ModelError, "small_cnn takes the arguments in_channels, "),
    "argument of another kind": ({"model_arguments": {"width": "wide"}}, ModelError, "width of small_cnn is a whole"),
    "against the data": ({"model_arguments": {"num_classes": 3}}, ModelError, r"should give \(1, 10\) logits"),
    "normalization of other channels": ({"normalization": "cifar10"}, InputError, "3 channels, and the images have 1;"),
    "all for validation": ({"validation": 1000}, InputError, "1 to 999 can be for validation, got 1,000"),
    "too many": ({"train_examples": 1001}, InputError, "a subset of 1,000 examples has 1 to 1,000, got 1,001"),
    "too many after validation": ({"validation": 100, "train_examples": 901}, InputError, "has 1 to 900, got 901"),
    "no examples": ({"train_examples": 0}, InputError, "train_examples of a training run is at least 1, got 0"),
    "no validation": ({"validation": 0}, InputError, "validation of a training run is at least 1, got 0"),
    "a fraction": ({"validation": 0.1}, InputError, "validation of a training run is a whole number, got 0.1"),
    "arguments as text": ({"model_arguments": "width=2"}, InputError, r"values by name, such as width=16, got 'width"),
    "arguments by number": ({"model_arguments": {1: 2}}, InputError, "values by name, such as width=16, got {1: 2}"),
}


@pytest.mark.parametrize(("given", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_parts_and_arguments_are_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_of(**given)


def test_arguments_need_a_model_by_name(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InputError, match=r"model_arguments belong to a model by its name; leave them out with a netw"):
        train(TrainConfig(**TINY), tmp_path, model=network)


def test_a_network_under_a_registered_name_is_stored_with_its_arguments(tmp_path: Path) -> None:
    network = small_cnn(width=4)
    given = {**TINY, "model_arguments": None}
    train(TrainConfig(**{**given, "model": "small_cnn"}), tmp_path, model=network)
    assert load_checkpoint(tmp_path / "last.pt").model_arguments["width"] == 4
    with pytest.raises(ModelError, match="the network is no preact_resnet18, which the settings name; leave model out"):
        train(TrainConfig(**{**given, "model": "preact_resnet18"}), tmp_path / "other", model=network)
    assert not (tmp_path / "other").exists()


def test_settings_for_svhn_and_cifar100_are_the_references() -> None:
    svhn = settings_for(TrainConfig(method="at-awp", dataset="svhn"), model=None, examples=None)
    assert (svhn.model, svhn.epochs, svhn.lr, svhn.awp_warmup) == ("preact_resnet18", 200, 0.01, 5)
    assert (svhn.step_size, svhn.augmentation, svhn.normalization) == (1 / 255, "none", "svhn")
    cifar100 = settings_for(TrainConfig(method="at-awp", dataset="cifar100"), model=None, examples=None)
    assert (cifar100.model, cifar100.epochs, cifar100.lr) == ("preact_resnet18", 200, 0.1)
    assert (cifar100.awp_warmup, cifar100.normalization) == (0, "cifar100")

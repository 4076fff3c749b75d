from __future__ import annotations

import json
from typing import Any

import pytest

from landscape.datasets.registry import dataset_info
from landscape.errors import InputError
from landscape.training.config import TrainConfig, effective


def settings_of(**given: Any) -> dict[str, Any]:
    config = TrainConfig(**given)
    return effective(config, dataset_info(config.dataset)).to_dict()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"method": "at-awp"},
            {
                "model": "small_cnn", "epochs": 100, "lr": 0.1, "gamma": 0.02, "batch_size": 128, "weight_decay": 5e-4,
                "norm": "linf", "epsilon": 0.15, "step_size": 0.0375, "attack_steps": 10, "schedule": "piecewise",
                "augmentation": "none", "normalization": "none", "awp_warmup": 0,
            },
            id="digits",
        ),
        pytest.param(
            {"method": "at-awp", "dataset": "cifar10"},
            {
                "model": "preact_resnet18", "epochs": 200, "lr": 0.1, "gamma": 0.01, "norm": "linf",
                "epsilon": 8 / 255, "step_size": 2 / 255, "augmentation": "crop-flip", "normalization": "cifar10",
            },
            id="cifar10",
        ),
        pytest.param(
            {"dataset": "mnist"},
            {"model": "small_cnn", "epsilon": 0.3, "gamma": None, "augmentation": "none"},
            id="mnist",
        ),
        pytest.param({"epsilon": 0.2}, {"epsilon": 0.2, "step_size": 0.05}, id="own-radius-own-step"),
        pytest.param({"epsilon": 0.2, "step_size": 0.01}, {"step_size": 0.01}, id="own-step"),
        pytest.param(
            {"norm": "l2", "epsilon": 1.28}, {"norm": "l2", "step_size": pytest.approx(0.15)}, id="other-norm"
        ),
        pytest.param(
            {"method": "at-awp", "dataset": "svhn"},
            {"lr": 0.01, "step_size": 1 / 255, "awp_warmup": 5, "augmentation": "none", "normalization": "svhn"},
            id="svhn",
        ),
        pytest.param({"method": "at-awp", "dataset": "svhn", "epochs": 3}, {"awp_warmup": 3}, id="svhn-short"),
        pytest.param(
            {"method": "at-awp", "dataset": "svhn", "norm": "l2"},
            {"epsilon": 128 / 255, "step_size": 15 / 255, "awp_warmup": 0},
            id="svhn-l2",
        ),
        pytest.param(
            {"dataset": "cifar100", "norm": "l2"},
            {"epsilon": 128 / 255, "step_size": 15 / 255, "augmentation": "crop-flip-rotate", "awp_warmup": 0},
            id="cifar100-l2",
        ),
        pytest.param(
            {"method": "trades-awp", "dataset": "cifar10"}, {"gamma": 5e-3, "awp_warmup": 9}, id="trades-awp-cifar10"
        ),
        pytest.param({"method": "trades-awp"}, {"gamma": 0.01, "awp_warmup": 0}, id="trades-awp-digits"),
        pytest.param({"method": "mart-rwp"}, {"gamma": 0.01, "awp_warmup": 2}, id="mart-rwp-digits"),
        pytest.param({"l2": 5e-3}, {"l2": 5e-3, "weight_decay": 0.0}, id="l2-in-place-of-decay"),
        pytest.param({"schedule": "onedrop"}, {"lr_drop_epoch": 100, "lr_one_drop": 0.01}, id="onedrop"),
        pytest.param({"epochs": 3, "model": "my.models:net"}, {"epochs": 3, "model": "my.models:net"}, id="given-wins"),
    ],
)  # fmt: skip
def test_defaults_follow_the_data_set(given: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = settings_of(**given)
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "fast"}, "method of a training run is one of natural, .*, at, at-awp, .*, got 'fast'"),
        ({"model": "vgg"}, "model of a training run is one of small_cnn, preact_resnet18, .*, package.module:factory"),
        ({"schedule": "step"}, "schedule of a training run is one of piecewise, piecewise-epoch, .*, got 'step'"),
        ({"precision": "fp16"}, "precision of a training run is one of fp32, tf32, bf16, got 'fp16'"),
        ({"nesterov": 1}, "nesterov of a training run is true or false, got 1"),
        ({"compile": None}, "compile of a training run is true or false, got None"),
        ({"l1": 0.0}, "l1 of a training run is a finite number above 0, got 0.0"),
        ({"cutout": 0}, "cutout of a training run is at least 1, got 0"),
        ({"lr_drop_epoch": 5}, "lr_drop_epoch and lr_one_drop belong to the schedule onedrop; leave them out with"),
        ({"schedule": "multipledecay", "epochs": 9}, "multipledecay falls every tenth of a run, so it needs at least"),
        ({"l2": 5e-3, "weight_decay": 5e-4}, "l2 takes the place of weight_decay, which is 0 then, got 0.0005"),
        ({"method": "at-awp", "mixup": 1.4}, "mixup goes with no weight perturbation: the reference refuses the pair"),
        ({"method": "trades", "mixup": 1.4}, "the loss of trades is defined for one label only"),
        ({"method": "natural", "epsilon_ramp": 3}, "epsilon_ramp is for methods with an attack, and natural has none"),
        ({"accumulate": 129}, "accumulate is at most batch_size, got 129 parts of 128 examples"),
        ({"augmentation": "mixup"}, "augmentation of a training run is one of none, crop-flip"),
        ({"normalization": "imagenet"}, "a normalization is cifar10"),
        ({"norm": "l1"}, "norm of a training run is one of linf, l2"),
        ({"epochs": 0}, "epochs of a training run is at least 1, got 0"),
        ({"epochs": 1.5}, "epochs of a training run is a whole number, got 1.5"),
        ({"epochs": True}, "epochs of a training run is a whole number, got True"),
        ({"batch_size": None}, "batch_size of a training run is a whole number, got None"),
        ({"method": 3}, "method of a training run is a text, got 3"),
        ({"lr": 0}, "lr of a training run is a finite number above 0, got 0"),
        ({"lr": float("nan")}, "lr of a training run is a finite number above 0, got nan"),
        ({"lr": "0.1"}, "lr of a training run is a number, got '0.1'"),
        ({"weight_decay": -1.0}, "weight_decay of a training run is a finite number of at least 0, got -1.0"),
        ({"seed": 2**64}, "seed of a training run is below"),
        ({"method": "at", "gamma": 0.1}, "the method at has no weight perturbation; leave out gamma"),
        ({"method": "at-awp", "awp_warmup": 5, "epochs": 4}, "awp_warmup is at most the number of epochs, got 5 of 4"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"norm": "l2"}, "digits has no threat model of its own for these settings; give --norm and --epsilon"),
        ({"eval_attack": "cw"}, "an attack is pgd-K"),
    ],
    ids=str,
)
def test_settings_that_the_data_set_does_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings_of(**given)


def test_settings_survive_json_and_are_a_config_again() -> None:
    settings = effective(TrainConfig(method="at-awp", dataset="cifar10"), dataset_info("cifar10"))
    again = TrainConfig.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert effective(again, dataset_info("cifar10")) == settings


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="there is no training setting 'epoch'; they are method, dataset, model"):
        TrainConfig.from_dict({"epoch": 3})


def test_place_is_no_part_of_what_a_run_is() -> None:
    here, there = TrainConfig(device="cpu", checkpoint_every=3), TrainConfig(device="cuda", data_dir="x")
    info = dataset_info("digits")
    assert effective(here, info).identity() == effective(there, info).identity()

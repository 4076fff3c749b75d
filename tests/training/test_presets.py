from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from landscape.datasets.registry import dataset_info
from landscape.errors import InputError
from landscape.training.config import TrainConfig, effective
from landscape.training.presets import PRESETS, find_preset, written
from landscape.training.published import Entry
from landscape.training.sampling import Mixed

CASES = [(name, method) for name, preset in PRESETS.items() for method in preset.methods]

DATA_OF_THE_USER: dict[str, dict[str, Any]] = {"rst": {"unlabelled": "images.npz"}}
"""What a method needs that no preset can know."""


@pytest.mark.parametrize(("name", "method"), CASES, ids=lambda value: value)
def test_every_preset_is_a_training_of_each_of_its_methods(name: str, method: str) -> None:
    config = TrainConfig(**PRESETS[name].settings(method), **DATA_OF_THE_USER.get(method.partition("-")[0], {}))
    settings = effective(config, dataset_info(config.dataset))
    assert settings.method == method
    given = PRESETS[name].settings(method)
    assert {key: settings.to_dict()[key] for key in given} == given


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_has_a_source(name: str) -> None:
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for entry in PRESETS[name].entries:
        assert entry.setting in known
        assert entry.source
    decided = {"dataset", "model", "epochs", "lr", "batch_size", "schedule", "weight_decay", "norm", "epsilon"}
    assert decided | {"step_size", "attack_steps", "augmentation", "normalization"} <= set(PRESETS[name].settings())


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        (
            "awp/cifar10-linf", "at-awp",
            {
                "dataset": "cifar10", "model": "preact_resnet18", "epochs": 200, "lr": 0.1, "batch_size": 128,
                "weight_decay": 5e-4, "schedule": "piecewise", "augmentation": "crop-flip", "norm": "linf",
                "epsilon": 8 / 255, "step_size": 2 / 255, "attack_steps": 10, "gamma": 0.01, "awp_warmup": 0,
                "eval_attack": "pgd-20", "normalization": "cifar10",
            },
        ),
        ("awp/cifar10-l2", None, {"norm": "l2", "epsilon": 128 / 255, "step_size": 15 / 255}),
        ("awp/cifar100-l2", None, {"augmentation": "crop-flip-rotate", "normalization": "cifar100"}),
        ("awp/svhn-linf", None, {"lr": 0.01, "step_size": 1 / 255, "awp_warmup": 5, "augmentation": "none"}),
        ("awp/svhn-l2", None, {"lr": 0.01, "step_size": 15 / 255, "awp_warmup": 0}),
        ("trades-awp/cifar10", None, {"gamma": 5e-3, "awp_warmup": 9, "beta_trades": 6.0, "normalization": "none"}),
        ("rwp/cifar100-linf", None, {"c_min": 4.0, "rwp_steps": 10, "awp_warmup": 0}),
        ("rwp/svhn-linf", None, {"c_min": 1.7, "awp_warmup": 5}),
        (
            "rst/cifar10", "rst-awp",
            {
                "nesterov": True, "batch_size": 256, "schedule": "cosine-epoch", "epsilon": 0.031, "step_size": 0.007,
                "seed": 1, "gamma": 5e-3,
            },
        ),
        ("mart-awp/cifar10", None, {"mart_lambda": 5.0, "gamma": 5e-3, "awp_warmup": 0, "epsilon": 8 / 255}),
        ("rice/cifar10-cyclic", None, {"lr": 0.2, "schedule": "cyclic", "eval_attack": "pgd-10"}),
        ("rice/cifar10-l2-penalty", None, {"l2": 5e-3, "weight_decay": 0.0}),
        ("awp-draft/cifar10", None, {"weight_decay": 2e-4, "epochs": 100, "schedule": "piecewise-late"}),
        ("awp-draft/cifar10-k1", None, {"model": "resnet18", "attack_steps": 1, "gamma": 5e-3}),
        ("awp/pretraining-cifar10", None, {"epochs": 50, "lr": 0.001}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_published_numbers(name: str, method: str | None, expected: dict[str, Any]) -> None:
    settings = find_preset(name).settings(method)
    assert {key: settings.get(key) for key in expected} == expected


def test_rst_has_the_updates_of_its_reference() -> None:
    """200 epochs of ceil(50,000 / 256) batches, each half labelled, of which 9 are without perturbation."""
    settings = find_preset("rst/cifar10").settings("rst-rwp")
    ours = Mixed(num_first=50_000, num_second=500_000, batch_size=settings["batch_size"], seed=1).num_batches
    assert ours * settings["epochs"] == pytest.approx(200 * 196, rel=0.01)
    assert ours * settings["awp_warmup"] == pytest.approx(9 * 196, abs=ours)


def test_settings_of_a_perturbation_are_left_out_without_it() -> None:
    assert not {"gamma", "awp_warmup", "c_min"} & set(find_preset("awp/svhn-linf").settings("at"))


def test_other_names_and_methods_are_refused() -> None:
    with pytest.raises(InputError, match=r"a preset is one of awp/cifar10-linf, .*, got 'awp/imagenet'"):
        find_preset("awp/imagenet")
    with pytest.raises(InputError, match="the preset rice/cifar10-linf is published for at, got at-awp"):
        find_preset("rice/cifar10-linf").settings("at-awp")


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("epsilon", 8 / 255, "8/255"),
        ("epsilon", 0.031, "0.031"),
        ("lr", 0.2, "0.2"),
        ("l1", 5e-6, "5e-06"),
        ("epochs", 200, "200"),
        ("nesterov", True, "true"),
        ("augmentation", "none", "none"),
    ],
)
def test_values_are_written_as_in_the_papers(setting: str, value: Any, text: str) -> None:
    assert written(Entry(setting, value, "here")) == text

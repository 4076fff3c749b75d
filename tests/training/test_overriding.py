from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from landscape.datasets.registry import dataset_info
from landscape.errors import InputError
from landscape.training.config import TrainConfig, effective
from landscape.training.overriding import overridden


def stored(**given: Any) -> dict[str, Any]:
    """What `config.json` of a run holds."""
    config = TrainConfig(**given)
    return effective(config, dataset_info(config.dataset)).to_dict()


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # settings of the run in the file, options, settings that follow
    "nothing": ({"method": "at-awp"}, {}, stored(method="at-awp")),
    "no perturbation any more": ({"method": "at-awp"}, {"method": "at"}, {"gamma": None, "awp_warmup": None}),
    "another perturbation": ({"method": "at-rwp"}, {"method": "at-awp"}, {"gamma": 0.02, "c_min": None}),
    "another objective": (
        {"method": "trades", "beta_trades": 3.0, "drop_below": 1.0},
        {"method": "mart"},
        {"beta_trades": 6.0, "drop_below": 1.0},
    ),
    "rst on another base": (
        {"method": "mart", "mart_lambda": 2.0},
        {"method": "rst", "labelled": 9, "rst_base": "mart"},
        {"mart_lambda": 2.0, "labelled": 9},
    ),
    "no labels to hide any more": ({"method": "rst", "labelled": 9}, {"method": "at"}, {"labelled": None}),
    "another radius": ({}, {"epsilon": 0.1}, {"step_size": None}),
    "the same radius": ({}, {"epsilon": 0.15}, {"step_size": stored()["step_size"]}),
    "another schedule": (
        {"schedule": "onedrop", "lr_drop_epoch": 3},
        {"schedule": "cosine"},
        {"lr_drop_epoch": None, "lr_one_drop": None},
    ),
    "l2 for decay": ({}, {"l2": 0.1}, {"l2": 0.1, "weight_decay": None}),
    "decay for l2": ({"l2": 0.1}, {"weight_decay": 5e-4}, {"l2": None, "weight_decay": 5e-4}),
}


@pytest.mark.parametrize(("run", "options", "expected"), CASES.values(), ids=CASES)
def test_options_win_and_what_they_make_senseless_is_left_open(
    run: dict[str, Any], options: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = overridden(stored(**run), options).to_dict()
    assert {name: found[name] for name in expected} == expected
    assert {name: found[name] for name in options} == options


def test_without_a_file_nothing_is_left_open() -> None:
    with pytest.raises(InputError, match="the method at has no weight perturbation; leave out gamma"):
        overridden({}, {"method": "at", "gamma": 0.1})
    assert overridden({}, {"l1": 0.1}) == dataclasses.replace(TrainConfig(), l1=0.1)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="l2 takes the place of weight_decay"):
        overridden(stored(), {"l2": 0.1, "weight_decay": 0.2})
    with pytest.raises(InputError, match="c_min belongs to methods with -rwp, not to at-awp"):
        overridden(stored(method="at-rwp"), {"method": "at-awp", "c_min": 1.0})
    with pytest.raises(InputError, match="method of a training run is one of natural"):
        overridden(stored(), {"method": "fast"})

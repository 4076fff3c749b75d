"""Every method: which settings belong to it, its first epochs from the command line, and interruption."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from landscape import names
from landscape.cli.main import group
from landscape.datasets.registry import dataset_info, load_examples
from landscape.errors import InputError, Interrupted
from landscape.training.config import TrainConfig, effective
from landscape.training.fit import train
from landscape.training.history import read_history
from landscape.training.recipes import CRAFTINGS, OBJECTIVES, PERTURBATIONS

EXAMPLES = (load_examples("digits", num_examples=30), load_examples("digits", split="test", num_examples=10))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stop_at(moment: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) == moment


def test_every_name_is_an_objective_and_perhaps_a_perturbation() -> None:
    parts = [method.partition("-") for method in names.METHODS]
    assert {part[0] for part in parts} == set(OBJECTIVES) == set(CRAFTINGS)
    assert {part[2] or "none" for part in parts} == set(PERTURBATIONS)
    assert len(set(names.METHODS)) == 5 * 4 - 1 + 1


@pytest.mark.parametrize("method", names.METHODS)
def test_five_epochs_from_the_command_line(method: str, tmp_path: Path) -> None:
    call = ["train", "--method", method, "--device", "cpu", "--epochs", "5", "--eval-every", "5"]
    call += ["--out", str(tmp_path), *(["--labelled", "500"] if method.startswith("rst") else [])]
    perturbs = method.endswith(("-awp", "-rwp", "-random"))
    result = CliRunner().invoke(group, [*call, "--awp-warmup", "2"] if perturbs else call)
    assert result.exit_code == 0, result.output
    assert f"{method} on digits" in result.output
    row = read_history(tmp_path / "history.csv")[-1]
    assert (row["perturbation_ratio"] or 0.0) <= 0.0200001
    assert bool(row["perturbation_ratio"]) == perturbs
    assert bool(row["inner_steps"]) == method.endswith(("-awp", "-rwp"))
    # A constant predictor is right about 12 %.
    assert (row["train_natural_accuracy"] or 0.0) > 0.8
    assert (row["train_robust_accuracy"] or 0.0) > 0.4 or method.startswith("natural")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "natural-rwp"}, "the method natural-rwp makes no sense: the threshold c_min is a loss on adversar"),
        ({"method": "trades-xyz"}, "method of a training run is one of natural, natural-awp"),
        (
            {"method": "trades-pni"},
            "the method trades-pni makes no sense: parametric noise has a joint loss of its own",
        ),
        (
            {"method": "at-awp-pni"},
            "the method at-awp-pni makes no sense: a weight perturbation is sized by the weights",
        ),
        ({"method": "at", "noise_alpha": 0.5}, "noise_alpha belongs to methods with -pni, not to at; leave it out"),
        ({"method": "at-pni", "gamma": 0.5}, "the method at-pni has no weight perturbation; leave out gamma"),
        ({"method": "at-pni", "noise_alpha": -1.0}, "noise_alpha of a training run is a finite number of at least 0"),
        ({"method": "at-pni", "noise_draws": 255}, "noise_draws of a training run is at most 254, got 255"),
        (
            {"method": "at-pni", "compile": True},
            "at-pni draws new noise in every pass, which a compiled model would not",
        ),
        ({"method": "at", "beta_trades": 5.0}, "beta_trades belongs to trades and rst with the base trades, not to at"),
        ({"method": "rst", "labelled": 9, "rst_base": "mart", "beta_trades": 5.0}, "beta_trades belongs to trades and"),
        ({"method": "trades", "mart_lambda": 6.0}, "mart_lambda belongs to mart and rst with the base mart, not to tr"),
        ({"method": "at", "labelled": 100}, "labelled belongs to rst, not to at; leave it out or change the method"),
        ({"method": "at-rwp", "awp_steps": 2}, "awp_steps belongs to methods with -awp, not to at-rwp"),
        ({"method": "at-awp", "c_min": 1.0}, "c_min belongs to methods with -rwp, not to at-awp"),
        ({"method": "at", "awp_size": "l1"}, "awp_size belongs to methods with a weight perturbation, not to at"),
        ({"method": "natural", "attack_mode": "eval"}, "attack_mode belongs to methods that make adversarial examples"),
        ({"method": "rst"}, "rst needs examples without labels; hide labels of the data set by --labelled N"),
        ({"method": "rst", "labelled": 9, "batch_size": 1}, "so batch_size is at least 2, got 1"),
        (
            {"method": "at-awp", "lsc_range": "2:1"},
            "a range of losses is written 0:1.5, from small to large, got '2:1'",
        ),
        ({"method": "at-rwp", "rwp_mask": "x"}, "rwp_mask of a training run is one of strict, closed, got 'x'"),
        ({"method": "at-rwp", "c_min": 0}, "c_min of a training run is a finite number above 0, got 0"),
        ({"method": "at-awp", "awp_alternations": 0}, "awp_alternations of a training run is at least 1, got 0"),
        ({"method": "at", "attack_mode": "both"}, "attack_mode of a training run is one of train, eval, got 'both'"),
    ],
    ids=str,
)
def test_settings_that_do_not_belong_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"method": "at-rwp"}, {"c_min": 1.7, "gamma": 0.02}),
        ({"method": "at-rwp", "dataset": "cifar100"}, {"c_min": 4.0, "gamma": 0.01}),
        ({"method": "at-rwp", "dataset": "svhn"}, {"c_min": 1.7}),
        ({"method": "at-awp"}, {"c_min": None}),
        ({"method": "trades-awp", "dataset": "cifar10"}, {"gamma": 0.005}),
        ({"method": "rst-awp", "dataset": "cifar10", "labelled": 5}, {"gamma": 0.005}),
        ({"method": "trades"}, {"gamma": None}),
    ],
    ids=str,
)
def test_defaults(given: dict[str, Any], expected: dict[str, Any]) -> None:
    config = TrainConfig(**given)
    settings = effective(config, dataset_info(config.dataset)).to_dict()
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.parametrize("method", ["at-rwp", "trades-awp", "at-random", "mart-awp", "at-pni"])
def test_interrupted_and_resumed_is_uninterrupted(method: str, tmp_path: Path) -> None:
    config = TrainConfig(
        method=method, epochs=2, batch_size=8, attack_steps=2, eval_attack="pgd-2", augmentation="crop-flip",
        device="cpu",
    )  # fmt: skip
    train(config, tmp_path / "whole", examples=EXAMPLES)
    for moment in (1, 2, 3):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "parts", examples=EXAMPLES, should_stop=stop_at(moment))
    train(config, tmp_path / "parts", examples=EXAMPLES)
    assert (tmp_path / "whole" / "last.pt").read_bytes() == (tmp_path / "parts" / "last.pt").read_bytes()
    rows = [
        [{**row, "seconds": 0} for row in read_history(tmp_path / name / "history.csv")] for name in ("whole", "parts")
    ]
    assert rows[0] == rows[1]

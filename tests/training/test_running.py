"""Ways to run a training that change its arithmetic, its images or its schedule, on the smallest of runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from landscape.datasets.registry import load_examples
from landscape.errors import Interrupted, TrainingError
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.history import read_history
from landscape.training.publish import weights_in

EXAMPLES = (load_examples("digits", num_examples=22), load_examples("digits", split="test", num_examples=12))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_config(**given: Any) -> TrainConfig:
    tiny: dict[str, Any] = {
        "method": "at-awp", "epochs": 2, "batch_size": 8, "attack_steps": 2, "eval_attack": "pgd-2",
        "eval_examples": 10, "device": "cpu",
    }  # fmt: skip
    return TrainConfig(**{**tiny, **given})


def weights_of(out: Path, **given: Any) -> dict[str, torch.Tensor]:
    return weights_in(train(make_config(**given), out, examples=EXAMPLES))


def largest_difference(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


EVERYTHING: dict[str, Any] = {
    "method": "at", "augmentation": "crop-flip-rotate", "cutout": 3, "mixup": 1.4, "epsilon_ramp": 2, "l1": 1e-5,
    "l2": 5e-3, "nesterov": True, "schedule": "cyclic", "accumulate": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(EVERYTHING, id="at"),
        pytest.param({**EVERYTHING, "method": "at-awp", "mixup": None}, id="at-awp"),
    ],
)
def test_interrupted_and_resumed_is_uninterrupted(given: dict[str, Any], tmp_path: Path) -> None:
    whole = weights_of(tmp_path / "whole", **given)
    asked = itertools.count()
    with pytest.raises(Interrupted):
        train(make_config(**given), tmp_path / "parts", examples=EXAMPLES, should_stop=lambda: next(asked) == 4)
    assert largest_difference(whole, weights_of(tmp_path / "parts", **given)) == 0.0


@pytest.mark.parametrize(
    "given",
    [
        {"augmentation": "crop-flip-zero"}, {"cutout": 3}, {"method": "at", "mixup": 1.0}, {"epsilon_ramp": 1},
        {"l1": 1e-3}, {"l2": 0.1}, {"nesterov": True}, {"schedule": "cosine"}, {"accumulate": 2},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_reaches_the_weights(given: dict[str, Any], tmp_path: Path) -> None:
    plain = {"method": given["method"]} if "method" in given else {}
    assert largest_difference(weights_of(tmp_path / "a", **plain), weights_of(tmp_path / "b", **given)) > 1e-6


def test_bf16_trains_fp32_weights_and_a_perturbation_of_full_length(tmp_path: Path) -> None:
    plain, rounded = weights_of(tmp_path / "a"), weights_of(tmp_path / "b", precision="bf16")
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in rounded.values())
    assert 1e-5 < largest_difference(plain, rounded) < 0.3
    rows = read_history(tmp_path / "b" / "history.csv")
    assert [row["perturbation_ratio"] for row in rows] == [pytest.approx(0.02, rel=1e-5)] * 2


def test_autocast_does_not_keep_old_weights() -> None:
    from landscape.devices import arithmetic

    layer = nn.Linear(4, 4)
    inputs = torch.ones(1, 4)
    with arithmetic("bf16", torch.device("cpu")):
        first = layer(inputs)
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert layer(inputs).dtype == torch.bfloat16
        assert float((layer(inputs) - first).detach().abs().min()) > 3.0


def test_the_ramp_weakens_the_attack_of_the_first_epochs(tmp_path: Path) -> None:
    weights_of(tmp_path / "a", method="at", epochs=1)
    weights_of(tmp_path / "b", method="at", epochs=1, epsilon_ramp=100)
    losses = [read_history(tmp_path / name / "history.csv")[0]["train_loss"] or 0.0 for name in ("a", "b")]
    assert losses[1] < losses[0]


def test_a_compiled_model_gives_the_same_checkpoint_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    # The compiler itself needs a C++ compiler and a minute; what is asked of it is that it compiles in place.
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    plain, other = weights_of(tmp_path / "a", epochs=1), weights_of(tmp_path / "b", epochs=1, compile=True)
    assert len(compiled) == 1
    assert list(plain) == list(other)
    assert largest_difference(plain, other) == 0.0


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    config = make_config(method="natural", epochs=4, schedule="onedrop", lr_drop_epoch=2, lr_one_drop=1e30)
    with pytest.raises(TrainingError, match="is not a finite number any more in epoch 3"):
        train(config, tmp_path, examples=EXAMPLES)
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1, 2]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights_in(tmp_path / "last.pt").values())

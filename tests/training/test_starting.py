from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from landscape.datasets.registry import load_examples
from landscape.errors import CheckpointError, Interrupted, TrainingError
from landscape.models.noisy import inject_noise, noise_scales
from landscape.models.registry import build_model
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.starting import start_from

EXAMPLES = (load_examples("digits", num_examples=20), load_examples("digits", split="test", num_examples=10))


def config(**given: Any) -> TrainConfig:
    tiny: dict[str, Any] = {
        "epochs": 1, "batch_size": 10, "attack_steps": 1, "eval_attack": "none", "device": "cpu", "lr": 1e-8,
        "weight_decay": 0.0,
    }  # fmt: skip
    return TrainConfig(**{**tiny, **given})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(config(method="natural", lr=0.1, seed=5), tmp_path_factory.mktemp("run"), examples=EXAMPLES)


def stored(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return weights


def test_a_run_begins_with_the_weights_of_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    last = train(config(start_from=str(checkpoint)), tmp_path, examples=EXAMPLES)
    before, after = stored(checkpoint), stored(last)
    for name in before:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-5)


def test_a_last_layer_for_other_classes_is_new(checkpoint: Path) -> None:
    torch.manual_seed(0)
    network, same = build_model("small_cnn", num_classes=7), build_model("small_cnn")
    new = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert start_from(network, checkpoint) is True
    assert start_from(same, checkpoint) is False
    given = stored(checkpoint)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, given[name] if tensor.shape == given[name].shape else new[name])


def test_scales_of_noise_that_the_checkpoint_lacks_are_new(checkpoint: Path, tmp_path: Path) -> None:
    network = inject_noise(build_model("small_cnn"), alpha=0.7)
    assert start_from(network, checkpoint) is False
    assert torch.equal(network.state_dict()["conv2.weight"], stored(checkpoint)["conv2.weight"])
    assert [scale.item() for scale in noise_scales(network).values()] == pytest.approx([0.7] * 4)
    last = train(config(method="at-pni", start_from=str(checkpoint), lr=0.1), tmp_path, examples=EXAMPLES)
    with pytest.raises(CheckpointError, match=r"does not hold the weights of this network: .*alpha does not fit"):
        start_from(build_model("small_cnn"), last)
    assert start_from(network, last) is False
    assert network.state_dict()["conv1.alpha"].item() == stored(last)["conv1.alpha"].item()


def test_weights_of_another_network_are_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not hold the weights of this network: .* name its --model"):
        start_from(build_model("small_cnn", width=8), checkpoint)


def test_going_on_with_another_start_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "start.pt"
    copy.write_bytes(checkpoint.read_bytes())
    asked = itertools.count()
    with pytest.raises(Interrupted):
        train(config(start_from=str(copy)), tmp_path / "run", examples=EXAMPLES, should_stop=lambda: next(asked) == 1)
    content = torch.load(copy, weights_only=True)
    next(iter(content["state_dict"].values())).add_(1.0)
    torch.save(content, copy)
    with pytest.raises(TrainingError, match="was made with other weights to begin with"):
        train(config(start_from=str(copy)), tmp_path / "run", examples=EXAMPLES)

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from landscape.checkpoints import FORMAT
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


def published(network: torch.nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor.clone() for name, tensor in network.state_dict().items()}


def with_dead_group(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    dead = {name.replace("block1", "sub_block1"): tensor for name, tensor in weights.items() if ".block1." in name}
    return {**weights, **dead}


def mu_and_sigma(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}mu": torch.full((1, 3, 1, 1), 0.5), f"{prefix}sigma": torch.full((1, 3, 1, 1), 0.25)}


SMALL = {"wide_resnet": {"depth": 10, "widen_factor": 1}, "preact_resnet18": {"width": 2}, "resnet18": {"width": 2}}

LAYOUTS: dict[str, tuple[str, Callable[[torch.nn.Module], dict[str, Any]]]] = {
    "AWP": ("preact_resnet18", lambda net: {"state_dict": published(net, "module."), "test_robust_acc": 0.5}),
    "AWP, weights alone": ("preact_resnet18", lambda net: published(net, "module.")),
    "AWP for CIFAR-100": ("preact_resnet18", lambda net: published(net, "")),
    "TRADES": ("wide_resnet", lambda net: published(net, "module.")),
    "RST": (
        "wide_resnet",
        lambda net: {"num_classes": 10, "state_dict": with_dead_group(published(net, "module.")), "normalize_input": 0},
    ),
    "RST, normalized": ("wide_resnet", lambda net: {"state_dict": published(net, "module.1.")}),
    "RobustBench": ("wide_resnet", lambda net: {**published(net, "module."), **mu_and_sigma("module.")}),
    "MAIR": (
        "resnet18",
        lambda net: {
            "rmodel": {"n_classes": torch.tensor(10), **published(net, "model.")},
            "optimizer": {"state": {}, "param_groups": []},
        },
    ),
    "counters absent": (
        "preact_resnet18",
        lambda net: {name: tensor for name, tensor in published(net, "").items() if "num_batches" not in name},
    ),
    "half precision": (
        "preact_resnet18",
        lambda net: {
            name: tensor.half() if "num" not in name else tensor for name, tensor in published(net, "").items()
        },
    ),
}


@pytest.mark.parametrize("num_classes", [10, 7])
@pytest.mark.parametrize(("model", "layout"), LAYOUTS.values(), ids=LAYOUTS)
def test_published_layouts_are_a_beginning(model: str, layout: Any, num_classes: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = build_model(model, **SMALL[model])
    with torch.no_grad():
        for tensor in given.state_dict().values():
            tensor.copy_((8 * tensor).round() / 8)  # exact in half precision
    network = build_model(model, **SMALL[model], num_classes=num_classes)
    head = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(layout(given), tmp_path / "published.pt")
    assert start_from(network, tmp_path / "published.pt") is (num_classes == 7)
    expected = given.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name] if tensor.shape == expected[name].shape else head[name]), name


def test_another_normalization_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = build_model("resnet18", width=2)
    torch.save({**published(network, ""), **mu_and_sigma("")}, tmp_path / "net.pth")
    start_from(network, tmp_path / "net.pth", normalization=((0.5,) * 3, (0.25,) * 3))
    assert not caplog.records
    start_from(network, tmp_path / "net.pth")
    assert "was trained with another normalization than this run" in caplog.text


def of_other_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"other.{name}": tensor for name, tensor in weights.items()}


def not_finite(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**weights, "conv2.weight": torch.full_like(weights["conv2.weight"], torch.nan)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(of_other_names, "other.conv1.weight does not fit; name its --model", id="names"),
        pytest.param(not_finite, "conv2.weight holds numbers that are not finite", id="not-finite"),
        pytest.param(lambda weights: {"a": torch.ones(2)}, "a does not fit; name its --model", id="something-else"),
        pytest.param(lambda weights: {"a": 1}, "holds no weights: expected a state dict", id="no-weights"),
        pytest.param(lambda weights: {"format": FORMAT}, "holds no weights: expected a state dict", id="nothing-else"),
        pytest.param(
            lambda weights: {"format": FORMAT, "state_dict": weights, "normalization": 3},
            "is damaged: its normalization is missing or wrong",
            id="damaged",
        ),
    ],
)
def test_what_is_no_beginning_is_refused_and_changes_nothing(change: Any, message: str, tmp_path: Path) -> None:
    network = build_model("small_cnn")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(change(published(build_model("small_cnn"), "")), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=message):
        start_from(network, tmp_path / "net.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())

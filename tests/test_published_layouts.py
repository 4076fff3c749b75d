"""Checkpoint files as others publish them: written here with their keys, read with the user's word for the network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.checkpoints import load_checkpoint
from landscape.errors import CheckpointError
from landscape.models.normalize import NORMALIZATIONS, Normalization
from landscape.models.registry import build_model

State = dict[str, Tensor]

CIFAR10, CIFAR100 = NORMALIZATIONS["cifar10"], NORMALIZATIONS["cifar100"]
RST_NUMBERS: Normalization = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
SMALL = {
    "preact_resnet18": {"width": 2},
    "resnet18": {"width": 2},
    "wide_resnet": {"depth": 10, "widen_factor": 1},
    "vgg19_bn": {"width": 2},
    "mnist_cnn7": {"width": 2},
}


@functools.cache
def network_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    arguments = SMALL[name]
    network = build_model(name, **arguments, num_classes=10)
    size = 28 if name == "mnist_cnn7" else 32
    network(torch.rand(2, 1 if name == "mnist_cnn7" else 3, size, size))  # statistics that are nothing special
    return network.eval()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def buffers(names: tuple[str, str], numbers: Normalization, shape: tuple[int, ...]) -> State:
    return {name: torch.tensor(values).reshape(shape) for name, values in zip(names, numbers, strict=True)}


def dead(state: State) -> State:
    """The group that RST's and TRADES's networks hold and never use: shaped as the first one."""
    return {name.replace("block1", "sub_block1"): 2 * value for name, value in state.items() if name[:7] == "block1."}


def awp_best(state: State) -> Any:
    return {
        "state_dict": prefixed(state, "module."),
        "test_robust_acc": 0.55,
        "test_robust_loss": 1.2,
        "test_loss": 0.7,
        "test_acc": 0.81,
    }


def rst(state: State, *, normalize: bool, numbers: bool = False) -> Any:
    weights = prefixed({**state, **dead(state)}, "1." if normalize else "")
    if numbers:
        weights = {**buffers(("0.mean", "0.std"), RST_NUMBERS, (3,)), **weights}
    return {"num_classes": 10, "state_dict": prefixed(weights, "module."), "normalize_input": normalize}


def mair(state: State, mean: list[float], std: list[float], *, parallel: bool = False) -> Any:
    record = {"n_classes": torch.tensor(10), "mean": torch.tensor(mean), "std": torch.tensor(std)}
    weights = prefixed(state, "model.module." if parallel else "model.")
    progress = {"accumulated_epoch": 3, "accumulated_iter": 9, "curr_epoch": 3, "curr_iter": 3}
    return {**progress, "rmodel": {**record, **weights}, "optimizer": {"state": {}, "param_groups": []}}


def mair_normalized(state: State, numbers: Normalization) -> Any:
    inner = {**buffers(("model.0.mean", "model.0.std"), numbers, (3,)), **prefixed(state, "model.1.")}
    return {"rmodel": {"n_classes": torch.tensor(10), **inner}}


# (network, layout, what the user says, normalization that is found)
Case = tuple[str, Callable[[State], Any], dict[str, Any], Normalization | None]

CASES: dict[str, Case] = {
    "AWP model_best.pth": ("preact_resnet18", awp_best, {"normalization": "cifar10"}, CIFAR10),
    "AWP model_199.pth": ("preact_resnet18", lambda s: prefixed(s, "module."), {"normalization": "cifar10"}, CIFAR10),
    "AWP for CIFAR-100 and SVHN": ("preact_resnet18", lambda s: s, {"normalization": "cifar100"}, CIFAR100),
    "Rice model_val.pth": (
        "preact_resnet18",
        lambda s: {**awp_best(s), "val_robust_acc": 0.5, "val_acc": 0.8},
        {"normalization": "cifar10"},
        CIFAR10,
    ),
    "AWP, wide": ("wide_resnet", awp_best, {"normalization": "cifar10"}, CIFAR10),
    "TRADES-AWP epoch": ("wide_resnet", lambda s: prefixed(s, "module."), {"normalization": "none"}, None),
    "TRADES-AWP, ResNet-18": ("resnet18", lambda s: prefixed(s, "module."), {"normalization": "none"}, None),
    "TRADES for CIFAR-10": ("wide_resnet", lambda s: prefixed({**s, **dead(s)}, "module."), {}, None),
    "TRADES for MNIST": ("mnist_cnn7", lambda s: s, {"normalization": "none"}, None),
    "RST": ("wide_resnet", lambda s: rst(s, normalize=False), {"normalization": "none"}, None),
    "RST, normalized": (
        "wide_resnet",
        lambda s: rst(s, normalize=True),
        {"normalization": "0.4914,0.4822,0.4465/0.2023,0.1994,0.201"},
        RST_NUMBERS,
    ),
    "RST, normalized, with its numbers": (
        "wide_resnet",
        lambda s: rst(s, normalize=True, numbers=True),
        {},
        RST_NUMBERS,
    ),
    "RobustBench": ("wide_resnet", lambda s: {"state_dict": prefixed(s, "module.")}, {}, None),
    "RobustBench, mu and sigma absent": ("wide_resnet", lambda s: s, {"normalization": "cifar100"}, CIFAR100),
    "RobustBench, mu and sigma": (
        "wide_resnet",
        lambda s: {**s, **buffers(("mu", "sigma"), CIFAR100 or RST_NUMBERS, (1, 3, 1, 1))},
        {},
        CIFAR100,
    ),
    "RobustBench, mu and sigma, said too": (
        "preact_resnet18",
        lambda s: prefixed({**s, **buffers(("mu", "sigma"), CIFAR10 or RST_NUMBERS, (3, 1, 1))}, "module."),
        {"normalization": "cifar10"},
        CIFAR10,
    ),
    "RobustBench normalize_model": (
        "resnet18",
        lambda s: {
            **buffers(("normalize.mean", "normalize.std"), CIFAR10 or RST_NUMBERS, (1, 3, 1, 1)),
            **prefixed(s, "model."),
        },
        {},
        CIFAR10,
    ),
    "MAIR": ("resnet18", lambda s: mair(s, [0.0] * 3, [1.0] * 3), {}, None),
    "MAIR, one channel": ("mnist_cnn7", lambda s: mair(s, [0.0], [1.0]), {}, None),
    "MAIR, parallel": ("wide_resnet", lambda s: mair(s, [0.0] * 3, [1.0] * 3, parallel=True), {}, None),
    "MAIR, normalized": ("resnet18", lambda s: mair_normalized(s, CIFAR10 or RST_NUMBERS), {}, CIFAR10),
    "MAIR, a note and the user's word": (
        "resnet18",
        lambda s: mair(s, [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]),
        {"normalization": "none"},
        None,
    ),
    "kuangliu": ("vgg19_bn", lambda s: {"net": prefixed(s, "module."), "acc": 90.0, "epoch": 3}, {}, None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_published_layouts(case: Case, tmp_path: Path) -> None:
    name, layout, said, normalization = case
    network = network_of(name)
    torch.save(layout(network.state_dict()), tmp_path / "published.pth")
    checkpoint = load_checkpoint(tmp_path / "published.pth", model=name, **said)
    found, expected = checkpoint.network.state_dict(), network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert checkpoint.normalization == normalization
    assert checkpoint.model_arguments["num_classes"] == 10
    assert {key: checkpoint.model_arguments[key] for key in SMALL[name]} == SMALL[name]


def test_a_normalization_in_the_file_needs_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = network_of("resnet18")
    torch.save(mair_normalized(network.state_dict(), RST_NUMBERS), tmp_path / "net.pth")
    checkpoint = load_checkpoint(tmp_path / "net.pth", model="resnet18")
    assert not caplog.records
    inputs = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in RST_NUMBERS)
    torch.testing.assert_close(checkpoint.model(inputs), network((inputs - mean) / std))


def with_mu(state: State) -> State:
    return {**state, **buffers(("mu", "sigma"), RST_NUMBERS, (3, 1, 1))}


REFUSED: dict[str, tuple[str, Callable[[State], Any], dict[str, Any], str]] = {
    "another normalization": (
        "wide_resnet",
        with_mu,
        {"normalization": "cifar10"},
        r"holds its normalization itself, mean and standard deviation \(\(0\.4914, 0\.4822, 0\.4465\), \(0\.2023, ",
    ),
    "none, although there is one": ("wide_resnet", with_mu, {"normalization": "none"}, "and it is another one; leave"),
    "numbers of other channels": (
        "wide_resnet",
        lambda s: {**s, "mu": torch.zeros(2), "sigma": torch.ones(2)},
        {},
        "unexpected mu, sigma; choose the model",
    ),
    "whole numbers": (
        "wide_resnet",
        lambda s: {**s, "mu": torch.zeros(3).long(), "sigma": torch.ones(3).long()},
        {},
        "unexpected mu, sigma; choose the model",
    ),
    "two dimensions": (
        "wide_resnet",
        lambda s: {**s, "mu": torch.zeros(3, 3), "sigma": torch.ones(3, 3)},
        {},
        "unexpected mu, sigma; choose the model",
    ),
    "MAIR's note": (
        "resnet18",
        lambda s: mair(s, [0.5] * 3, [0.25] * 3),
        {},
        r"notes a normalization, .* that MAIR's wrapper does not apply; say with --normalization whether",
    ),
    "RST behind a layer": ("wide_resnet", lambda s: rst(s, normalize=True), {}, "stands behind another layer"),
    "RobustBench's own PreActResNet": (
        "preact_resnet18",
        lambda s: {key: value for key, value in s.items() if not key.startswith("bn.")},
        {},
        r"missing bn\.weight, bn\.bias, bn\.running_mean and 1 more; choose",
    ),
    "another depth": (
        "wide_resnet28_10",
        lambda s: s,
        {},
        r"does not hold the weights of wide_resnet28_10 .*: missing block1\.layer\.0\.convShortcut\.weight, ",
    ),
}


@pytest.mark.parametrize(("name", "layout", "said", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(
    name: str, layout: Callable[[State], Any], said: dict[str, Any], message: str, tmp_path: Path
) -> None:
    network = network_of("wide_resnet" if name.startswith("wide") else name)
    torch.save(layout(network.state_dict()), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(tmp_path / "net.pth", model=name, **said)
    assert "\n" not in str(caught.value)


class RecordManager:
    """A stand-in for the Python object that MAIR's trainer stores beside the weights."""


def test_objects_beside_the_weights_are_never_loaded(tmp_path: Path) -> None:
    content = mair(network_of("resnet18").state_dict(), [0.0] * 3, [1.0] * 3)
    torch.save({**content, "recordmanager": RecordManager()}, tmp_path / "best.pth")
    with pytest.raises(CheckpointError, match=r"holds Python objects .* so it is not opened; save the weights alone"):
        load_checkpoint(tmp_path / "best.pth", model="resnet18")

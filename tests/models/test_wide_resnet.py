from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from landscape.errors import ModelError
from landscape.models.registry import build_model
from landscape.models.wide_resnet import WideBlock, arguments_from_weights, data_arguments_from_weights, wide_resnet
from tests.models.literal import BATCHNORM, activated, convolved, part, shaken

PUBLISHED = {
    "WRN-34-10": ("wide_resnet34_10", {}, 46_160_474, 191),
    "WRN-34-10, 100 classes": ("wide_resnet34_10", {"num_classes": 100}, 46_218_164, 191),
    "WRN-28-10": ("wide_resnet28_10", {}, 36_479_194, 155),
    "WRN-34-20": ("wide_resnet", {"depth": 34, "widen_factor": 20}, 184_531_674, 191),
    "default": ("wide_resnet", {}, 46_160_474, 191),
}


@pytest.mark.parametrize(("name", "arguments", "count", "entries"), PUBLISHED.values(), ids=PUBLISHED)
def test_number_of_parameters_is_the_reference(name: str, arguments: dict[str, int], count: int, entries: int) -> None:
    with torch.device("meta"):
        network = build_model(name, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert len(network.state_dict()) == entries


def test_what_weight_perturbations_move_is_the_reference() -> None:
    with torch.device("meta"):
        network = build_model("wide_resnet34_10")
    assert len(list(network.parameters())) == 98
    assert sum(parameter.ndim > 1 for parameter in network.parameters()) == 35


def test_names_are_the_reference() -> None:
    expected = ["conv1.weight"]
    for group in (1, 2, 3):
        for block in range(5):
            place = f"block{group}.layer.{block}"
            expected += [f"{place}.bn1.{entry}" for entry in BATCHNORM] + [f"{place}.conv1.weight"]
            expected += [f"{place}.bn2.{entry}" for entry in BATCHNORM] + [f"{place}.conv2.weight"]
            if block == 0:
                expected.append(f"{place}.convShortcut.weight")
    expected += [*(f"bn1.{entry}" for entry in BATCHNORM), "fc.weight", "fc.bias"]
    with torch.device("meta"):
        assert list(build_model("wide_resnet34_10").state_dict()) == expected


def test_initial_weights_are_he_by_fan_out() -> None:
    torch.manual_seed(0)
    network = wide_resnet(depth=10, widen_factor=2)
    for name, weight in network.state_dict().items():
        if weight.ndim == 4 and weight.numel() > 4000:
            fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
            assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.05), name
    assert torch.equal(network.fc.bias, torch.zeros(10))
    # The linear weight keeps torch's own distribution: uniform in +-1 / sqrt(columns).
    assert 0.9 / math.sqrt(128) < float(network.fc.weight.detach().abs().max()) <= 1 / math.sqrt(128)


def literal_block(inputs: Tensor, state: dict[str, Tensor], stride: int) -> Tensor:
    first = activated(inputs, state, "bn1")
    inner = activated(convolved(first, state["conv1.weight"], stride), state, "bn2")
    residual = convolved(inner, state["conv2.weight"], 1)
    if "convShortcut.weight" in state:
        return residual + convolved(first, state["convShortcut.weight"], stride)  # of the activated tensor
    return residual + inputs  # the raw one


BLOCKS = {"identity": (4, 4, 1), "more channels": (3, 5, 1), "both, odd size": (3, 6, 2)}


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), BLOCKS.values(), ids=BLOCKS)
def test_block_equals_the_literal_one(in_channels: int, out_channels: int, stride: int) -> None:
    block = shaken(WideBlock(in_channels, out_channels, stride))
    inputs = torch.randn(2, in_channels, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(inputs), literal_block(inputs, block.state_dict(), stride))


def test_network_equals_the_literal_one_with_the_published_pooling() -> None:
    network = shaken(wide_resnet(depth=10, widen_factor=1, num_classes=5))
    state = network.state_dict()
    inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = convolved(inputs, state["conv1.weight"], 1)
    for group, stride in ((1, 1), (2, 2), (3, 2)):
        features = literal_block(features, part(state, f"block{group}.layer.0."), stride)
    pooled = functional.avg_pool2d(activated(features, state, "bn1"), 8).flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), pooled @ state["fc.weight"].T + state["fc.bias"])


@pytest.mark.parametrize("depth", [1, 4, 9, 11, 35, 10_000_000_000])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ModelError, match=rf"^depth of wide_resnet is 6 n \+ 4, .* got {depth}\.$"):
        build_model("wide_resnet", depth=depth, widen_factor=1)


def test_arguments_are_read_from_the_weights() -> None:
    with torch.device("meta"):
        weights = wide_resnet(depth=22, widen_factor=3, in_channels=1, num_classes=6).state_dict()
    data = {"in_channels": 1, "num_classes": 6}
    assert arguments_from_weights(weights) == {**data, "depth": 22, "widen_factor": 3}
    assert data_arguments_from_weights(weights) == data
    assert arguments_from_weights({"conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(3)}) == {}

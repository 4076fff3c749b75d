from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from landscape.models.resnet import BasicBlock, arguments_from_weights, resnet18
from tests.models.literal import BATCHNORM, activated, convolved, normalized, part, shaken


@pytest.mark.parametrize(("num_classes", "count"), [(10, 11_173_962), (100, 11_220_132)])
def test_number_of_parameters_is_the_reference(num_classes: int, count: int) -> None:
    with torch.device("meta"):
        network = resnet18(num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_names_are_the_reference() -> None:
    expected = ["conv1.weight", *(f"bn1.{entry}" for entry in BATCHNORM)]
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            place = f"layer{stage}.{block}"
            for number in (1, 2):
                expected += [f"{place}.conv{number}.weight", *(f"{place}.bn{number}.{entry}" for entry in BATCHNORM)]
            if stage > 1 and block == 0:
                expected += [f"{place}.shortcut.0.weight", *(f"{place}.shortcut.1.{entry}" for entry in BATCHNORM)]
    with torch.device("meta"):
        assert list(resnet18().state_dict()) == [*expected, "linear.weight", "linear.bias"]


def literal_block(inputs: Tensor, state: dict[str, Tensor], stride: int) -> Tensor:
    inner = activated(convolved(inputs, state["conv1.weight"], stride), state, "bn1")
    residual = normalized(convolved(inner, state["conv2.weight"], 1), state, "bn2")
    if "shortcut.0.weight" in state:
        inputs = normalized(convolved(inputs, state["shortcut.0.weight"], stride), state, "shortcut.1")
    return (residual + inputs).clamp(min=0)


BLOCKS = {"identity": (4, 4, 1), "more channels": (3, 5, 1), "smaller": (4, 4, 2), "both, odd size": (3, 6, 2)}


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), BLOCKS.values(), ids=BLOCKS)
def test_block_equals_the_literal_one(in_channels: int, out_channels: int, stride: int) -> None:
    block = shaken(BasicBlock(in_channels, out_channels, stride))
    inputs = torch.randn(2, in_channels, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(inputs), literal_block(inputs, block.state_dict(), stride))


def test_network_equals_the_literal_one_with_the_published_pooling() -> None:
    network = shaken(resnet18(width=2, num_classes=5))
    state = network.state_dict()
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = activated(convolved(inputs, state["conv1.weight"], 1), state, "bn1")
    for stage, stride in ((1, 1), (2, 2), (3, 2), (4, 2)):
        for block, step in ((0, stride), (1, 1)):
            features = literal_block(features, part(state, f"layer{stage}.{block}."), step)
    pooled = functional.avg_pool2d(features, 4).flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), pooled @ state["linear.weight"].T + state["linear.bias"])


def test_arguments_are_read_from_the_weights() -> None:
    weights = resnet18(width=4, in_channels=1, num_classes=3).state_dict()
    assert arguments_from_weights(weights) == {"width": 4, "in_channels": 1, "num_classes": 3}

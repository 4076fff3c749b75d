from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from landscape.models.preact_resnet import PreActBlock, arguments_from_weights, preact_resnet18
from tests.models.literal import BATCHNORM, activated, convolved, part, shaken


def reference_names() -> list[str]:
    """The 107 names of the published files, in their order, from the description in words."""
    found = ["conv1.weight"]
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            place = f"layer{stage}.{block}"
            found += [f"{place}.bn1.{entry}" for entry in BATCHNORM] + [f"{place}.conv1.weight"]
            found += [f"{place}.bn2.{entry}" for entry in BATCHNORM] + [f"{place}.conv2.weight"]
            if stage > 1 and block == 0:
                found.append(f"{place}.shortcut.0.weight")
    return [*found, *(f"bn.{entry}" for entry in BATCHNORM), "linear.weight", "linear.bias"]


def reference_count(num_classes: int) -> int:
    """Parameters, counted stage by stage."""
    total, channels = 9 * 3 * 64, 64
    for out in (64, 128, 256, 512):
        first = 2 * channels + 9 * channels * out + 2 * out + 9 * out * out
        second = 2 * (2 * out + 9 * out * out)
        total, channels = total + first + second + (channels * out if channels != out else 0), out
    return total + 2 * 512 + 512 * num_classes + num_classes


@pytest.mark.parametrize(("num_classes", "count"), [(10, 11_172_170), (100, 11_218_340)])
def test_number_of_parameters_is_the_reference(num_classes: int, count: int) -> None:
    with torch.device("meta"):
        network = preact_resnet18(num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count == reference_count(num_classes)
    assert len(list(network.parameters())) == 56


def test_names_are_the_reference() -> None:
    with torch.device("meta"):
        found = list(preact_resnet18().state_dict())
    assert len(found) == 107
    assert found == reference_names()


def literal_block(inputs: Tensor, state: dict[str, Tensor], stride: int) -> Tensor:
    first = activated(inputs, state, "bn1")
    inner = activated(convolved(first, state["conv1.weight"], stride), state, "bn2")
    residual = convolved(inner, state["conv2.weight"], 1)
    if "shortcut.0.weight" in state:
        return residual + convolved(first, state["shortcut.0.weight"], stride)  # of the activated tensor
    return residual + inputs  # the raw one


BLOCKS = {"identity": (4, 4, 1), "more channels": (3, 5, 1), "smaller": (4, 4, 2), "both, odd size": (3, 6, 2)}


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), BLOCKS.values(), ids=BLOCKS)
def test_block_equals_the_literal_one(in_channels: int, out_channels: int, stride: int) -> None:
    block = shaken(PreActBlock(in_channels, out_channels, stride))
    inputs = torch.randn(2, in_channels, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(inputs), literal_block(inputs, block.state_dict(), stride))


def test_network_equals_the_literal_one_with_the_published_pooling() -> None:
    network = shaken(preact_resnet18(width=2, num_classes=5))
    state = network.state_dict()
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = convolved(inputs, state["conv1.weight"], 1)
    for stage, stride in ((1, 1), (2, 2), (3, 2), (4, 2)):
        for block, step in ((0, stride), (1, 1)):
            features = literal_block(features, part(state, f"layer{stage}.{block}."), step)
    pooled = functional.avg_pool2d(activated(features, state, "bn"), 4).flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), pooled @ state["linear.weight"].T + state["linear.bias"])


def test_arguments_are_read_from_the_weights() -> None:
    network = preact_resnet18(width=4, in_channels=1, num_classes=3)
    assert arguments_from_weights(network.state_dict()) == {"width": 4, "in_channels": 1, "num_classes": 3}
    assert arguments_from_weights({}) == {}

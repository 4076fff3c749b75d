from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from landscape.models.vgg import arguments_from_weights, vgg19_bn

CHANNELS = [*["64"] * 2, "M", *["128"] * 2, "M", *["256"] * 4, "M", *["512"] * 4, "M", *["512"] * 4, "M"]


def test_layers_are_those_of_the_usual_network() -> None:
    with torch.device("meta"):
        network = vgg19_bn()
    assert sum(parameter.numel() for parameter in network.parameters()) == 20_040_522
    found = []
    for layer in network.features.children():
        if isinstance(layer, nn.Conv2d):
            found.append(str(layer.out_channels))
            assert (layer.kernel_size, layer.padding, layer.bias is not None) == ((3, 3), (1, 1), True)
        elif isinstance(layer, nn.MaxPool2d):
            found.append("M")
    assert found == CHANNELS
    assert [type(layer).__name__ for layer in list(network.features.children())[:4]] == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Conv2d",
    ]
    assert list(network.state_dict())[-2:] == ["classifier.weight", "classifier.bias"]
    assert list(network.state_dict())[-3].startswith("features.50.")


def test_equals_a_forward_written_out() -> None:
    torch.manual_seed(0)
    network = vgg19_bn(width=2, num_classes=4)
    network(torch.rand(8, 3, 32, 32))
    network.eval()
    inputs = torch.rand(3, 3, 32, 32)
    features = inputs
    state, position = network.state_dict(), 0
    for entry in CHANNELS:
        if entry == "M":
            features, position = functional.max_pool2d(features, 2), position + 1
            continue
        features = functional.conv2d(
            features, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1
        )
        place = f"features.{position + 1}."
        features = functional.batch_norm(
            features,
            state[place + "running_mean"],
            state[place + "running_var"],
            state[place + "weight"],
            state[place + "bias"],
        ).clamp(min=0)
        position += 3
    expected = features.flatten(1) @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(network(inputs), expected)


def test_arguments_are_read_from_the_weights() -> None:
    weights = vgg19_bn(width=2, in_channels=1, num_classes=3).state_dict()
    assert arguments_from_weights(weights) == {"width": 2, "in_channels": 1, "num_classes": 3}
    assert arguments_from_weights({"features.0.weight": torch.zeros(2)}) == {}

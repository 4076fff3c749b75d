from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from landscape.errors import ModelError
from landscape.models.mnist_cnn import mnist_cnn4, mnist_cnn7
from landscape.models.registry import arguments_for_weights, build_model

SMALLEST = {"mnist_cnn4": 4, "mnist_cnn7": 16}


def test_numbers_of_parameters() -> None:
    four = [9 * 32 + 32, 2 * 32, 9 * 32 * 64 + 64, 2 * 64, 64 * 49 * 128 + 128, 128 * 10 + 10]
    seven = [9 * 32 + 32, 9 * 32 * 32 + 32, 9 * 32 * 64 + 64, 9 * 64 * 64 + 64, 1024 * 200 + 200, 200 * 201, 2010]
    for network, count in ((mnist_cnn4(), sum(four)), (mnist_cnn7(), sum(seven))):
        assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert (sum(four), sum(seven)) == (421_834, 312_202)


def test_names_of_seven_are_those_of_trades() -> None:
    layers = [f"feature_extractor.conv{number}" for number in (1, 2, 3, 4)]
    layers += [f"classifier.fc{number}" for number in (1, 2, 3)]
    assert list(mnist_cnn7().state_dict()) == [f"{layer}.{entry}" for layer in layers for entry in ("weight", "bias")]


def test_initial_weights_of_seven_are_those_of_trades() -> None:
    torch.manual_seed(0)
    state = mnist_cnn7().state_dict()
    for number, fan_in in ((2, 9 * 32), (3, 9 * 32), (4, 9 * 64)):
        spread = float(state[f"feature_extractor.conv{number}.weight"].std())
        assert spread == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
        assert not state[f"feature_extractor.conv{number}.bias"].any()
    assert not state["classifier.fc3.weight"].any()
    assert not state["classifier.fc3.bias"].any()


def test_four_equals_a_forward_written_out() -> None:
    torch.manual_seed(0)
    network = mnist_cnn4(width=3)
    network(torch.rand(8, 1, 28, 28))
    network.eval()
    state: dict[str, Any] = network.state_dict()
    features = inputs = torch.rand(5, 1, 28, 28)
    for number in (1, 2):
        features = functional.conv2d(features, state[f"conv{number}.weight"], state[f"conv{number}.bias"], padding=1)
        mean, variance = state[f"bn{number}.running_mean"], state[f"bn{number}.running_var"]
        features = (features - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        features = features * state[f"bn{number}.weight"][:, None, None] + state[f"bn{number}.bias"][:, None, None]
        features = functional.max_pool2d(features.clamp(min=0), 2)
    hidden = (features.flatten(1) @ state["fc1.weight"].T + state["fc1.bias"]).clamp(min=0)
    torch.testing.assert_close(network(inputs), hidden @ state["fc2.weight"].T + state["fc2.bias"])


def test_seven_equals_a_forward_written_out() -> None:
    torch.manual_seed(0)
    network = mnist_cnn7(width=3).eval()
    torch.nn.init.normal_(network.get_parameter("classifier.fc3.weight"))
    state: dict[str, Any] = network.state_dict()
    features = inputs = torch.rand(5, 1, 28, 28)
    for number in (1, 2, 3, 4):
        weight, bias = (state[f"feature_extractor.conv{number}.{entry}"] for entry in ("weight", "bias"))
        features = functional.conv2d(features, weight, bias).clamp(min=0)
        features = functional.max_pool2d(features, 2) if number in (2, 4) else features
    hidden = features.flatten(1)
    for number in (1, 2, 3):
        hidden = hidden @ state[f"classifier.fc{number}.weight"].T + state[f"classifier.fc{number}.bias"]
        hidden = hidden.clamp(min=0) if number < 3 else hidden
    torch.testing.assert_close(network(inputs), hidden)


@pytest.mark.parametrize("size", [28, 29, 32, 31, 16])
@pytest.mark.parametrize("name", SMALLEST)
def test_takes_square_pictures_and_reads_its_arguments_from_the_weights(name: str, size: int) -> None:
    network = build_model(name, in_channels=2, image_size=size, num_classes=7, width=3)
    assert network(torch.rand(2, 2, size, size)).shape == (2, 7)
    found = arguments_for_weights(name, network.state_dict(), image_shape=None, num_classes=None)
    assert (found["in_channels"], found["num_classes"], found["width"]) == (2, 7, 3)
    build_model(name, **found).load_state_dict(network.state_dict())


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
def test_pictures_that_are_too_small_are_refused(name: str, smallest: int) -> None:
    build_model(name, image_size=smallest, width=1)
    with pytest.raises(ModelError, match=rf"^{name} takes pictures of at least {smallest} x {smallest}, got 3 x 3\.$"):
        build_model(name, image_size=3)

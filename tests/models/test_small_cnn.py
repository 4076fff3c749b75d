from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from landscape.models.small_cnn import arguments_from_weights, small_cnn

SHAPES = {"digits": (1, 8, 8), "cifar10": (3, 32, 32), "mnist": (1, 28, 28), "odd": (2, 9, 9), "one pixel": (1, 1, 1)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_takes_square_pictures_of_any_size(shape: tuple[int, int, int]) -> None:
    network = small_cnn(in_channels=shape[0], image_size=shape[1], num_classes=7, width=4)
    assert network(torch.rand(3, *shape)).shape == (3, 7)


def test_default_has_the_parameters_of_the_formula() -> None:
    convolutions = 9 * (1 * 16 + 16 * 32 + 32 * 64)
    batchnorms = 2 * (16 + 32 + 64)
    linear = 64 * 2 * 2 * 10 + 10
    network = small_cnn()
    assert sum(parameter.numel() for parameter in network.parameters()) == convolutions + batchnorms + linear == 25978


def test_equals_a_forward_written_out() -> None:
    torch.manual_seed(0)
    network = small_cnn(in_channels=2, image_size=6, num_classes=3, width=4)
    inputs = torch.rand(5, 2, 6, 6)
    network(torch.rand(8, 2, 6, 6))  # move BatchNorm's statistics away from 0 and 1
    network.eval()
    state = network.state_dict()
    features = inputs
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        features = functional.conv2d(features, state[f"conv{number}.weight"], stride=stride, padding=1)
        mean, variance = state[f"bn{number}.running_mean"], state[f"bn{number}.running_var"]
        features = (features - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        features = features * state[f"bn{number}.weight"][:, None, None] + state[f"bn{number}.bias"][:, None, None]
        features = features.clamp(min=0)
    expected = features.reshape(5, -1) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(inputs), expected)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_arguments_are_read_from_the_weights(shape: tuple[int, int, int]) -> None:
    network = small_cnn(in_channels=shape[0], image_size=shape[1], num_classes=7, width=5)
    found = arguments_from_weights(network.state_dict())
    assert (found["in_channels"], found["num_classes"], found["width"]) == (shape[0], 7, 5)
    again = small_cnn(**found)
    again.load_state_dict(network.state_dict())
    inputs = torch.rand(2, *shape)
    assert torch.equal(again.eval()(inputs), network.eval()(inputs))


def test_arguments_of_other_weights_are_left_out() -> None:
    assert arguments_from_weights({"conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(2, 2)}) == {}

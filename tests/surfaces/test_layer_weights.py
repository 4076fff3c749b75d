from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import InputError
from landscape.models.normalize import normalized
from landscape.models.registry import build_model
from landscape.surfaces.layer_weights import layer_weights


def test_kernels_and_matrices_in_the_order_of_the_network() -> None:
    network = build_model("small_cnn")
    found = layer_weights(network)
    assert list(found) == ["conv1.weight", "conv2.weight", "conv3.weight", "linear.weight"]
    np.testing.assert_array_equal(
        found["conv1.weight"], network.get_parameter("conv1.weight").detach().double().numpy().ravel()
    )
    assert len(layer_weights(network, one_dim=True)) == len(list(network.parameters()))


def test_names_are_those_of_the_network_whether_inputs_are_normalized_or_not() -> None:
    network = build_model("small_cnn")
    assert list(layer_weights(normalized(network, ((0.5,), (0.5,))))) == list(layer_weights(network))


def test_layers_are_chosen_by_name() -> None:
    assert list(layer_weights(build_model("small_cnn"), layers="conv[23]")) == ["conv2.weight", "conv3.weight"]


def test_wrong_patterns_are_said() -> None:
    network = build_model("small_cnn")
    with pytest.raises(InputError, match=r"^no parameter with more than one dimension matches the layers 'bias'; the"):
        layer_weights(network, layers="bias")
    with pytest.raises(InputError, match=r"^no parameter matches the layers 'x\{9\}'; the model has conv1.weight"):
        layer_weights(network, layers="x{9}", one_dim=True)
    with pytest.raises(InputError, match=r"^the layers '\(' are no regular expression"):
        layer_weights(network, layers="(")

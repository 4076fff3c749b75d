"""Two networks for MNIST: `mnist_cnn4` of four layers, and `mnist_cnn7`, the published one of TRADES.

The AWP draft's MNIST network is a "4-layer CNN" and no published code of it exists. Two networks are candidates:

- `mnist_cnn4`: two convolutions and two linear layers, four layers with weights, as in the code of dynamic adversarial
  training (Wang et al. 2019; github.com/YisenWang/dynamic_adv_training), which shares an author with the draft. It is
  the reading here because its number of layers is the draft's. Initial weights are torch's, not Keras's.
- `mnist_cnn7`: the `SmallCNN` of TRADES (Zhang et al. 2019; github.com/yaodongyu/TRADES), four convolutions and three
  linear layers; "4-layer" could count its convolutions alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from landscape.errors import ModelError

HIDDEN = 200
"""Width of the two inner linear layers of `mnist_cnn7`."""


class MnistCNN4(nn.Module):
    """Twice: 3x3 convolution, BN-ReLU, 2x2 max-pooling; then a linear layer, ReLU, and a linear layer."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width)
        side = image_size // 4
        self.fc1 = nn.Linear(2 * width * side * side, 4 * width)
        self.fc2 = nn.Linear(4 * width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, image_size, image_size) to logits (B, K)."""
        features = functional.max_pool2d(functional.relu(self.bn1(self.conv1(inputs))), 2)
        features = functional.max_pool2d(functional.relu(self.bn2(self.conv2(features))), 2)
        logits: Tensor = self.fc2(functional.relu(self.fc1(features.flatten(1))))
        return logits


class MnistCNN7(nn.Module):
    """Twice: two 3x3 convolutions without padding, each with ReLU, and 2x2 max-pooling; then three linear layers.

    While training, half of the first linear layer's outputs are dropped at random. The names of the weights are those
    of the published files.
    """

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int) -> None:
        super().__init__()
        channels = (in_channels, width, width, 2 * width, 2 * width)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(1, 5):
            layers[f"conv{number}"] = nn.Conv2d(channels[number - 1], channels[number], 3)
            layers[f"relu{number}"] = nn.ReLU()
            if number in (2, 4):
                layers[f"maxpool{number // 2}"] = nn.MaxPool2d(2)
        self.feature_extractor = nn.Sequential(layers)
        side = ((image_size - 4) // 2 - 4) // 2
        head: OrderedDict[str, nn.Module] = OrderedDict(
            fc1=nn.Linear(2 * width * side * side, HIDDEN),
            relu1=nn.ReLU(),
            drop=nn.Dropout(0.5),
            fc2=nn.Linear(HIDDEN, HIDDEN),
            relu2=nn.ReLU(),
            fc3=nn.Linear(HIDDEN, num_classes),
        )
        self.classifier = nn.Sequential(head)
        _initialize(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, image_size, image_size) to logits (B, K)."""
        logits: Tensor = self.classifier(self.feature_extractor(inputs).flatten(1))
        return logits


def mnist_cnn4(*, in_channels: int = 1, image_size: int = 28, num_classes: int = 10, width: int = 32) -> MnistCNN4:
    """A new `mnist_cnn4` with torch's default initial weights; 421,834 parameters with the default arguments.

    Args:
        in_channels: channels of a picture.
        image_size: height and width of a picture, in pixels, at least 4.
        num_classes: number of logits.
        width: channels of the first convolution.

    Raises:
        ModelError: the pictures are too small.
    """
    _require_size("mnist_cnn4", image_size, 4)
    return MnistCNN4(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width)


def mnist_cnn7(*, in_channels: int = 1, image_size: int = 28, num_classes: int = 10, width: int = 32) -> MnistCNN7:
    """A new `mnist_cnn7`; 312,202 parameters with the default arguments.

    Initial weights as published: convolutions normal with variance 2 / fan_in and bias 0, the last linear layer 0.

    Args:
        in_channels: channels of a picture.
        image_size: height and width of a picture, in pixels, at least 16.
        num_classes: number of logits.
        width: channels of the first convolution.

    Raises:
        ModelError: the pictures are too small.
    """
    _require_size("mnist_cnn7", image_size, 16)
    return MnistCNN7(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width)


def cnn4_arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; of the picture sizes that fit, the smallest."""
    found = _shown(weights, first="conv1.weight", last="fc2.weight")
    if found.get("width") and "fc1.weight" in weights and weights["fc1.weight"].ndim == 2:
        found["image_size"] = 4 * math.isqrt(weights["fc1.weight"].shape[1] // (2 * found["width"]))
    return {name: value for name, value in found.items() if value > 0}


def cnn7_arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; of the picture sizes that fit, the smallest."""
    found = _shown(weights, first="feature_extractor.conv1.weight", last="classifier.fc3.weight")
    columns = weights.get("classifier.fc1.weight")
    if found.get("width") and columns is not None and columns.ndim == 2:
        found["image_size"] = 4 * math.isqrt(columns.shape[1] // (2 * found["width"])) + 12
    return {name: value for name, value in found.items() if value > 0}


def _shown(weights: Mapping[str, Tensor], *, first: str, last: str) -> dict[str, int]:
    found: dict[str, int] = {}
    if first in weights and weights[first].ndim == 4:
        found["width"], found["in_channels"] = weights[first].shape[:2]
    if last in weights and weights[last].ndim == 2:
        found["num_classes"] = weights[last].shape[0]
    return found


def _require_size(name: str, image_size: int, smallest: int) -> None:
    if image_size < smallest:
        raise ModelError(f"{name} takes pictures of at least {smallest} x {smallest}, got {image_size} x {image_size}.")


def _initialize(network: MnistCNN7) -> None:
    for module in network.feature_extractor:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    head = network.classifier.get_submodule("fc3")
    nn.init.zeros_(head.get_parameter("weight"))
    nn.init.zeros_(head.get_parameter("bias"))

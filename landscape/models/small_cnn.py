"""`small_cnn`: three convolutions for small square images of any channel count; the network of the embedded data."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional


class SmallCNN(nn.Module):
    """Three 3x3 convolutions of `width`, `2 width` and `4 width` channels (strides 1, 2, 2), BN-ReLU, one linear layer.

    The padding is 1 and a convolution has no bias, so that a picture of side s is ceil(s / 4) wide at the linear layer.
    """

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        side = math.ceil(image_size / 4)
        self.linear = nn.Linear(4 * width * side * side, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, image_size, image_size) to logits (B, K)."""
        features = functional.relu(self.bn1(self.conv1(inputs)), inplace=True)
        features = functional.relu(self.bn2(self.conv2(features)), inplace=True)
        features = functional.relu(self.bn3(self.conv3(features)), inplace=True)
        logits: Tensor = self.linear(features.flatten(1))
        return logits


def small_cnn(*, in_channels: int = 1, image_size: int = 8, num_classes: int = 10, width: int = 16) -> SmallCNN:
    """A new `small_cnn` with torch's default initial weights.

    Args:
        in_channels: channels of a picture.
        image_size: height and width of a picture, in pixels.
        num_classes: number of logits.
        width: channels of the first convolution.
    """
    return SmallCNN(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width)


def arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; what they do not show is left out.

    A linear layer fits four picture sizes (5 to 8 pixels give 2 x 2); the largest is taken, the network is the same.
    """
    found: dict[str, int] = {}
    if "conv1.weight" in weights and weights["conv1.weight"].ndim == 4:
        found["width"], found["in_channels"] = weights["conv1.weight"].shape[:2]
    if "linear.weight" in weights and weights["linear.weight"].ndim == 2:
        found["num_classes"], columns = weights["linear.weight"].shape
        if found.get("width"):
            found["image_size"] = 4 * math.isqrt(columns // (4 * found["width"]))
    return {name: value for name, value in found.items() if value > 0}

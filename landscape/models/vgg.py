"""`vgg19_bn`: VGG-19 (Simonyan, Zisserman 2014, arXiv 1409.1556) with BatchNorm, in its usual form for 32x32 pictures.

Sixteen 3x3 convolutions with bias, BN-ReLU after each, five 2x2 max-poolings and one linear layer. The AWP and RWP
papers name a VGG-19 and none of their repositories defines it: that they mean this one is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

STAGES = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4))
"""(channels in units of the width, convolutions) between one pooling and the next."""


class VGG19(nn.Module):
    """The network; `features` numbers its layers as the usual code does, so that such files fit."""

    def __init__(self, *, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for factor, num_convolutions in STAGES:
            for _ in range(num_convolutions):
                layers += [nn.Conv2d(channels, factor * width, 3, padding=1), nn.BatchNorm2d(factor * width), nn.ReLU()]
                channels = factor * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of at least 32 x 32 to logits (B, K)."""
        # On 32 x 32 pictures one pixel is left, and the mean is that pixel.
        logits: Tensor = self.classifier(functional.adaptive_avg_pool2d(self.features(inputs), 1).flatten(1))
        return logits


def vgg19_bn(*, num_classes: int = 10, in_channels: int = 3, width: int = 64) -> VGG19:
    """A new `vgg19_bn` with torch's default initial weights; 20,040,522 parameters with the default arguments.

    Args:
        num_classes: number of logits.
        in_channels: channels of a picture.
        width: channels of the first convolution.
    """
    return VGG19(num_classes=num_classes, in_channels=in_channels, width=width)


def arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; what they do not show is left out."""
    found: dict[str, int] = {}
    if "features.0.weight" in weights and weights["features.0.weight"].ndim == 4:
        found["width"], found["in_channels"] = weights["features.0.weight"].shape[:2]
    if "classifier.weight" in weights and weights["classifier.weight"].ndim == 2:
        found["num_classes"] = weights["classifier.weight"].shape[0]
    return {name: value for name, value in found.items() if value > 0}

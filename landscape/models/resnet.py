"""`resnet18`: the post-activation ResNet-18 (He et al. 2015, arXiv 1512.03385) for 32x32 pictures.

It is the ResNet-18 of AWP's TRADES scripts, of MART and of MAIR, with their names of the weights, and the AWP draft's
network; the network of the AT scripts is `preact_resnet18`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from landscape.models.preact_resnet import arguments_from_weights

__all__ = ["BasicBlock", "ResNet18", "arguments_from_weights", "resnet18"]


class BasicBlock(nn.Module):
    """x -> relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut).

    The shortcut is x itself, or bn(1x1 convolution of x) where the block changes the number of channels or the size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        inner = functional.relu(self.bn1(self.conv1(inputs)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(inputs))


class ResNet18(nn.Module):
    """A 3x3 convolution, BN-ReLU, four stages of two blocks (`width` times 1, 2, 4, 8; strides 1, 2, 2, 2), linear."""

    def __init__(self, *, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.linear = nn.Linear(8 * width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of any size to logits (B, K)."""
        features = functional.relu(self.bn1(self.conv1(inputs)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        # The published network pools 4 x 4 on 32 x 32 pictures, which is the whole map: the same mean.
        logits: Tensor = self.linear(functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def resnet18(*, num_classes: int = 10, in_channels: int = 3, width: int = 64) -> ResNet18:
    """A new `resnet18` with torch's default initial weights; 11,173,962 parameters with the default arguments.

    Args:
        num_classes: number of logits.
        in_channels: channels of a picture.
        width: channels of the first convolution; 64 in the papers.
    """
    return ResNet18(num_classes=num_classes, in_channels=in_channels, width=width)


def _stage(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), BasicBlock(out_channels, out_channels, 1))

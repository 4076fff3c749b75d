"""`preact_resnet18`: the pre-activation ResNet-18 (He et al. 2016, arXiv 1603.05027) of adversarial training.

Three details set it apart from other networks of this name and decide whether a published checkpoint fits: a final
BN-ReLU stands before the pooling; the 1x1 shortcut convolution sees the activated tensor; an identity shortcut carries
the raw one. The names of the weights are those of the published files.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional


class PreActBlock(nn.Module):
    """x -> conv2(relu(bn2(conv1(a)))) + shortcut, where a = relu(bn1(x)).

    The shortcut is x itself, or a 1x1 convolution of a where the block changes the number of channels or the size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=1, padding=1, bias=False)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            # In a Sequential because the published files name this weight `shortcut.0.weight`.
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        activated = functional.relu(self.bn1(inputs), inplace=True)
        carried = inputs if self.shortcut is None else self.shortcut(activated)
        residual: Tensor = self.conv2(functional.relu(self.bn2(self.conv1(activated)), inplace=True))
        return residual.add_(carried)


class PreActResNet18(nn.Module):
    """A 3x3 convolution, four stages of two blocks (`width` times 1, 2, 4, 8; strides 1, 2, 2, 2), BN-ReLU, linear."""

    def __init__(self, *, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=1, padding=1, bias=False)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.bn = nn.BatchNorm2d(8 * width)
        self.linear = nn.Linear(8 * width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of any size to logits (B, K)."""
        features = self.conv1(inputs)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        features = functional.relu(self.bn(features), inplace=True)
        # The published network pools 4 x 4 on 32 x 32 pictures, which is the whole map: the same mean.
        logits: Tensor = self.linear(functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def preact_resnet18(*, num_classes: int = 10, in_channels: int = 3, width: int = 64) -> PreActResNet18:
    """A new `preact_resnet18` with torch's default initial weights; 11,172,170 parameters with the default arguments.

    Args:
        num_classes: number of logits.
        in_channels: channels of a picture.
        width: channels of the first convolution; 64 in the papers.
    """
    return PreActResNet18(num_classes=num_classes, in_channels=in_channels, width=width)


def arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; what they do not show is left out."""
    found: dict[str, int] = {}
    if "conv1.weight" in weights and weights["conv1.weight"].ndim == 4:
        found["width"], found["in_channels"] = weights["conv1.weight"].shape[:2]
    if "linear.weight" in weights and weights["linear.weight"].ndim == 2:
        found["num_classes"] = weights["linear.weight"].shape[0]
    return {name: value for name, value in found.items() if value > 0}


def _stage(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        PreActBlock(in_channels, out_channels, stride),
        PreActBlock(out_channels, out_channels, 1),
    )

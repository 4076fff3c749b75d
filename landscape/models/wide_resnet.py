"""Wide residual networks (Zagoruyko, Komodakis 2016, arXiv 1605.07146), such as the WRN-34-10 of adversarial training.

The names of the weights are those of the published files of TRADES, AWP and RST. RST's files also hold `sub_block1`, a
group that no forward pass uses; it is dropped on loading (`state_dicts.fill`) and is no part of this network.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from landscape.errors import ModelError

STEM = 16
"""Channels of the first convolution, and of the first group at a widen factor of 1."""

DEEPEST = 1000
"""A file may claim any depth; building a deeper network would take the machine's memory for nothing."""


class WideBlock(nn.Module):
    """x -> conv2(relu(bn2(conv1(a)))) + shortcut, where a = relu(bn1(x)).

    The shortcut is x itself, or a 1x1 convolution of a where the block changes the number of channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=1, padding=1, bias=False)
        self.convShortcut: nn.Conv2d | None = None
        # By the channels alone, as the published network decides: at 16 channels the first block has no convolution.
        if in_channels != out_channels:
            self.convShortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        activated = functional.relu(self.bn1(inputs))
        carried = inputs if self.convShortcut is None else self.convShortcut(activated)
        residual: Tensor = self.conv2(functional.relu(self.bn2(self.conv1(activated))))
        return residual + carried


class WideGroup(nn.Module):
    """Blocks of one width; the first has the stride."""

    def __init__(self, num_blocks: int, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        later = [WideBlock(out_channels, out_channels, 1) for _ in range(num_blocks - 1)]
        self.layer = nn.Sequential(WideBlock(in_channels, out_channels, stride), *later)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        outputs: Tensor = self.layer(inputs)
        return outputs


class WideResNet(nn.Module):
    """A 3x3 convolution, three groups of (depth - 4) / 6 blocks (strides 1, 2, 2), BN-ReLU, mean, linear."""

    def __init__(self, *, num_classes: int, in_channels: int, depth: int, widen_factor: int) -> None:
        super().__init__()
        num_blocks = (depth - 4) // 6
        first, second, third = (STEM * widen_factor * factor for factor in (1, 2, 4))
        self.conv1 = nn.Conv2d(in_channels, STEM, 3, stride=1, padding=1, bias=False)
        self.block1 = WideGroup(num_blocks, STEM, first, stride=1)
        self.block2 = WideGroup(num_blocks, first, second, stride=2)
        self.block3 = WideGroup(num_blocks, second, third, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, num_classes)
        _initialize(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of any size to logits (B, K)."""
        features = self.block3(self.block2(self.block1(self.conv1(inputs))))
        features = functional.relu(self.bn1(features))
        # The published network pools 8 x 8 on 32 x 32 pictures, which is the whole map: the same mean.
        logits: Tensor = self.fc(functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def wide_resnet(*, num_classes: int = 10, in_channels: int = 3, depth: int = 34, widen_factor: int = 10) -> WideResNet:
    """A new wide residual network; convolutions are normal with variance 2 / fan_out, the linear bias is 0.

    Args:
        num_classes: number of logits.
        in_channels: channels of a picture.
        depth: layers with weights on the longest path: 6 n + 4 for n blocks in a group.
        widen_factor: width of the groups, which have 16, 32 and 64 times as many channels.

    Raises:
        ModelError: the depth is not 10, 16, 22 and so on.
    """
    if depth % 6 != 4 or not 10 <= depth <= DEEPEST:
        raise ModelError(f"depth of wide_resnet is 6 n + 4, that is 10, 16, .. 28, 34, .. up to 1000, got {depth}.")
    return WideResNet(num_classes=num_classes, in_channels=in_channels, depth=depth, widen_factor=widen_factor)


def wide_resnet34_10(*, num_classes: int = 10, in_channels: int = 3) -> WideResNet:
    """WRN-34-10, the large network of TRADES, AWP and RWP: 46,160,474 parameters with the default arguments."""
    return wide_resnet(num_classes=num_classes, in_channels=in_channels, depth=34, widen_factor=10)


def wide_resnet28_10(*, num_classes: int = 10, in_channels: int = 3) -> WideResNet:
    """WRN-28-10, the network of RST: 36,479,194 parameters with the default arguments."""
    return wide_resnet(num_classes=num_classes, in_channels=in_channels, depth=28, widen_factor=10)


def arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The arguments that `weights` show; what they do not show is left out."""
    found = data_arguments_from_weights(weights)
    blocks = {key.split(".")[2] for key in weights if key.startswith("block1.layer.") and key.count(".") >= 3}
    if blocks:
        found["depth"] = 6 * len(blocks) + 4
    first = weights.get("block1.layer.0.conv1.weight")
    if first is not None and first.ndim == 4:
        found["widen_factor"] = first.shape[0] // STEM
    return {name: value for name, value in found.items() if value > 0}


def data_arguments_from_weights(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Those of `arguments_from_weights` that belong to the data; depth and width are in the name of the network."""
    found: dict[str, int] = {}
    if "conv1.weight" in weights and weights["conv1.weight"].ndim == 4:
        found["in_channels"] = weights["conv1.weight"].shape[1]
    if "fc.weight" in weights and weights["fc.weight"].ndim == 2:
        found["num_classes"] = weights["fc.weight"].shape[0]
    return {name: value for name, value in found.items() if value > 0}


def _initialize(network: WideResNet) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(network.fc.bias)

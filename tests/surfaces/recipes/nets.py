"""Small networks for tests of directions."""

from __future__ import annotations

import torch
from torch import nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3)


def network(seed: int = 0, width: int = 6) -> nn.Sequential:
    """Convolution, BatchNorm with statistics of its own, ReLU, linear layer; 8x8 inputs, 10 classes; eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(9 * width, 10),
        )
        net(3 * torch.rand(64, 1, 8, 8))
    return net.eval()


def statistics(net: nn.Module) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Running mean, running variance and count of batches of the network's BatchNorm, to be changed in place."""
    (norm,) = (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    return norm.running_mean, norm.running_var, norm.num_batches_tracked


def tiny(activation: nn.Module, seed: int = 0) -> nn.Sequential:
    """A network of 2 x 2 inputs with few weights, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), activation, nn.Linear(5, 3))
    return net.double().eval()


def tiny_examples(count: int = 40) -> Examples:
    """Random pictures of 2 x 2 pixels in three classes."""
    generator = torch.Generator().manual_seed(1)
    return Examples(
        inputs=torch.rand(count, 1, 2, 2, generator=generator),
        labels=torch.randint(0, 3, (count,), generator=generator),
        ids=torch.arange(count),
        dataset="own",
        split="all",
        num_classes=3,
    )

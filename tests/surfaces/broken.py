"""Models and attacks with one fault each, for the checks that must find it."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.surfaces.directions import RandomDirections, random_direction


class Broken(nn.Module):
    """A sound network, which subclasses spoil."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits


class NeverInEval(Broken):
    """`eval()` does nothing: BatchNorm keeps using and moving its statistics."""

    def eval(self) -> Self:
        return self.train()


class BatchStatistics(Broken):
    """In eval mode, but normalized over the batch."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits - logits.mean(dim=0) if len(logits) > 1 else logits


class Noisy(Broken):
    """Draws noise in eval mode."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits + torch.randn_like(logits)


class Remembers(Broken):
    """Changes its outputs a little with every call."""

    calls: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.network(inputs)
        return logits * (1 + 0.01 * self.calls)


class Writes(Broken):
    """Changes its inputs in place."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs.clone())
        with torch.no_grad():
            inputs.mul_(0.99)
        return logits


class Detached(Broken):
    """The weights that compute are no parameters: moving the parameters moves nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.kept = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(self.network, self.kept, (inputs,))
        return logits


class Quantized(Broken):
    """Masks its gradient: rounding the inputs has slope 0 nearly everywhere."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.round(inputs * 3) / 3)
        return logits


class Shattered(Broken):
    """Masks its gradient with a fine ripple, which the gradient follows and steps do not."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.round(inputs * 3) / 3 + 2e-3 * torch.sin(1e3 * inputs))
        return logits


class Constant(nn.Module):
    """Predicts one class, whatever it sees; its weights count, its inputs do not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(torch.ones_like(inputs.flatten(1)) + 0.0 * inputs.flatten(1))
        return F.pad(logits[:, 1:], (1, 0), value=5.0)


class Unnormalized(RandomDirections):
    """Claims filter norms and has none."""

    def direction(self, weights: Any, index: int) -> Any:
        return {name: draw for name, draw in random_direction(weights, seed=0, index=index).items() if draw.dim() > 1}

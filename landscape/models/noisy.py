"""Parametric noise injection: convolutions and linear layers whose weights carry trainable Gaussian noise.

PNI-W of He et al. (2019, "Parametric Noise Injection", Eq. 1-2), layer by layer and on every pass, at test as well:

    W~_l = W_l + alpha_l sigma_l eta_l,    eta_l ~ N(0, 1) for each weight,    sigma_l = standard deviation of W_l

with one trainable alpha_l for each layer; sigma_l is no part of the gradient. The noise is on weights, so a draw of it
is one network, the same for all examples. A measurement fixes the draw: its noise is a function of (seed, draw, layer),
the attack and the final prediction see that one network, and the losses of an example do not depend on the batch or on
the other examples. Noise of its own for each example would need the weights of each example apart, and an attack could
no longer be given a function of pictures. The price: the noise of one draw is common to all examples, so errors over
examples do not contain it, and only more draws average it out. In the reference implementation every pass draws anew,
also between the steps of an attack, which then cannot know the noise that classifies; here it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.errors import InputError, ModelError
from landscape.randomness import Stream, gaussian

KIND = "pni-w"
"""How checkpoints and surfaces call this noise."""

INITIAL_ALPHA = 0.25
"""Of every layer, as in the reference."""

MOST_DRAWS = 254
"""Counts of draws are kept in one byte."""

FIRST_BESIDE = 2**20
"""Number of the first draw that is not for measuring."""


@dataclass(frozen=True, kw_only=True)
class NoiseName:
    """Which noise a network has, beside the positions of its layers.

    Attributes:
        seed: of the run or the measurement.
        draw: in measuring the number of the draw, from 0; in training batch + 2^32 pass, both from 0.
        epoch: 0 in measuring; in training 1 + the finished epochs.
    """

    seed: int = 0
    draw: int = 0
    epoch: int = 0

    def numbers(self, position: int, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, dtype and device of `like`, in the logical order of its entries."""
        numbers = gaussian(
            like.numel(), seed=self.seed, stream=Stream.PARAMETRIC_NOISE, a=self.draw, b=position, c=self.epoch
        )
        noise = torch.from_numpy(numbers if like.dtype == torch.float64 else numbers.astype(np.float32))
        return noise.view(like.shape).to(like)


class NoisyLayer(nn.Module):
    """What noisy layers have in common; the noise itself is no part of their state.

    Attributes:
        weight: W, as in the layer without noise.
        alpha: (1,) scale of the noise, trained like any other parameter.
        position: among the noisy layers of the network.
        noise: which noise the next pass has.
    """

    weight: Tensor
    alpha: nn.Parameter
    position: int
    noise: NoiseName
    _eta: Tensor | None

    def begin(self, *, alpha: float, position: int) -> None:
        """Give a scale to what was a layer without noise."""
        self.alpha = nn.Parameter(torch.full((1,), alpha, dtype=self.weight.dtype, device=self.weight.device))
        self.position, self.noise, self._eta = position, NoiseName(), None

    def draw(self, noise: NoiseName) -> Tensor:
        """Have this noise from now on, drawn if it is not there."""
        if self._eta is None or noise != self.noise or self._eta.dtype != self.weight.dtype:
            self.noise, self._eta = noise, noise.numbers(self.position, self.weight.detach())
        return self._eta

    def noisy_weight(self) -> Tensor:
        """W + alpha sigma eta."""
        eta = self.draw(self.noise)
        # A single weight has no spread, and so no noise.
        sigma = self.weight.detach().std(correction=min(1, self.weight.numel() - 1))
        return self.weight + self.alpha * sigma * eta.to(self.weight)


class NoisyConv2d(NoisyLayer, nn.Conv2d):
    """A convolution with noise on its kernel."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        outputs: Tensor = self._conv_forward(inputs, self.noisy_weight(), self.bias)
        return outputs


class NoisyLinear(NoisyLayer, nn.Linear):
    """A linear layer with noise on its matrix."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, ..., F) to (B, ..., F')."""
        outputs: Tensor = functional.linear(inputs, self.noisy_weight(), self.bias)
        return outputs


NOISY: Mapping[type[nn.Module], type[NoisyLayer]] = {nn.Conv2d: NoisyConv2d, nn.Linear: NoisyLinear}
"""Which layers can have noise. Classes that are made from these may compute anything, and have none."""


def inject_noise(network: nn.Module, *, alpha: float = INITIAL_ALPHA) -> nn.Module:
    """Give noise to every convolution and linear layer, which keep their parameters and names.

    Args:
        network: changed in place; one that has noise already stays as it is.
        alpha: initial scale of the noise of every layer, at least 0.

    Returns:
        The network.

    Raises:
        ModelError: it has no such layer of torch's own.
    """
    if is_noisy(network):
        return network
    layers = [module for module in network.modules() if type(module) in NOISY]
    if not layers:
        raise ModelError(
            "parametric noise goes on the weights of torch's Conv2d and Linear layers, and this network has none; "
            "choose another network or method."
        )
    for position, layer in enumerate(layers):
        # Only the class changes: parameters, buffers, hooks and names stay.
        layer.__class__ = NOISY[type(layer)]
        if isinstance(layer, NoisyLayer):
            layer.begin(alpha=alpha, position=position)
    return network


def noise_scales(model: nn.Module) -> dict[str, nn.Parameter]:
    """alpha of every noisy layer, by the names of the parameters."""
    scales = {id(module.alpha) for module in model.modules() if isinstance(module, NoisyLayer)}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in scales}


def is_noisy(model: nn.Module) -> bool:
    """Whether a layer of the model is noisy."""
    return any(isinstance(module, NoisyLayer) for module in model.modules())


def set_noise(model: nn.Module, noise: NoiseName) -> None:
    """Say which noise the model has from now on; without effect on one that has none."""
    for module in model.modules():
        if isinstance(module, NoisyLayer):
            module.draw(noise)


@dataclass(frozen=True, kw_only=True)
class NoiseDraws:
    """The draws of noise that a measurement is averaged over.

    Attributes:
        seed: of the noise.
        count: how many draws, from 1 to 254; without effect on a model without noise.

    Raises:
        InputError: another number of draws.
    """

    seed: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_DRAWS:
            raise InputError(f"noise is averaged over 1 to {MOST_DRAWS} draws, got {self.count}.")

    def settings(self) -> dict[str, Any]:
        """For the key of a surface of a noisy model."""
        return {"kind": KIND, "seed": self.seed, "draws": self.count}

    def of(self, model: nn.Module) -> Iterator[int]:
        """Give the model one draw of noise after the other, and yield each number; once for a model without noise."""
        for draw in range(self.count if is_noisy(model) else 1):
            set_noise(model, NoiseName(seed=self.seed, draw=draw))
            yield draw

    def beside(self, model: nn.Module, turn: int) -> Iterator[int]:
        """As `of` with draws that no measurement has, other ones each turn; afterwards the model has the noise it had.

        For attackers, who do not know the noise that will classify.
        """
        kept = {module: module.noise for module in model.modules() if isinstance(module, NoisyLayer)}
        try:
            for draw in range(self.count if kept else 1):
                set_noise(model, NoiseName(seed=self.seed, draw=FIRST_BESIDE + turn * self.count + draw))
                yield draw
        finally:
            for layer, noise in kept.items():
                layer.draw(noise)

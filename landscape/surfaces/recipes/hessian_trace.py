"""The trace of the Hessian of the loss on fixed adversarial examples, by Hutchinson's estimator."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from landscape.attacks.pgd import NoAttack
from landscape.devices import arithmetic
from landscape.errors import InputError
from landscape.models.noisy import NoiseDraws
from landscape.randomness import Stream, rademacher
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.recipes.loss_of_weights import LossOfWeights
from landscape.surfaces.recipes.models import Remembered, module_of
from landscape.surfaces.recipes.worst_case import examples_settings, noise_settings
from landscape.weights import Weights, digest_weights

if TYPE_CHECKING:
    from torch import nn

    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, Landmark


@dataclass(frozen=True, kw_only=True, eq=False)
class HessianTraceProbes:
    """Random signs v and the numbers v^T H v, whose mean is the trace of H (Hutchinson 1989).

    H = d^2 L / dw^2 over all parameters that move, one-dimensional ones too, where L is the mean cross-entropy on
    examples x' made at w that stay as they are, in eval mode with running statistics frozen: the Hessian of
    `HessianDirections`, with what is said there about kinks. For independent signs E[v^T H v] = tr H exactly, with
    variance 2 sum_{i != j} H_ij^2.

    Attributes:
        model: takes inputs in [0, 1].
        examples: over which the loss is a mean.
        attack: makes x'; None takes the examples themselves.
        count: how many probes.
        layers: regular expression; only parameters whose name contains a match are in w.
        seed: of the probes, the same for models of one shape, and of the attack's random starts.
        device: where it is computed.
        noise: draws that the loss is averaged over, of a model with parametric noise.

    Raises:
        InputError: no probe is asked for, or a pattern does not compile.
    """

    model: nn.Module | Checkpoint
    examples: Examples
    attack: Attack | None
    count: int
    layers: str | None = None
    seed: int = 0
    device: torch.device | str = "cpu"
    noise: NoiseDraws = field(default_factory=NoiseDraws)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"a trace takes at least 1 probe, got {self.count}.")
        RandomDirections(layers=self.layers)

    def settings(self) -> dict[str, Any]:
        """Everything that determines the probes and their numbers: model, examples and attack by their content."""
        attack = NoAttack() if self.attack is None else self.attack
        return {
            "kind": "hessian-trace",
            "model": digest_weights(module_of(self.model)),
            "examples": examples_settings(self.examples),
            "attack": {**attack.settings(), "seed": self.seed},
            "loss": "cross-entropy",
            "probes": self.count,
            "layers": self.layers,
            **noise_settings(module_of(self.model), self.noise),
        }

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters in the layers asked for, of any dimension.

        Raises:
            InputError: there is none.
        """
        return RandomDirections(layers=self.layers, one_dim="copy").moving(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """Probe `index`: a sign for every number of the parameters that move."""
        positions = {name: position for position, name in enumerate(weights)}
        signs = {}
        for name in self.moving(weights):
            numbers = rademacher(
                weights[name].numel(), seed=self.seed, stream=Stream.TRACE_PROBE, a=index, b=positions[name]
            )
            signs[name] = torch.from_numpy(numbers).view(weights[name].shape).to(weights[name])
        return signs

    def quadratic_forms(self, weights: Weights) -> list[float]:
        """v^T H v at `weights` for each of the `count` probes; their mean estimates the trace."""
        return self._forms(weights)

    def facts(self, weights: Weights, count: int) -> dict[str, Any]:
        """The quadratic forms of all probes, whatever the number of directions."""
        return {"quadratic_forms": self.quadratic_forms(weights)}

    def landmarks(self, weights: Weights, count: int) -> list[Landmark]:
        """None: no other model is looked at."""
        return []

    @cached_property
    def _forms(self) -> Remembered[list[float]]:
        return Remembered(self._compute)

    def _compute(self, weights: Weights) -> list[float]:
        names = self.moving(weights)
        loss = LossOfWeights(module_of(self.model), self.examples, names, self.device, noise=self.noise)
        with arithmetic("fp32", loss.device):
            inputs = loss.craft(weights, self.attack or NoAttack(), seed=self.seed)
            forms = []
            for index in range(self.count):
                probe = self.direction(weights, index)
                signs = [probe[name].to(loss.device) for name in names]
                products = loss.hessian_product(weights, inputs, signs)
                forms.append(sum(float((v.double() * p.double()).sum()) for v, p in zip(signs, products, strict=True)))
        return forms

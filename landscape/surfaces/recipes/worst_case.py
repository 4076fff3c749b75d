"""The direction in which the adversarial loss rises most: adversarial weight perturbation as a direction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from landscape.attacks.pgd import NoAttack
from landscape.devices import arithmetic
from landscape.errors import InputError
from landscape.files import digest_json
from landscape.models.noisy import NoiseDraws, is_noisy
from landscape.relative_ball import RelativeBall
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.recipes.loss_of_weights import LossOfWeights
from landscape.surfaces.recipes.models import Remembered, module_of
from landscape.weights import Weights, digest_weights, displaced

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack

GAMMA = 0.01

NUM_STEPS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstCaseDirection:
    """Ascent on the adversarial loss in the ball ||v_l|| <= gamma ||w_l|| (AWP, Wu et al. 2020, Eq. 8-10).

    From v = 0, `num_steps` times: adversarial examples are made at w + v, then for every parameter with more than one
    dimension

        v_l <- P(v_l + (gamma / num_steps) ||w_l|| g_l / ||g_l||),    g = gradient of the mean loss at w + v.

    The direction is v with each v_l scaled to ||w_l||: a displacement of gamma lies on the ball's surface, and the unit
    is that of layer-normalized random directions. One step is AWP's own perturbation. Eval mode, running statistics
    frozen: it is this direction whatever is measured along it.

    Attributes:
        model: in whose loss to ascend; takes inputs in [0, 1].
        examples: over which the loss is a mean.
        attack: makes the adversarial examples; None ascends on the natural loss.
        gamma: relative radius of the ball, above 0.
        num_steps: gradient steps, at least 1.
        layers: regular expression, as in `RandomDirections`.
        seed: of the attack's random starts.
        device: where it is computed.
        noise: draws that the loss is averaged over, of a model with parametric noise.

    Raises:
        InputError: a number outside its range, or a pattern that does not compile.
    """

    model: nn.Module | Checkpoint
    examples: Examples
    attack: Attack | None
    gamma: float = GAMMA
    num_steps: int = NUM_STEPS
    layers: str | None = None
    seed: int = 0
    device: torch.device | str = "cpu"
    noise: NoiseDraws = field(default_factory=NoiseDraws)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise InputError(f"gamma of a worst-case direction is a finite number above 0, got {self.gamma:g}.")
        if self.num_steps < 1:
            raise InputError(f"a worst-case direction takes at least 1 step, got {self.num_steps}.")
        RandomDirections(layers=self.layers)

    def settings(self) -> dict[str, Any]:
        """Everything that determines the direction: model, examples and attack by their content."""
        attack = NoAttack() if self.attack is None else self.attack
        return {
            "kind": "worst-case",
            "model": digest_weights(module_of(self.model)),
            "examples": examples_settings(self.examples),
            "attack": {**attack.settings(), "seed": self.seed},
            "loss": "cross-entropy",
            "gamma": float(self.gamma),
            "num_steps": self.num_steps,
            "layers": self.layers,
            **noise_settings(module_of(self.model), self.noise),
        }

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters that move: those with more than one dimension, in the layers asked for.

        Raises:
            InputError: none does.
        """
        return RandomDirections(layers=self.layers).moving(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """The worst case at `weights` for `index` 0; beyond it random directions, for the second axis of a plane."""
        if index:
            return RandomDirections(seed=self.seed, norm="layer", layers=self.layers).direction(weights, index)
        return self._ascended(weights)

    @cached_property
    def _ascended(self) -> Remembered[Weights]:
        return Remembered(self._ascend)

    def _ascend(self, weights: Weights) -> Weights:
        names = self.moving(weights)
        loss = LossOfWeights(module_of(self.model), self.examples, names, self.device, noise=self.noise)
        center = {name: weight.to(loss.device) for name, weight in weights.items()}
        origin = [center[name] for name in names]
        ball = RelativeBall(gamma=self.gamma)
        v: list[Tensor] = [torch.zeros_like(weight) for weight in origin]
        with arithmetic("fp32", loss.device):
            for _ in range(self.num_steps):
                there = displaced(center, (1.0, dict(zip(names, v, strict=True))))
                inputs = loss.craft(there, self.attack or NoAttack(), seed=self.seed)
                step = ball.along(origin, loss.gradient(there, inputs), 1.0 / self.num_steps)
                v = ball.project(origin, [a + b for a, b in zip(v, step, strict=True)])
        longest = RelativeBall(gamma=1.0).along(origin, v)
        return {name: part.to(weights[name]) for name, part in zip(names, longest, strict=True)}


def examples_settings(examples: Examples) -> dict[str, Any]:
    """The content of examples, for a surface's key."""
    return {"digest": examples.digest(), "ids": digest_json(examples.ids.tolist())}


def noise_settings(model: nn.Module, noise: NoiseDraws) -> dict[str, Any]:
    """The draws of noise that a direction is made under, for a surface's key; the usual single draw goes unsaid."""
    return {"noise": noise.settings()} if is_noisy(model) and noise != NoiseDraws() else {}

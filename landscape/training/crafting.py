"""How an update makes its adversarial examples: by which attack, in which mode of the live model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from landscape.attacks.pgd import PGD
from landscape.attacks.starts import CPU
from landscape.devices import sent
from landscape.losses import cross_entropy, kl_divergence
from landscape.randomness import Stream, gaussian

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Forward
    from landscape.training.objectives import Batch

    AscendedLoss = Callable[[Forward, Tensor, Tensor], Callable[[Tensor], Tensor]]
    """(forward, inputs, labels) -> a function that gives the loss (B,) of adversarial inputs (B, C, H, W)."""

NOISE = 0.001
"""Standard deviation of the starts of TRADES and MART: at x itself the divergence has no gradient."""


class Crafting(Protocol):
    """Makes the examples that a loss is taken at."""

    def starts(
        self, ids: Tensor, shape: tuple[int, ...], *, seed: int, epoch: int, device: torch.device = CPU
    ) -> Tensor | None:
        """Random starts (A, n, C, H, W), one for each alternation; None if there are none.

        Args:
            ids: (n,) int64 ids of the examples, on the CPU.
            shape: (C, H, W).
            seed: of the run.
            epoch: 1 + the epochs finished; 0 is for measuring.
            device: where they are wanted.
        """
        ...

    def __call__(self, model: nn.Module, batch: Batch, *, alternation: int) -> Tensor:
        """The examples x' (B, C, H, W) in [0, 1], made at the present weights of the live model."""
        ...

    def weaker(self, share: float) -> Crafting:
        """The same with radius and step times `share`."""
        ...


class NoCrafting:
    """The inputs themselves."""

    def starts(
        self, ids: Tensor, shape: tuple[int, ...], *, seed: int, epoch: int, device: torch.device = CPU
    ) -> Tensor | None:
        """None: nothing is random."""
        return None

    def __call__(self, model: nn.Module, batch: Batch, *, alternation: int) -> Tensor:
        """The inputs."""
        return batch.inputs

    def weaker(self, share: float) -> NoCrafting:
        """Itself."""
        return self


@dataclass(frozen=True, kw_only=True)
class UniformCrafting:
    """PGD from a random start in the ball on the live model, as adversarial training has it.

    In training mode, as in the reference, the attack sees batch statistics and each of its passes moves BatchNorm's
    running statistics. So does one more pass at x', whose loss the reference reports. In eval mode nothing moves.

    Attributes:
        attack: PGD with as many restarts as there are alternations.
        training_mode: whether the attack runs in training mode.
    """

    attack: PGD
    training_mode: bool = True

    def starts(
        self, ids: Tensor, shape: tuple[int, ...], *, seed: int, epoch: int, device: torch.device = CPU
    ) -> Tensor | None:
        """The starts of the attack."""
        return self.attack.starts(ids, shape, seed=seed, epoch=epoch, device=device)

    def __call__(self, model: nn.Module, batch: Batch, *, alternation: int) -> Tensor:
        """The last iterate."""
        starts = None if batch.starts is None else batch.starts[alternation : alternation + 1]
        with torch.no_grad(), in_mode(model, training=self.training_mode):
            with frozen(model):
                (adversarial,) = self.attack.restarts(model, batch.inputs, batch.labels, starts)
            if self.training_mode:
                model(adversarial)
        return adversarial

    def weaker(self, share: float) -> UniformCrafting:
        """The same with radius and step times `share`."""
        attack = self.attack
        attack = replace(attack, threat=_smaller(attack.threat, share), step_size=share * attack.step_size)
        return replace(self, attack=attack)


@dataclass(frozen=True, kw_only=True)
class NoiseCrafting:
    """Gradient ascent from x + 0.001 N(0, 1), as the references of TRADES and MART have it.

    L-inf: steps of `step_size` along the sign, projection to the ball, then to the pixel box. L2: steps of
    2 epsilon / num_steps along the unit gradient, whatever `step_size` is, projection to the pixel box, then to the
    ball, as the reference of TRADES-AWP; a gradient that is exactly zero gives no step (there it gives NaN).

    Attributes:
        threat: the ball.
        step_size: length of an L-inf step, in units of inputs in [0, 1].
        num_steps: at least 1.
        loss: what is ascended.
        num_alternations: how many starts each example has.
        training_mode: whether the live model is in training mode; the references use eval mode.
    """

    threat: ThreatModel
    step_size: float
    num_steps: int
    loss: AscendedLoss
    num_alternations: int = 1
    training_mode: bool = False

    def starts(
        self, ids: Tensor, shape: tuple[int, ...], *, seed: int, epoch: int, device: torch.device = CPU
    ) -> Tensor:
        """Gaussian starts (A, n, C, H, W) float32, a function of (seed, example id, alternation, epoch) alone."""
        numbers = np.empty((self.num_alternations, len(ids), math.prod(shape)), dtype=np.float32)
        for alternation in range(self.num_alternations):
            for row, example in enumerate(ids.tolist()):
                numbers[alternation, row] = NOISE * gaussian(
                    math.prod(shape), seed=seed, stream=Stream.ATTACK_START, a=example, b=alternation, c=epoch
                )
        return sent(torch.from_numpy(numbers).view(self.num_alternations, len(ids), *shape), device)

    def __call__(self, model: nn.Module, batch: Batch, *, alternation: int) -> Tensor:
        """The last iterate."""
        inputs = batch.inputs
        delta = torch.zeros_like(inputs) if batch.starts is None else batch.starts[alternation]
        with torch.no_grad(), in_mode(model, training=self.training_mode), frozen(model):
            loss_at = self.loss(model, inputs, batch.labels)
            for _ in range(self.num_steps):
                delta = self._step(inputs, delta, _gradient(loss_at, inputs + delta))
            return (inputs + delta).clamp(0.0, 1.0)

    def weaker(self, share: float) -> NoiseCrafting:
        """The same with radius and step times `share`."""
        return replace(self, threat=_smaller(self.threat, share), step_size=share * self.step_size)

    def _step(self, inputs: Tensor, delta: Tensor, gradient: Tensor) -> Tensor:
        if self.threat.norm == "linf":
            return self.threat.step(delta, gradient, self.step_size).clamp(-inputs, 1.0 - inputs)
        norms = gradient.flatten(1).norm(dim=1).view(-1, *[1] * (gradient.dim() - 1))
        unit = gradient / torch.where(norms > 0, norms, torch.ones_like(norms))
        moved = delta + 2.0 * self.threat.epsilon / self.num_steps * unit
        return self.threat.project(moved.clamp(-inputs, 1.0 - inputs))


def classification(forward: Forward, inputs: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The cross-entropy, which MART ascends."""
    return lambda adversarial: cross_entropy(forward(adversarial), labels)


def divergence(forward: Forward, inputs: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """KL(f(x) || f(x')), which TRADES ascends; f(x) is computed once, since it is the same in every step."""
    clean = forward(inputs)
    return lambda adversarial: kl_divergence(clean, forward(adversarial))


@contextlib.contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in training or eval mode for a block; a training mode is left as the caller has set it."""
    if training:
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient within the block: a compiled way back gives all that were ever asked for."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _smaller(threat: ThreatModel, share: float) -> ThreatModel:
    return replace(threat, epsilon=share * threat.epsilon)


def _gradient(loss_at: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_at(inputs).sum(), [inputs])
    return gradient

"""Projected gradient descent and its one-step relatives, on a model given as a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, Protocol

import torch

from landscape.attacks.starts import CPU, random_starts
from landscape.errors import InputError, ModelError
from landscape.losses import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Attack, Forward


class AscendedLoss(Protocol):
    """A loss that an attack ascends."""

    def settings(self) -> Mapping[str, Any]:
        """What determines it, as plain JSON values."""
        ...

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Losses (B,) of logits (B, K) and labels (B,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class PGD:
    """PGD as in the reference implementation of AWP (Wu et al. 2020, Eq. 14), on per-example losses.

    From a random start in the ball, `num_steps` times: a step along the input gradient of the loss, projection to the
    ball, then to the pixel box [0, 1]. The last iterate is returned, not the best one. The gradient is that of the sum
    over the batch, not of its mean as in the reference, so that an example's result does not depend on the batch (this
    matters in L2 only, where 1e-10 is added to the gradient's norm).

    Attributes:
        threat: the ball.
        step_size: length of a step, in units of inputs in [0, 1]; at least 0.
        num_steps: gradient steps, at least 1.
        num_restarts: independent random starts, at least 1.
        random_start: whether to start at random; otherwise at the input.
        loss: what it ascends; the cross-entropy by default.

    Raises:
        InputError: a number outside its range.
    """

    threat: ThreatModel
    step_size: float
    num_steps: int
    num_restarts: int = 1
    random_start: bool = True
    loss: AscendedLoss | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_size", float(self.step_size))
        object.__setattr__(self, "num_steps", index(self.num_steps))
        object.__setattr__(self, "num_restarts", index(self.num_restarts))
        if not (math.isfinite(self.step_size) and self.step_size >= 0):
            raise InputError(f"the step size of an attack is a finite number of at least 0, got {self.step_size:g}.")
        if self.num_steps < 1 or self.num_restarts < 1:
            raise InputError(f"an attack has at least 1 step and 1 restart, got {self.num_steps}, {self.num_restarts}.")
        if not self.random_start and self.num_restarts > 1:
            raise InputError(f"restarts without a random start are all equal; ask for 1, got {self.num_restarts}.")

    def settings(self) -> dict[str, Any]:
        """Everything that determines the result, for a surface's key."""
        return {
            "name": "pgd",
            **self.threat.settings(),
            "step_size": self.step_size,
            "num_steps": self.num_steps,
            "num_restarts": self.num_restarts,
            "random_start": self.random_start,
            # Not named where it is the cross-entropy: keys from before there was a choice stay what they are.
            **({} if self.loss is None else {"loss": dict(self.loss.settings())}),
        }

    def starts(
        self, ids: Tensor, shape: tuple[int, ...], *, seed: int, epoch: int = 0, device: torch.device = CPU
    ) -> Tensor | None:
        """Random starts (restarts, n, C, H, W) by `random_starts`; None without a random start."""
        if not self.random_start:
            return None
        count = self.num_restarts
        return random_starts(self.threat, ids, shape, seed=seed, num_restarts=count, epoch=epoch, device=device)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs, once for each start."""
        for start in [torch.zeros_like(inputs)] if starts is None else starts:
            yield self.ascend(inputs, start, lambda moved: input_gradient(forward, moved, labels, loss=self.loss))

    def __call__(
        self, forward: Forward, inputs: Tensor, labels: Tensor, *, ids: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """The adversarial inputs with the largest loss over the restarts; see `strongest`."""
        return strongest(self, forward, inputs, labels, ids=ids, seed=seed)

    def ascend(self, inputs: Tensor, start: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
        """The last of `num_steps` iterates from `start`, along `gradient` of the moved inputs (B, C, H, W)."""
        lower, upper = -inputs, 1.0 - inputs
        delta = start.clamp(lower, upper)
        for _ in range(self.num_steps):
            delta = self.threat.step(delta, gradient(inputs + delta), self.step_size).clamp(lower, upper)
        return (inputs + delta).clamp(0.0, 1.0)


def FGSM(*, threat: ThreatModel, random_start: bool = False, step_size: float | None = None) -> PGD:  # noqa: N802
    """One gradient step of length epsilon from the input itself (A-app, Eq. 13); a random start makes it FGSM-RS."""
    size = threat.epsilon if step_size is None else step_size
    return PGD(threat=threat, step_size=size, num_steps=1, random_start=random_start)


@dataclass(frozen=True, kw_only=True)
class NoAttack:
    """The input itself, unchanged: the natural loss takes the place of the adversarial one."""

    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "none"}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """None: nothing is random."""
        return None

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield the inputs once."""
        yield inputs

    def __call__(
        self, forward: Forward, inputs: Tensor, labels: Tensor, *, ids: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """The inputs."""
        return inputs


def input_gradient(forward: Forward, inputs: Tensor, labels: Tensor, *, loss: AscendedLoss | None = None) -> Tensor:
    """Gradient of the summed loss with respect to the inputs (B, C, H, W); parameters get none.

    The loss is the cross-entropy by default.

    Raises:
        ModelError: the logits do not depend on the inputs by any path that autograd knows.
    """
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        total = (loss or cross_entropy)(forward(inputs), labels).sum()
        if not total.requires_grad:
            raise ModelError("the model's logits carry no gradient to its inputs; its forward must not detach them.")
        (gradient,) = torch.autograd.grad(total, [inputs])
    return gradient


@torch.no_grad()
def strongest(
    attack: Attack, forward: Forward, inputs: Tensor, labels: Tensor, *, ids: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Adversarial inputs with the largest cross-entropy over the attack's restarts.

    Args:
        attack: the attack.
        forward: inputs (B, C, H, W) in [0, 1] -> logits (B, K).
        inputs: (B, C, H, W) in [0, 1].
        labels: (B,) int64.
        ids: (B,) int64, whose random starts to use; 0 ... B - 1 by default.
        seed: seed of the random starts.

    Returns:
        (B, C, H, W) in [0, 1] and in the ball.
    """
    ids = torch.arange(len(inputs)) if ids is None else ids
    starts = attack.starts(ids, tuple(inputs.shape[1:]), seed=seed)
    starts = None if starts is None else starts.to(inputs)
    best, best_loss = inputs, torch.full((len(inputs),), -torch.inf, device=inputs.device)
    for adversarial in attack.restarts(forward, inputs, labels, starts):
        loss = cross_entropy(forward(adversarial), labels)
        better = loss > best_loss
        best = torch.where(better.view(-1, *[1] * (inputs.dim() - 1)), adversarial, best)
        best_loss = torch.where(better, loss, best_loss)
    return best

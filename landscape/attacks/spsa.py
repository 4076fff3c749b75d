"""SPSA: a black-box attack that estimates gradients from values of the loss (Uesato et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from landscape.attacks.starts import random_starts, words_of
from landscape.errors import InputError
from landscape.losses import margin

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Forward

FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8
"""Of Adam, as usual."""


@dataclass(frozen=True, kw_only=True)
class SPSA:
    """Adam on the margin loss with gradients estimated at random pairs of points, then projection to ball and box.

    With J the margin max_{k != y} z_k - z_y and s_i random signs of all pixels, the estimate is the mean over pairs of

        (J(x + delta s_i) - J(x - delta s_i)) / (2 delta) s_i        (Spall 1992; Uesato et al., Algorithm 1)

    An example is left alone as soon as it is misclassified. Signs belong to (start, step), so an example's result does
    not depend on its batch.

    Attributes:
        threat: the ball.
        num_steps: iterations.
        step_size: the learning rate of Adam, above 0.
        delta: distance of the pairs, in units of inputs in [0, 1], above 0.
        num_samples: evaluations for each estimate, in pairs; even.
        num_restarts: independent random starts.

    Raises:
        InputError: a number outside its range.
    """

    threat: ThreatModel
    num_steps: int = 100
    step_size: float = 0.01
    delta: float = 0.001
    num_samples: int = 256
    num_restarts: int = 1

    def __post_init__(self) -> None:
        for name in ("step_size", "delta"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("num_steps", "num_samples", "num_restarts"):
            object.__setattr__(self, name, index(getattr(self, name)))
        if not (math.isfinite(self.step_size) and self.step_size > 0 and math.isfinite(self.delta) and self.delta > 0):
            raise InputError(
                f"the step size and delta of SPSA are finite and above 0, got {self.step_size:g}, {self.delta:g}."
            )
        if min(self.num_steps, self.num_restarts) < 1 or self.num_samples < 2 or self.num_samples % 2:
            raise InputError(
                "SPSA has at least 1 step, 1 restart and 2 samples, an even number, got "
                f"{self.num_steps}, {self.num_restarts}, {self.num_samples}."
            )

    def settings(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "name": "spsa",
            **self.threat.settings(),
            "step_size": self.step_size,
            "num_steps": self.num_steps,
            "num_restarts": self.num_restarts,
            "delta": self.delta,
            "num_samples": self.num_samples,
        }

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Random starts, as PGD's."""
        return random_starts(self.threat, ids, shape, seed=seed, num_restarts=self.num_restarts)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs, once for each start."""
        if starts is None:
            raise InputError("SPSA needs the random starts that its noise belongs to.")
        for start in starts:
            yield self._ascend(forward, inputs, labels, start)

    @torch.no_grad()
    def _ascend(self, forward: Forward, inputs: Tensor, labels: Tensor, start: Tensor) -> Tensor:
        moved = (inputs + start.clamp(-inputs, 1.0 - inputs)).clamp(0.0, 1.0)
        first, second = torch.zeros_like(inputs), torch.zeros_like(inputs)
        for step in range(1, self.num_steps + 1):
            rows = torch.nonzero(~(margin(forward(moved), labels) > 0)).flatten()
            if not len(rows):
                break
            signs = self._signs(start[rows], step).to(inputs)
            # As many pairs together as fill a batch: fewer examples are left the longer it takes.
            at_once = max(1, len(inputs) // len(rows))
            gradient = self._estimate(forward, moved[rows], labels[rows], signs, at_once=at_once)
            first[rows] = FIRST_DECAY * first[rows] + (1 - FIRST_DECAY) * gradient
            second[rows] = SECOND_DECAY * second[rows] + (1 - SECOND_DECAY) * gradient**2
            scale = torch.sqrt(second[rows] / (1 - SECOND_DECAY**step)) + TINY
            ascent = first[rows] / (1 - FIRST_DECAY**step) / scale
            delta = self.threat.project(moved[rows] + self.step_size * ascent - inputs[rows])
            moved[rows] = (inputs[rows] + delta).clamp(0.0, 1.0)
        return moved

    def _estimate(self, forward: Forward, inputs: Tensor, labels: Tensor, signs: Tensor, *, at_once: int) -> Tensor:
        """(b, C, H, W) mean over pairs, of which `at_once` are one batch."""
        total = torch.zeros_like(inputs)
        for some in torch.split(signs, at_once):
            sides = torch.stack([inputs + self.delta * some, inputs - self.delta * some])
            losses = margin(forward(sides.flatten(0, 2)), labels.repeat(2 * len(some))).view(2, len(some), -1)
            total += ((losses[0] - losses[1])[:, :, None, None, None] * some).sum(dim=0)
        return total / (2 * self.delta * len(signs))

    def _signs(self, starts: Tensor, step: int) -> Tensor:
        """(pairs, b, C, H, W) of -1 and 1, bit by bit from the words of each start."""
        shape = (self.num_samples // 2, *starts.shape[1:])
        count = math.prod(shape)
        words = [words_of(start, -(-count // 64), turn=step) for start in starts.cpu()]
        bits = [np.unpackbits(row.view(np.uint8))[:count].reshape(shape) for row in words]
        return torch.from_numpy(np.stack(bits, axis=1)).to(torch.int8) * 2 - 1

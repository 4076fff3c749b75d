"""The plain loop that `sweep.py` compares with: what one writes around the common loss-landscape tool in an afternoon.

For every point a state dict is moved on the CPU and loaded; PGD follows the textbook: NCHW, float32, `loss.backward()`
with the gradients of all parameters left on, the mean loss over the batch, `x + clamp(x_adv - x)`. It shares the
directions, examples and random starts with the package and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NaiveLoop:
    """The losses of a model along one direction.

    Attributes:
        model: its weights are overwritten.
        state: the state dict of the centre.
        direction: what is added, by name; other entries stay.
        inputs: (n, C, H, W) in [0, 1].
        labels: (n,).
        starts: (n, C, H, W) random starts in the L-inf ball.
        epsilon: radius of the ball.
        step_size: of a PGD step.
        num_steps: of PGD.
    """

    model: nn.Module
    state: dict[str, Tensor]
    direction: dict[str, Tensor]
    inputs: Tensor
    labels: Tensor
    starts: Tensor
    epsilon: float
    step_size: float
    num_steps: int

    def sweep(self, alphas: Sequence[float], batch_size: int) -> list[tuple[float, float]]:
        """(mean adversarial loss, mean clean loss) at every alpha."""
        losses = []
        for alpha in alphas:
            self.move(alpha)
            losses.append(self._evaluate(batch_size))
        return losses

    def move(self, alpha: float) -> None:
        moved = {}
        for name, weight in self.state.items():
            moved[name] = weight + alpha * self.direction[name] if name in self.direction else weight
        self.model.load_state_dict(moved)
        self.model.eval()

    def input_gradient(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Gradient of the mean loss over the batch."""
        inputs = inputs.clone().detach().requires_grad_(True)
        self.model.zero_grad()
        loss = F.cross_entropy(self.model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        if inputs.grad is None:
            raise RuntimeError("the loss does not depend on the inputs")
        return inputs.grad

    def _evaluate(self, batch_size: int) -> tuple[float, float]:
        adversarial_sum, clean_sum = 0.0, 0.0
        for first in range(0, len(self.inputs), batch_size):
            rows = slice(first, first + batch_size)
            inputs, labels = self.inputs[rows], self.labels[rows]
            adversarial = self._attack(inputs, labels, self.starts[rows])
            with torch.no_grad():
                adversarial_sum += F.cross_entropy(self.model(adversarial), labels, reduction="sum").item()
                clean_sum += F.cross_entropy(self.model(inputs), labels, reduction="sum").item()
        return adversarial_sum / len(self.inputs), clean_sum / len(self.inputs)

    def _attack(self, inputs: Tensor, labels: Tensor, starts: Tensor) -> Tensor:
        adversarial = torch.clamp(inputs + starts, 0, 1)
        for _ in range(self.num_steps):
            gradient = self.input_gradient(adversarial, labels)
            adversarial = adversarial.detach() + self.step_size * gradient.sign()
            delta = torch.clamp(adversarial - inputs, -self.epsilon, self.epsilon)
            adversarial = torch.clamp(inputs + delta, 0, 1).detach()
        return adversarial

"""AT-AWP as its paper's code does it: a proxy network, state dicts back and forth, gradients of everything.

Plain and in NCHW; the benchmark of epochs and its check of equality are in `awp_epoch.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Start = Callable[[Tensor], Tensor]
"""Random starts in the ball for inputs."""


@dataclass(kw_only=True)
class NaiveTraining:
    """A network in training mode with its optimizer and its proxy.

    Attributes:
        model: trained in place.
        lr: constant.
        gamma: ||v_l|| / ||w_l||.
        epsilon, step_size, num_steps: of the attack, L-inf.
        start: of the attack.
    """

    model: nn.Module
    lr: float
    gamma: float
    weight_decay: float
    epsilon: float
    step_size: float
    num_steps: int
    start: Start
    proxy: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.model.train()
        self.proxy = copy.deepcopy(self.model)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=self.lr, momentum=0.9, weight_decay=self.weight_decay
        )
        self.proxy_optimizer = torch.optim.SGD(self.proxy.parameters(), lr=0.01)

    def epoch(self, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
        """Sums of the losses at w + v and of the natural losses after each update."""
        robust, natural = 0.0, 0.0
        for inputs, labels in batches:
            loss = self.step(inputs, labels)
            robust += loss * len(labels)
            natural += F.cross_entropy(self.model(inputs), labels).item() * len(labels)
        return robust, natural

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """One update without the natural pass after it; the loss at w + v."""
        adversarial = self._attack(inputs, labels)
        move = self._climb(adversarial, labels)
        self._add(move, self.gamma)
        loss = F.cross_entropy(self.model(adversarial), labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        self.optimizer.step()
        self._add(move, -self.gamma)
        return loss.item()

    def _attack(self, inputs: Tensor, labels: Tensor) -> Tensor:
        delta = torch.max(torch.min(self.start(inputs), 1 - inputs), -inputs).requires_grad_(True)
        for _ in range(self.num_steps):
            F.cross_entropy(self.model(inputs + delta), labels).backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
            if delta.grad is None:
                raise RuntimeError("the loss does not depend on the inputs")
            moved = torch.clamp(delta.detach() + self.step_size * delta.grad.sign(), -self.epsilon, self.epsilon)
            delta.data = torch.max(torch.min(moved, 1 - inputs), -inputs)
            delta.grad.zero_()
        F.cross_entropy(self.model(inputs + delta), labels, reduction="none")  # which restart was the strongest
        return torch.clamp(inputs + delta.detach(), 0, 1)

    def _climb(self, adversarial: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """||w_l|| d_l / ||d_l||, d the step of the proxy against its loss."""
        self.proxy.load_state_dict(self.model.state_dict())
        self.proxy.train()
        loss = -F.cross_entropy(self.proxy(adversarial), labels)
        self.proxy_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        self.proxy_optimizer.step()
        moved = self.proxy.state_dict()
        move = {}
        for name, weight in self.model.state_dict().items():
            if weight.dim() > 1 and "weight" in name:
                difference = moved[name] - weight
                move[name] = weight.norm() / (difference.norm() + 1e-20) * difference
        return move

    def _add(self, move: dict[str, Tensor], factor: float) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in move:
                    parameter.add_(factor * move[name])

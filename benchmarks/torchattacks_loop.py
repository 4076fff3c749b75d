"""The plain loop with the PGD of torchattacks, an optional package: `pip install --no-deps torchattacks`."""

from __future__ import annotations

import torchattacks
from naive import NaiveLoop
from torch import Tensor


class TorchattacksLoop(NaiveLoop):
    """Moves weights as `NaiveLoop` does and attacks as users of torchattacks do, from the inputs themselves.

    Its PGD draws its random starts from the global generator, which no other side could share.
    """

    def _attack(self, inputs: Tensor, labels: Tensor, starts: Tensor) -> Tensor:
        attack = torchattacks.PGD(
            self.model, eps=self.epsilon, alpha=self.step_size, steps=self.num_steps, random_start=False
        )
        adversarial: Tensor = attack(inputs, labels)
        return adversarial

"""The loss of Carlini and Wagner (2017), ascended by PGD: the L-inf attack that the papers call CW."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.attacks.pgd import PGD
from landscape.errors import InputError
from landscape.losses import margin

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class MarginLoss:
    """min(max_{k != y} z_k - z_y, kappa): how wrong the model is, up to a confidence kappa (Eq. 6, f_6).

    Beyond kappa it is flat. So with kappa = 0 an iterate that is misclassified stays where it is.

    Attributes:
        kappa: in units of logits, at least 0.

    Raises:
        InputError: kappa is below 0 or no number.
    """

    kappa: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kappa", float(self.kappa))
        if not (math.isfinite(self.kappa) and self.kappa >= 0):
            raise InputError(f"the kappa of a margin loss is a finite number of at least 0, got {self.kappa:g}.")

    def settings(self) -> dict[str, Any]:
        """Name and kappa."""
        return {"name": "margin", "kappa": self.kappa}

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Losses (B,) of logits (B, K) and labels (B,)."""
        return margin(logits, labels).clamp(max=self.kappa)


def CW(  # noqa: N802 (called like the class that it makes)
    *, threat: ThreatModel, step_size: float, num_steps: int = 100, num_restarts: int = 1, kappa: float = 0.0
) -> PGD:
    """PGD on the margin loss; arguments as in `PGD` and `MarginLoss`."""
    loss = MarginLoss(kappa=kappa)
    return PGD(threat=threat, step_size=step_size, num_steps=num_steps, num_restarts=num_restarts, loss=loss)

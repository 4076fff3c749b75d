"""What any attack may return: the one place where its result is compared with its ball and the pixel box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape.attacks.threat import ThreatModel
from landscape.errors import AttackError

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import Attack

ROUNDING = 1e-6
"""By how much single precision may leave a ball: x + delta is rounded, and so is its difference from x."""


def threat_of(attack: Attack) -> ThreatModel | None:
    """The ball that an attack says it stays in, as its attribute `threat`; None if it does not say one."""
    threat = getattr(attack, "threat", None)
    return threat if isinstance(threat, ThreatModel) else None


@torch.no_grad()
def require_budget(adversarial: Tensor, inputs: Tensor, threat: ThreatModel | None, *, name: str = "attack") -> None:
    """Refuse adversarial inputs outside [0, 1] or the ball around `inputs`, of another shape, or that are no numbers.

    Args:
        adversarial: (B, C, H, W), what the attack returned.
        inputs: (B, C, H, W) in [0, 1], what it was given.
        threat: the ball; None where the box alone is known.
        name: the attack, for the message.

    Raises:
        AttackError: the attack broke its promise.
    """
    if adversarial.shape != inputs.shape:
        raise AttackError(
            f"the attack {name} was given inputs of shape {tuple(inputs.shape)} and returned {tuple(adversarial.shape)}"
            "; it has to return one adversarial input for each."
        )
    if not len(inputs):
        return
    low, high = (float(end) for end in torch.aminmax(adversarial))
    # A NaN makes both comparisons false.
    if not (low >= 0.0 and high <= 1.0):
        raise AttackError(f"the attack {name} must return inputs in [0, 1], got {low:g} to {high:g}; clip them.")
    if threat is None:
        return
    size = float(_norms(adversarial - inputs, threat.norm).max())
    if size > threat.epsilon + ROUNDING * max(1.0, threat.epsilon):
        raise AttackError(
            f"the attack {name} must stay within {threat.norm} {threat.epsilon:g} of its inputs, got {size:g}; "
            "project its perturbations."
        )


def _norms(delta: Tensor, norm: str) -> Tensor:
    flat = delta.flatten(1).double()
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)

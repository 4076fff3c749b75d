"""Signs of gradient masking: of an attack that cannot follow the gradient, so that the losses it finds are too low.

The signs are those of Athalye et al. (2018) and Carlini et al. (2019): an attack that is sound gets stronger with its
steps and with epsilon, beats a single step, and is invincible once every image can become the same grey one.
"""

from __future__ import annotations

import math

import numpy as np

from landscape.analysis.wording import percent
from landscape.protocols import Measurement
from landscape.surfaces.evidence import Evidence, Strength, mean_loss, robust_accuracy

NOISE = 2.0
"""Standard errors beyond which a difference is no chance."""

MOST_ZERO_GRADIENTS = 0.1
"""Largest share of examples whose gradient may vanish."""


def masking_signs(evidence: Evidence, strength: Strength) -> list[str]:
    """Every sign of gradient masking that was seen, in words."""
    signs = []
    if strength.zero_gradients > MOST_ZERO_GRADIENTS:
        signs.append(f"the gradient of {percent(strength.zero_gradients)} of the examples is exactly zero")
    return [*signs, *_weaker_with_effort(evidence, strength), *_weaker_with_epsilon(evidence.chance, strength)]


def _weaker_with_effort(evidence: Evidence, strength: Strength) -> list[str]:
    """Signs that more steps do harm; a single large one counts only against a PGD that can cross the ball."""
    signs = []
    centre = max(evidence.efforts[0].attacks.values(), key=mean_loss)
    if strength.crosses and exceeds(strength.fgsm, centre):
        signs.append("FGSM is stronger than PGD at the centre")
    for effort in evidence.efforts:
        (asked, measured), *stronger = effort.attacks.items()
        weaker = [what for what, found in stronger if exceeds(measured, found)]
        signs += [f"{what} find less loss than {asked} at {effort.where}" for what in weaker]
    return signs


def _weaker_with_epsilon(chance: float, strength: Strength) -> list[str]:
    signs = []
    radii = list(strength.by_epsilon.items())
    (low, weak), (high, strong) = radii[0], radii[-1]
    if np.mean(strong.adversarial_loss > weak.adversarial_loss) < 0.5:
        signs.append(f"the loss of most examples does not rise from epsilon {low:.3g} to {high:.3g}")
    for (low, weak), (high, strong) in zip(radii, radii[1:], strict=False):
        before, after = robust_accuracy(weak), robust_accuracy(strong)
        if after > before + NOISE * share_error(before, len(weak)):
            signs.append(f"the robust accuracy rises from epsilon {low:.3g} to {high:.3g}")
    left = robust_accuracy(strength.grey)
    if left > chance + NOISE * share_error(chance, len(strength.grey)):
        signs.append(f"{percent(left)} stay right at L-inf epsilon 0.5, where every image can be made the same grey")
    return signs


def exceeds(first: Measurement, second: Measurement) -> bool:
    """Whether the first attack finds more loss than the second, beyond chance and by more than a percent."""
    with np.errstate(invalid="ignore"):  # what is infinite exceeds nothing
        gap = first.adversarial_loss.astype(np.float64) - second.adversarial_loss
        error = float(np.std(gap, ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.inf
    return bool(np.mean(gap) > max(NOISE * error, 0.01 * abs(mean_loss(second))))


def share_error(share: float, n: int) -> float:
    """Standard error of a share in [0, 1] of n examples."""
    return math.sqrt(share * (1 - share) / n)

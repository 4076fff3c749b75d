"""What was measured to find out whether a landscape deserves trust; the verdicts are `analysis.check`'s.

Imports numpy only, as `surface` does: verdicts are reached without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landscape.protocols import Measurement


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One place measured in two ways that must agree.

    Attributes:
        where: the place in words, such as `alpha = 1`.
        expected: the measurement that the other is compared with.
        found: the other.
    """

    where: str
    expected: Measurement
    found: Measurement

    @property
    def same_bits(self) -> bool:
        """Whether all four arrays are equal bit for bit, NaN included."""
        ours, theirs = self.expected.arrays(), self.found.arrays()
        return all(array.tobytes() == theirs[name].tobytes() for name, array in ours.items())

    @property
    def difference(self) -> float:
        """The larger of the differences of the mean adversarial and the mean clean loss; infinite where one is NaN."""
        if self.same_bits:
            return 0.0
        gaps = [
            abs(float(np.mean(getattr(self.found, name), dtype=np.float64) - mean_loss(self.expected, name)))
            for name in ("adversarial_loss", "clean_loss")
        ]
        return math.inf if any(math.isnan(gap) for gap in gaps) else max(gaps)


@dataclass(frozen=True, kw_only=True)
class Rescaling:
    """The ends of the curve of a rescaled copy of the model, which computes the same function.

    Attributes:
        how: what was done to the layers, to follow `3 layers`.
        places: names of the layers.
        twins: one for each end of the curve; expected is the model itself.
    """

    how: str
    places: tuple[str, ...]
    twins: tuple[Twin, ...]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """One place attacked with more and more effort.

    Attributes:
        where: the place in words.
        attacks: measurements by attack in words; the first is the attack that was asked for.
    """

    where: str
    attacks: Mapping[str, Measurement]


@dataclass(frozen=True, kw_only=True)
class DirectionNorms:
    """How the norms of direction 0 compare with what its recipe claims.

    Attributes:
        claim: what the recipe claims, in words; None if it claims nothing that is known here.
        num_groups: how many norms were compared: filters, tensors, or one.
        largest_deviation: the largest |ratio - 1| of a norm to the claimed one.
        felt: whether the clean losses at both ends of the curve differ from those at the centre.
    """

    claim: str | None
    num_groups: int
    largest_deviation: float
    felt: bool


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How a private copy of the model behaves after `eval()`.

    Attributes:
        training_modules: names of modules that are still in training mode.
        changed_buffers: names of buffers that measuring changed.
        changed_caller: whether measuring changed the caller's model or the examples.
        overwrites_inputs: whether a call writes to what it is given; measuring gives it copies.
        repeated_call: largest difference of the logits between two calls with the same inputs, as a share of the
            largest logit.
        batch_mates: likewise, between one batch and examples one by one.
    """

    training_modules: tuple[str, ...]
    changed_buffers: tuple[str, ...]
    changed_caller: bool
    overwrites_inputs: bool
    repeated_call: float
    batch_mates: float


@dataclass(frozen=True, kw_only=True)
class Strength:
    """What the attack does at the centre, where gradient masking would show.

    Attributes:
        fgsm: one step of epsilon from the example itself.
        crosses: whether the steps of the strongest PGD can lead from one end of the ball to the other.
        by_epsilon: epsilon -> the attack at that radius, increasing.
        grey: an L-inf attack of 0.5, in whose ball every image can become the same grey one.
        zero_gradients: share in [0, 1] of the examples whose input gradient is exactly zero.
    """

    fgsm: Measurement
    crosses: bool
    by_epsilon: Mapping[float, Measurement]
    grey: Measurement
    zero_gradients: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that was measured about one model.

    Attributes:
        device: `cpu` or `cuda`.
        precision: one of `names.PRECISIONS`.
        chance: the largest share in [0, 1] that one label has among the examples.
        centre: the unmoved model under the attack that was asked for.
        rescalings: one for each kind of rescaling that the model's structure allows.
        no_rescaling: why there is none; empty if there is one.
        repeats: places measured by two sweeps.
        node_0: the node at 0, measured after the ends of the curve, and a plain evaluation where the surface measures
            what one does; expected is the centre.
        efforts: the centre and both ends; empty where the attack is no PGD.
        directions: the norms.
        mode: eval mode and what measuring left behind.
        strength: None where the attack is no PGD.
    """

    device: str
    precision: str
    chance: float
    centre: Measurement
    rescalings: tuple[Rescaling, ...]
    no_rescaling: str
    repeats: tuple[Twin, ...]
    node_0: tuple[Twin, ...]
    efforts: tuple[Effort, ...]
    directions: DirectionNorms
    mode: Mode
    strength: Strength | None


def mean_loss(measurement: Measurement, name: str = "adversarial_loss") -> float:
    """Mean over examples of one of the two losses."""
    return float(np.mean(getattr(measurement, name), dtype=np.float64))


def loss_error(measurement: Measurement) -> float:
    """Standard error over examples of the mean adversarial loss; 0 for a single example, NaN if one is infinite."""
    n = len(measurement)
    with np.errstate(invalid="ignore"):
        return float(np.std(measurement.adversarial_loss, ddof=1, dtype=np.float64)) / math.sqrt(n) if n > 1 else 0.0


def robust_accuracy(measurement: Measurement) -> float:
    """Share in [0, 1] of the examples that are classified correctly under attack."""
    return float(np.mean(measurement.adversarial_correct, dtype=np.float64))


def natural_accuracy(measurement: Measurement) -> float:
    """Share in [0, 1] of the examples that are classified correctly."""
    return float(np.mean(measurement.clean_correct, dtype=np.float64))

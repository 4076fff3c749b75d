"""The robust generalization gap of one checkpoint, from its evaluations on train and on test examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Robust accuracy on train minus test examples, at the checkpoint's own weights under one attack.

    Attributes:
        train, test: what was measured, of which only the centres are looked at.
    """

    train: Surface
    test: Surface

    @property
    def value(self) -> float:
        """The gap, a share in [-1, 1]."""
        return self.train_accuracy - self.test_accuracy

    @property
    def train_accuracy(self) -> float:
        """Robust accuracy on the train examples, a share in [0, 1]."""
        return 1.0 - self.train.centre_mean("robust-error")

    @property
    def test_accuracy(self) -> float:
        """Robust accuracy on the test examples, a share in [0, 1]."""
        return 1.0 - self.test.centre_mean("robust-error")

    @property
    def train_loss(self) -> float:
        """Mean adversarial loss on the train examples, nats."""
        return self.train.centre_mean("loss")

    @property
    def standard_error(self) -> float:
        """Over the examples of both splits, two independent samples; NaN for a single example."""
        return math.hypot(*(_standard_error(surface) for surface in (self.train, self.test)))


def _standard_error(surface: Surface) -> float:
    errors = surface.centre_values("robust-error")
    return float(np.std(errors, ddof=1)) / math.sqrt(len(errors)) if len(errors) > 1 else math.nan

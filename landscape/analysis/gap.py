"""The robust generalization gap of one checkpoint, from its evaluations on train and on test examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.analysis.robustness import Estimate, between, mean_of

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
        return self._estimate.value

    @property
    def standard_error(self) -> float:
        """Over the examples of both splits, two independent samples; NaN for a single example."""
        return self._estimate.standard_error

    @property
    def train_accuracy(self) -> float:
        """Robust accuracy on the train examples, a share in [0, 1]."""
        return _robust_accuracy(self.train).value

    @property
    def test_accuracy(self) -> float:
        """Robust accuracy on the test examples, a share in [0, 1]."""
        return _robust_accuracy(self.test).value

    @property
    def train_loss(self) -> float:
        """Mean adversarial loss on the train examples, nats."""
        return self.train.centre_mean("loss")

    @property
    def _estimate(self) -> Estimate:
        return between(_robust_accuracy(self.train), _robust_accuracy(self.test))


def _robust_accuracy(surface: Surface) -> Estimate:
    return mean_of(1.0 - surface.centre_values("robust-error"))

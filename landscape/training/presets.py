"""Settings of a run that follow from its data set; the reference implementation's where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Defaults of the settings that differ between data sets; the threat model is the data set's own.

    Attributes:
        model: name of the model.
        epochs: length of the run.
        lr: largest learning rate.
        gamma: relative size of the weight perturbation.
    """

    model: str = "small_cnn"
    epochs: int = 100
    lr: float = 0.1
    gamma: float = 0.01


PRESETS: Mapping[str, Preset] = {
    "digits": Preset(gamma=0.02),
    "cifar10": Preset(model="preact_resnet18", epochs=200),
    "mnist": Preset(epochs=20),
}

OTHERWISE = Preset()
"""For the user's own data."""

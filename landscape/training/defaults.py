"""Settings of a run that follow from its data set; the reference implementation's where it has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

L2_THREAT: Mapping[str, Any] = {"norm": "l2", "epsilon": 128 / 255, "step_size": 15 / 255}
"""Of the papers, for 32x32 images; the threat model in L-inf is the data set's own."""

WEIGHT_DECAY = 5e-4
"""Of every parameter, BatchNorm's and biases too, as in the reference."""

ONE_DROP: Mapping[str, Any] = {"lr_drop_epoch": 100, "lr_one_drop": 0.01}
"""Of the schedule onedrop, as in the reference."""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Settings that differ between data sets; the threat model is the data set's own.

    Attributes:
        model: name of the model.
        epochs: length of the run.
        lr: largest learning rate.
        gamma: relative size of the weight perturbation of natural and at; the others have `SMALLER_GAMMA` of it.
        c_min: threshold of the robust weight perturbation, as in the reference's code; its paper says 2.2 for SVHN.
        augmentation: its name; None for "crop-flip" on natural images and "none" on others.
    """

    model: str = "small_cnn"
    epochs: int = 100
    lr: float = 0.1
    gamma: float = 0.01
    c_min: float = 1.7
    augmentation: str | None = None

    def others(self) -> dict[str, Any]:
        """The settings that are not left to something else."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


DEFAULTS: Mapping[str, Defaults] = {
    "digits": Defaults(gamma=0.02),
    "cifar10": Defaults(model="preact_resnet18", epochs=200),
    "cifar100": Defaults(model="preact_resnet18", epochs=200, c_min=4.0, augmentation="crop-flip-rotate"),
    "svhn": Defaults(model="preact_resnet18", epochs=200, lr=0.01, augmentation="none"),
    "mnist": Defaults(epochs=20),
}

SMALLER_GAMMA: Mapping[str, float] = {"trades": 0.5, "mart": 0.5, "rst": 0.5}
"""By objective: the references perturb by 0.01 in AT, by 0.005 in TRADES and RST; MART has no published value."""

_DIGITS_WARMUPS: Mapping[tuple[str, str], int] = {("mart", "rwp"): 2}
"""MART starts slowly, and ten inner steps from the first epoch on keep it at the constant predictor for long."""

HAVE_L2_THREAT = ("cifar10", "cifar100", "svhn")

OTHERWISE = Defaults()
"""For the user's own data."""


def default_warmup(dataset: str, objective: str, perturbation: str, norm: str) -> int:
    """Epochs at the beginning without weight perturbation: as in the references, where they have the data set.

    Those of TRADES and RST start it in epoch 10, counted from 1; that of AT after 5 epochs on SVHN in L-inf, else at
    once. None of them has `digits`.
    """
    if dataset == "digits":
        return _DIGITS_WARMUPS.get((objective, perturbation), 0)
    if objective in ("trades", "rst"):
        return 9
    return 5 if dataset == "svhn" and norm == "linf" else 0

"""The natural model that labels what has no labels: a run of its own, inside the folder of the run that needs it."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.training.config import Settings, TrainConfig
from landscape.training.publish import weights_in

if TYPE_CHECKING:
    from torch import nn

    from landscape.training.plan import Plan

logger = logging.getLogger(__name__)

FOLDER = "teacher"

_SHARED = (
    "dataset", "model", "model_arguments", "epochs", "lr", "batch_size", "schedule", "lr_drop_epoch", "lr_one_drop",
    "weight_decay", "nesterov", "augmentation", "normalization", "precision", "compile", "accumulate", "seed",
    "norm", "epsilon", "step_size", "device",
)  # fmt: skip


def teacher_config(settings: Settings) -> TrainConfig:
    """Natural training with the settings of the run, measured at its end alone."""
    shared = {name: getattr(settings, name) for name in _SHARED}
    return TrainConfig(
        method="natural", **shared, eval_every=settings.epochs, eval_attack="none", checkpoint_every=settings.epochs
    )


def with_pseudo_labels(plan: Plan, folder: Path, *, model: nn.Module | None, train: Callable[..., Path]) -> Plan:
    """The plan, with labels for what has none: those of a natural model, trained on what has.

    Args:
        plan: the plan.
        folder: the run's folder; the teacher's is inside.
        model: the network that the run was given, if any.
        train: trains (config, out, model=, examples=) and gives the last checkpoint.
    """
    if plan.unlabelled is None or plan.unlabelled.labelled:
        return plan
    settings = plan.settings
    logger.info("training the natural model that labels %d examples", len(plan.unlabelled.examples))
    path = train(teacher_config(settings), folder / FOLDER, model=model, examples=(plan.train, plan.test))
    teacher = copy.deepcopy(plan.model).to(plan.train.inputs.device)
    plan.network_of(teacher).load_state_dict(plan.processes.first(lambda: weights_in(path)))
    labelled = plan.unlabelled.with_labels_of(teacher, batch_size=max(settings.batch_size, 128))
    return dataclasses.replace(
        plan, unlabelled=labelled, origin={**plan.origin, "unlabelled": labelled.examples.digest()}
    )

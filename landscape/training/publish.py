"""The files of a run that people and other commands read, history and checkpoints; all follow from its state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.checkpoint_files import read_checkpoint_file
from landscape.checkpoints import save_checkpoint
from landscape.training.history import write_history

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.training.history import Row
    from landscape.training.plan import Plan
    from landscape.training.runs import RunFolder
    from landscape.training.trainer import Progress

SELECTIONS = {"last": "last", "best": "test-selected", "epoch": "periodic"}
"""How a checkpoint was chosen. The best has the highest robust accuracy on test examples, as in the papers' tables."""

BY_VALIDATION = "validation-selected"
"""How the best was chosen where a part of the training examples was kept apart for it."""


def publish(folder: RunFolder, plan: Plan, progress: Progress) -> None:
    """Write what the epoch that was just finished adds; doing it twice changes nothing."""
    write_history(folder.history, progress.rows)
    row = progress.rows[-1]
    if progress.best == progress.epoch:
        save(folder.best, plan, plan.model, row, selection="best")
    if progress.epoch % plan.settings.checkpoint_every == 0:
        save(folder.at_epoch(progress.epoch), plan, plan.model, row, selection="epoch")
    save(folder.last, plan, plan.model, row, selection="last")


def save(
    path: Path, plan: Plan, model: nn.Module, row: Row, *, selection: str, metrics: Mapping[str, Any] | None = None
) -> None:
    """Write the checkpoint of one epoch.

    Args:
        path: the file.
        plan: what the run is made of.
        model: the plan's model or a copy of it, at the weights of that epoch.
        row: the epoch's row of history.
        selection: a key of `SELECTIONS`.
        metrics: what was measured on all examples at the end of the run.
    """
    settings = plan.settings
    by_validation = selection == "best" and plan.validation is not None
    training = {
        "method": settings.method,
        "epoch": row["epoch"],
        "selection": BY_VALIDATION if by_validation else SELECTIONS[selection],
        "settings": settings.identity(),
        # Without the seconds, so that equal runs give equal files.
        "evaluation": {name: value for name, value in row.items() if name != "seconds"},
        "metrics": dict(metrics or {}),
        # Each had batch statistics of its own, so their number changes the weights.
        **({"processes": plan.processes.size} if plan.processes.size > 1 else {}),
    }
    save_checkpoint(
        path,
        network=plan.network_of(model),
        model_name=plan.model_name,
        model_arguments=plan.model_arguments,
        normalization=plan.normalization,
        dataset=settings.dataset,
        threat=settings.threat,
        step_size=settings.step_size,
        # Fresh objects: pickle writes down which texts are one object, and a resumed run shares others.
        training=json.loads(json.dumps(training)),
    )


def weights_in(path: Path) -> dict[str, Tensor]:
    """The network's weights in a checkpoint of a run.

    Raises:
        CheckpointError: the file cannot be read.
    """
    return dict(read_checkpoint_file(path)["state_dict"])


def training_in(path: Path) -> dict[str, Any]:
    """What a checkpoint of a run says about its training: method, epoch, settings, evaluation, metrics.

    Raises:
        CheckpointError: the file cannot be read.
    """
    return dict(read_checkpoint_file(path)["training"])

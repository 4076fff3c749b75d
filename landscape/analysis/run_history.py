"""Histories of training runs, this package's and published logs: read, chosen from, and grouped over seeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError, TrainingError
from landscape.files import canonical_json
from landscape.training.history import read_history

Numbers = npt.NDArray[np.float64]

SAME_RUN = ("seed", "data_dir", "device", "checkpoint_every")
"""Settings in which the runs of one group may differ."""

PLATEAU = 3
"""Epochs of one learning rate before it is said to drop, or all, where there are fewer."""

_LOG_COLUMNS = {
    "lr": "lr",
    "train_loss": "train_natural_loss",
    "train_acc": "train_natural_accuracy",
    "train_robust_loss": "train_robust_loss",
    "train_robust_acc": "train_robust_accuracy",
    "test_loss": "test_natural_loss",
    "test_acc": "test_natural_accuracy",
    "test_robust_loss": "test_robust_loss",
    "test_robust_acc": "test_robust_accuracy",
}
"""Columns of the logs of the AWP and Rice repositories, as CSV, and what they are called here."""


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """What was measured in one training run.

    Attributes:
        label: what pictures and tables call it.
        columns: name -> (epochs,) numbers, NaN where nothing was measured; always `epoch`, from 1.
        settings: of the run; None for a log without them.
        is_log: whether it is a published log: its train columns were measured in training mode, at w + v under AWP.
    """

    label: str
    columns: Mapping[str, Numbers]
    settings: Mapping[str, Any] | None = None
    is_log: bool = False

    def column(self, name: str) -> Numbers:
        """The numbers of a column.

        Raises:
            InputError: the run has no such column.
        """
        if name not in self.columns:
            raise InputError(f"the history of {self.label} has no column {name}; it has {', '.join(self.columns)}.")
        return self.columns[name]

    @property
    def selected_on(self) -> str:
        """The split on which the best epoch is chosen: held-out training examples where there are some."""
        return "validation" if "validation_robust_accuracy" in self.columns else "test"

    @property
    def best(self) -> int:
        """Index of the epoch with the highest robust accuracy on `selected_on`, the first of several."""
        return int(np.nanargmax(self.column(f"{self.selected_on}_robust_accuracy")))

    @property
    def last(self) -> int:
        """Index of the last epoch with an evaluation."""
        return int(np.flatnonzero(np.isfinite(self.column("test_robust_accuracy")))[-1])

    @property
    def drops(self) -> list[int]:
        """Epochs in which the learning rate falls from a plateau to half or less, and not to 0."""
        epochs, rates = self.column("epoch"), self.column("lr")
        return [
            int(epochs[index])
            for index in range(1, len(rates))
            if 0 < rates[index] <= rates[index - 1] / 2
            and np.ptp(rates[max(0, index - PLATEAU) : index]) <= 1e-6 * rates[index - 1]
        ]


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs that differ in their seed alone; mostly one.

    Attributes:
        label: what pictures and tables call them.
        runs: at least one.
    """

    label: str
    runs: tuple[RunHistory, ...]

    @property
    def epochs(self) -> Numbers:
        """The epochs of all runs, ascending."""
        return np.unique(np.concatenate([run.column("epoch") for run in self.runs]))

    def values(self, name: str) -> Numbers:
        """(runs, epochs) of a column, NaN where a run has nothing."""
        values = np.full((len(self.runs), len(self.epochs)), np.nan)
        for row, run in zip(values, self.runs, strict=True):
            row[np.searchsorted(self.epochs, run.column("epoch"))] = run.column(name)
        return values


def read_run(path: str | Path) -> RunHistory:
    """The history of a run folder, or of a CSV file: this package's `history.csv`, or a published log.

    Published logs count epochs from 0; here they count finished epochs, from 1.

    Raises:
        TrainingError: there is no history, it cannot be read, or nothing was evaluated yet.
    """
    place = Path(path)
    file = place / "history.csv" if place.is_dir() else place
    if not place.is_dir() and place.suffix != ".csv":
        raise TrainingError(f"{place} is no run folder and no CSV file; name the folder of a run, or its history.csv.")
    log = _read_log(file)
    columns = _columns(file) if log is None else log
    if not np.isfinite(columns["test_robust_accuracy"]).any():
        raise TrainingError(f"the history of {place} has no evaluation yet; wait for its first one.")
    folder = file.parent if file.name == "history.csv" else None
    label = (folder.resolve().name if folder else file.stem) or str(place)
    settings = _settings(folder / "config.json") if folder else None
    return RunHistory(label=label, columns=columns, settings=settings, is_log=log is not None)


def group_runs(runs: Sequence[RunHistory]) -> tuple[RunGroup, ...]:
    """Runs whose settings differ in the seed alone together, in the order in which they first came."""
    groups: dict[str, list[RunHistory]] = {}
    for position, run in enumerate(runs):
        if run.settings is None:
            key = f"{position}"
        else:
            key = canonical_json({name: value for name, value in run.settings.items() if name not in SAME_RUN})
        groups.setdefault(key, []).append(run)
    labels = [_group_label(members) for members in groups.values()]
    repeated = {label for label in labels if labels.count(label) > 1}
    return tuple(
        RunGroup(label=f"{label} #{number}" if label in repeated else label, runs=tuple(members))
        for number, (label, members) in enumerate(zip(labels, groups.values(), strict=True), start=1)
    )


def how_measured(runs: Sequence[RunHistory]) -> str:
    """Under which attack the epochs were measured and on how many examples; empty where no run says it."""
    settings = [run.settings for run in runs if run.settings is not None and "eval_attack" in run.settings]
    attacks = sorted({str(found.get("eval_attack")) for found in settings})
    counts = sorted({str(found.get("eval_examples")) for found in settings})
    if not settings:
        return ""
    return (
        f"Measured in eval mode, without augmentation, under {' or '.join(attacks)}, on at most "
        f"{' or '.join(counts)} examples of each split."
    )


def _group_label(members: Sequence[RunHistory]) -> str:
    if len(members) == 1:
        return members[0].label
    settings = members[0].settings or {}
    return f"{settings.get('method')} on {settings.get('dataset')}, {len(members)} seeds"


def _columns(file: Path) -> dict[str, Numbers]:
    rows = read_history(file)
    if not rows:
        raise TrainingError(f"{file} has no finished epoch yet; wait for the first one.")
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0]}


def _number(value: float | int | None) -> float:
    return float("nan") if value is None else float(value)


def _read_log(file: Path) -> dict[str, Numbers] | None:
    """The columns of a published log; None where the file is none, or not there."""
    try:
        with open(file, encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if "train_robust_acc" not in (reader.fieldnames or ()):
                return None
            rows = list(reader)
        columns = {name: np.array([float(row[old] or "nan") for row in rows]) for old, name in _LOG_COLUMNS.items()}
        epochs = np.array([float(row["epoch"]) + 1 for row in rows])
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{file} is not a readable history of a training run, or a torn one; copy it again or name another run."
        ) from error
    gap = columns["train_robust_accuracy"] - columns["test_robust_accuracy"]
    return {"epoch": epochs, **columns, "robust_gap": gap}


def _settings(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None

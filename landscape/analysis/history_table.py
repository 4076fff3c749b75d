"""Best and last epoch of runs as a table and as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.analysis.columns import in_columns
from landscape.analysis.run_history import RunGroup, RunHistory, how_measured
from landscape.names import FINAL_ATTACK

HEADER = (
    "run", "checkpoint", "epoch", "robust train", "robust test", "robust gap", "natural train", "natural test",
)  # fmt: skip

_ACCURACIES = (
    "train_robust_accuracy",
    "test_robust_accuracy",
    "robust_gap",
    "train_natural_accuracy",
    "test_natural_accuracy",
)


def history_table(groups: Sequence[RunGroup]) -> str:
    """Two rows for each group, best and last: epoch, accuracies in percent and gap in points, as mean +- deviation.

    The best epoch is each run's own, chosen on the split that the row names; "best minus last" closes each group: how
    much robust test accuracy a run loses after its best epoch. Below stands on what they were measured.
    """
    rows: list[list[str]] = [list(HEADER)]
    for group in groups:
        for moment in ("best", "last"):
            found = [_at(run, moment) for run in group.runs]
            chosen = f" ({group.runs[0].selected_on}-selected)" if moment == "best" else ""
            cells = [_spread([100 * numbers[name] for numbers in found]) for name in _ACCURACIES]
            epochs = ", ".join(str(numbers["epoch"]) for numbers in found)
            rows.append([group.label if moment == "best" else "", moment + chosen, epochs, *cells])
        lost = [100 * _lost(run) for run in group.runs]
        rows.append(["", "best minus last", "", "", _spread(lost), "", "", ""])
    return f"{in_columns(rows, left=2)}\n{_notes(groups)}"


def history_numbers(groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """The same numbers for each run, accuracies in [0, 1]."""
    return [
        {
            "group": group.label,
            "run": run.label,
            "seed": (run.settings or {}).get("seed"),
            "selected_on": run.selected_on,
            "best": _at(run, "best"),
            "last": _at(run, "last"),
            "best_minus_last": _lost(run),
        }
        for group in groups
        for run in group.runs
    ]


def _notes(groups: Sequence[RunGroup]) -> str:
    notes = ["Accuracies in %, robust gap: train minus test, in points."]
    if measured := how_measured([run for group in groups for run in group.runs]):
        notes += [measured, f"What `landscape train` prints at its end is of all examples, under {FINAL_ATTACK}."]
    return "\n".join(notes)


def _at(run: RunHistory, moment: str) -> dict[str, Any]:
    index = run.best if moment == "best" else run.last
    return {
        "epoch": int(run.column("epoch")[index]),
        **{name: float(run.column(name)[index]) for name in _ACCURACIES},
    }


def _lost(run: RunHistory) -> float:
    accuracy = run.column("test_robust_accuracy")
    return float(accuracy[run.best] - accuracy[run.last])


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.2f}"

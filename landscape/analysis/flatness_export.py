"""Measures of flatness of several checkpoints as CSV and as plain JSON values, unrounded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from landscape.analysis.flatness import DEFINITIONS, Measure
from landscape.analysis.flatness_table import Flatness, compared, kinds_of, measure_names, pair_differences
from landscape.analysis.tables import plain_values

if TYPE_CHECKING:
    from landscape.analysis.gap import Gap


def flatness_numbers(rows: Sequence[Flatness]) -> dict[str, Any]:
    """Everything that the tables hold as plain JSON values, unrounded; None where a number is absent."""
    pairs = compared(rows)
    return {
        "checkpoints": [
            {
                "label": row.label,
                "path": str(row.path),
                "run": row.run,
                "epoch": row.epoch,
                "split": row.split,
                "loss": _plain(row.surface.centre_mean()),
                "robust_accuracy": _plain(1.0 - row.surface.centre_mean("robust-error")),
                "num_examples": len(row.surface.example_ids),
                "method": row.method,
                "gap": None if row.gap is None else plain_values(_gap_numbers(row.gap)),
                "measures": [_measure_numbers(one) for one in row.measures],
            }
            for row in rows
        ],
        "differences": [
            {"a": a.label, "b": b.label, "split": a.split, **plain_values(vars(one))}
            for a, b in pairs
            for one in pair_differences(a, b)
        ],
        "definitions": {
            kind: {"formula": DEFINITIONS[kind].formula, "source": DEFINITIONS[kind].source} for kind in kinds_of(rows)
        },
    }


def flatness_csv(rows: Sequence[Flatness]) -> str:
    """One row for each checkpoint and split; of each measure its value, standard error and number of draws."""
    names = measure_names(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for name in names for column in (name, f"{name} SE", f"{name} draws")]
    gaps = ["robust train", "robust test", "gap", "gap SE"] if any(row.gap is not None for row in rows) else []
    about = ["checkpoint", "path", "run", "epoch", "method", "split", "examples", "loss", "robust accuracy"]
    writer.writerow([*about, *gaps, *columns])
    for row in rows:
        cells: list[Any] = [
            row.label,
            row.path,
            row.run or "",
            "" if row.epoch is None else row.epoch,
            row.method or "",
        ]
        cells += [row.split, len(row.surface.example_ids), _cell(row.surface.centre_mean())]
        cells.append(_cell(1.0 - row.surface.centre_mean("robust-error")))
        cells += ["" for _ in gaps] if row.gap is None else list(map(_cell, _gap_numbers(row.gap).values()))
        for name in names:
            one = row.measure(name)
            cells += ["", "", ""] if one is None else [_cell(one.value), _cell(one.standard_error), one.num_draws]
        writer.writerow(cells)
    return text.getvalue()


def _gap_numbers(gap: Gap) -> dict[str, float]:
    return {
        "robust_train": gap.train_accuracy,
        "robust_test": gap.test_accuracy,
        "value": gap.value,
        "standard_error": gap.standard_error,
    }


def _measure_numbers(one: Measure) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "value": _plain(one.value),
        "standard_error": _plain(one.standard_error),
        "num_draws": one.num_draws,
        "unit": one.unit,
        "robust_accuracy": _plain(one.robust_accuracy),
        "interpolated": one.interpolated,
        "note": one.note,
        "surface": one.surface.key,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: float) -> float | str:
    return value if math.isfinite(value) else ""

"""Evaluated models as tables, as plain JSON values, and as rows of a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.analysis.robustness import (
    Estimate,
    Evaluated,
    Row,
    accuracies,
    best_and_last,
    best_per_attack,
    gaps,
    gaps_over_seeds,
    over_seeds,
    paired_splits,
)
from landscape.analysis.settings import describe_attack, epsilon_of
from landscape.analysis.tables import aligned
from landscape.analysis.wording import ABSENT, counted

CSV_HEADER = (
    "model", "method", "seed", "epoch", "run", "selection", "split", "examples", "attack", "epsilon", "accuracy",
    "standard_error", "surface",
)  # fmt: skip

WIDTH = 120
"""Of tables, in characters."""


def accuracy_tables(evaluated: Sequence[Evaluated]) -> str:
    """For each split rows of models and columns of attacks, in percent; then the gaps of models evaluated on both."""
    blocks = []
    for split in dict.fromkeys(entry.split for entry in evaluated):
        members = [entry for entry in evaluated if entry.split == split]
        rows = [Row(title=entry.label, cells=accuracies(entry), notes={}) for entry in members]
        sizes = sorted({len(entry.labels) for entry in members})
        blocks.append(_table(f"{split}, {' or '.join(counted(size, 'example') for size in sizes)}: accuracy, %", rows))
    if pairs := paired_splits(evaluated):
        rows = [Row(title=test.label, cells=gaps(train, test), notes={}) for train, test in pairs]
        blocks.append(_table("gap: train minus test accuracy, percentage points", rows))
    return "\n\n".join(blocks)


def best_and_last_table(evaluated: Sequence[Evaluated]) -> str:
    """For each run and split the accuracies of its best and last checkpoint and what is lost between; "" of no run."""
    rows, columns = [], list(dict.fromkeys(column for entry in evaluated for column in entry.columns))
    for split in dict.fromkeys(entry.split for entry in evaluated):
        for run, best, last in best_and_last([entry for entry in evaluated if entry.split == split]):
            title = f"{run} ({split})"
            for name, entry in (
                (f"best ({best.selection}, epoch {best.epoch})", best),
                (f"last (epoch {last.epoch})", last),
            ):
                rows.append([title, name, *(f"{100 * entry.accuracy(column).value:.1f}" for column in columns)])
                title = ""
            lost = [100 * (best.accuracy(column).value - last.accuracy(column).value) for column in columns]
            rows.append(["", "best minus last", *(f"{value:+.1f}" for value in lost)])
    return aligned(["best and last, %", "", *columns], rows, left=2) if rows else ""


def best_per_attack_table(evaluated: Sequence[Evaluated]) -> str:
    """The highest accuracy of each column over the checkpoints of a run, with its epoch."""
    blocks = []
    for split in dict.fromkeys(entry.split for entry in evaluated):
        rows = best_per_attack([entry for entry in evaluated if entry.split == split])
        title = f"best of each column over the checkpoints of a run, chosen on these very {split} examples, %"
        blocks += [_table(title, rows)] if rows else []
    return "\n\n".join(blocks)


def seeds_table(evaluated: Sequence[Evaluated]) -> str:
    """Mean and standard deviation over the runs of each method, of accuracies and gaps."""
    blocks = []
    for split in dict.fromkeys(entry.split for entry in evaluated):
        rows = over_seeds([entry for entry in evaluated if entry.split == split])
        blocks.append(_table(f"{split}: mean ± standard deviation over runs, %", rows))
    if rows := gaps_over_seeds(evaluated):
        blocks.append(_table("gap: mean ± standard deviation over runs, percentage points", rows))
    return "\n\n".join(blocks)


def attack_lines(evaluated: Sequence[Evaluated]) -> str:
    """What each attack was, in words; several lines for one that was not the same for all models."""
    lines = {
        (name, describe_attack(surface.spec)): None for entry in evaluated for name, surface in entry.surfaces.items()
    }
    return "\n".join(f"{name}: {words}" for name, words in lines)


def numbers(evaluated: Sequence[Evaluated]) -> dict[str, Any]:
    """Everything the tables show, accuracies in [0, 1]."""
    return {
        "models": [_as_plain(entry) for entry in evaluated],
        "gaps": [{"model": test.label, **_plain_cells(gaps(train, test))} for train, test in paired_splits(evaluated)],
    }


def rows_as_plain(rows: Sequence[Row], *, error: str) -> list[dict[str, Any]]:
    """Rows for JSON; `error` is what the second number of a cell is called."""
    return [{"title": row.title, **_plain_cells(row.cells, error=error), "at": dict(row.notes)} for row in rows]


def csv_rows(evaluated: Sequence[Evaluated]) -> list[tuple[Any, ...]]:
    """One row for each model, split and column, below `CSV_HEADER`; accuracies in [0, 1]."""
    rows: list[tuple[Any, ...]] = []
    for entry in evaluated:
        about = (entry.label, entry.method, entry.seed, entry.epoch, entry.run, entry.selection, entry.split)
        for column, found in accuracies(entry).items():
            surface = entry.surfaces.get(column)
            size = epsilon_of(surface) if surface is not None else None
            key = surface.key if surface is not None else None
            error = found.standard_error if math.isfinite(found.standard_error) else None
            rows.append((*about, found.count, column, size, found.value, error, key))
    return rows


def _table(title: str, rows: Sequence[Row]) -> str:
    """A table of at most `WIDTH` columns of text, in several parts where its columns do not fit beside one another."""
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    cells = {column: [_cell(row.cells.get(column), row.notes.get(column)) for row in rows] for column in columns}
    titles = [row.title for row in rows]
    parts: list[list[str]] = []
    for column in columns:
        if parts and _width(titles, {name: cells[name] for name in [*parts[-1], column]}) <= WIDTH:
            parts[-1].append(column)
        else:
            parts.append([column])
    lines = [
        aligned(
            ["", *part], [[name, *row] for name, *row in zip(titles, *(cells[c] for c in part), strict=True)], left=1
        )
        for part in parts
    ]
    return "\n".join([title, *lines])


def _width(titles: Sequence[str], cells: Mapping[str, Sequence[str]]) -> int:
    """How wide columns of text are, two spaces apart."""
    return max(map(len, titles)) + sum(2 + max(map(len, (name, *column))) for name, column in cells.items())


def _cell(estimate: Estimate | None, note: str | None) -> str:
    if estimate is None or not math.isfinite(estimate.value):
        return ABSENT
    text = f"{100 * estimate.value:.1f}"
    if math.isfinite(estimate.standard_error):
        text += f" ± {100 * estimate.standard_error:.1f}"
    return text if note is None else f"{text} ({note})"


def _as_plain(entry: Evaluated) -> dict[str, Any]:
    return {
        "model": entry.label,
        "split": entry.split,
        "method": entry.method,
        "seed": entry.seed,
        "epoch": entry.epoch,
        "run": entry.run,
        "selection": entry.selection,
        "num_examples": len(entry.labels),
        "accuracy": _plain_cells(accuracies(entry)),
        "attacks": {name: dict(surface.spec["attack"]) for name, surface in entry.surfaces.items()},
        "surfaces": {name: surface.key for name, surface in entry.surfaces.items()},
    }


def _plain_cells(cells: Mapping[str, Estimate], *, error: str = "standard_error") -> dict[str, Any]:
    return {
        column: {
            "value": estimate.value if math.isfinite(estimate.value) else None,
            error: estimate.standard_error if math.isfinite(estimate.standard_error) else None,
            "count": estimate.count,
        }
        for column, estimate in cells.items()
    }

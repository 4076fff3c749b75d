"""Losses of perturbed weights as a table, as plain JSON values, and as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from landscape.analysis.perturbed_loss import KINDS, NONE, RANDOM, PerturbedLoss
from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.wording import ABSENT

COLUMNS = tuple(field.name for field in fields(PerturbedLoss))


def perturbed_loss_table(rows: Sequence[PerturbedLoss], *, title: str, unit: str) -> str:
    """A row for each checkpoint and split, a column for each kind and gamma: loss +- standard error over examples.

    Args:
        rows: as `perturbed_losses` gives them.
        title: what the loss is called.
        unit: of its numbers.
    """
    columns = sorted({(row.kind, row.gamma) for row in rows}, key=lambda one: (KINDS.index(one[0]), one[1]))
    splits = len({row.split for row in rows}) > 1
    series = any(row.epoch is not None for row in rows)
    header = ["checkpoint", *(["epoch"] if series else []), *(["split"] if splits else []), *map(_column, columns)]
    lines: dict[tuple[str, int | None, str], dict[tuple[str, float], PerturbedLoss]] = {}
    for row in rows:
        lines.setdefault((row.model, row.epoch, row.split), {})[row.kind, row.gamma] = row
    body = []
    for (model, epoch, split), cells in lines.items():
        names = [model, *([str(epoch)] if series else []), *([split] if splits else [])]
        body.append([*names, *(_cell(cells.get(column)) for column in columns)])
    random = [row.num_directions + row.num_masked for row in rows if row.kind == RANDOM]
    notes = [
        f"{title} ({unit}) at w + v, ± its standard error over examples; γ = ||v_l|| / ||w_l|| of every layer.",
        f"Adversarial v ascend on these very examples; random ones: {over_directions(random)}.",
    ]
    if masked := sum(row.num_masked for row in rows):
        notes.append(f"* {masked} points missing or not finite are left out.")
    return "\n".join([aligned(header, body, left=1), *notes])


def perturbed_loss_numbers(rows: Sequence[PerturbedLoss]) -> list[dict[str, Any]]:
    """The rows as plain JSON values, unrounded; None where a number is absent."""
    return [plain_values(asdict(row)) for row in rows]


def perturbed_loss_csv(rows: Sequence[PerturbedLoss]) -> str:
    """The rows with the columns `COLUMNS`; empty where a number is absent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for numbers in perturbed_loss_numbers(rows):
        writer.writerow(["" if numbers[name] is None else numbers[name] for name in COLUMNS])
    return text.getvalue()


def over_directions(counts: Sequence[int]) -> str:
    """What the loss under random v is a mean of, by the numbers of directions."""
    return "along one direction" if set(counts) == {1} else "mean over directions"


def kind_words(kind: str, gamma: float) -> str:
    """A perturbation in words: `w itself`, or the kind and size of v."""
    return "w itself" if kind == NONE else f"{kind} v, γ = {gamma:g}"


def _column(column: tuple[str, float]) -> str:
    kind, gamma = column
    return "at w" if kind == NONE else f"{kind} {gamma:g}"


def _cell(row: PerturbedLoss | None) -> str:
    if row is None or not math.isfinite(row.loss):
        return ABSENT
    mark = "*" if row.num_masked else ""
    error = f" ± {row.standard_error:.3f}" if math.isfinite(row.standard_error) else ""
    return f"{row.loss:.3f}{error}{mark}"

"""Coefficients of flatness with the robust generalization gap as text and as plain JSON values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from landscape.analysis.association import (
    FINAL,
    MIN_RUNS,
    PARTIAL,
    POOLED,
    VARIANTS,
    WITHIN,
    Association,
    Associations,
)
from landscape.analysis.coefficients import COEFFICIENTS
from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.wording import ABSENT, counted, listed

MEANINGS = {
    POOLED: "all checkpoints of all runs together.",
    WITHIN: "mean over runs of the coefficient over the checkpoints of one run.",
    FINAL: "the last checkpoint of each run.",
    PARTIAL: "all checkpoints, given train robust loss and epoch.",
}

CAUTIONS = (
    "The gap is robust accuracy on train minus test examples. It contains train accuracy: what goes with a better fit",
    "of the train examples goes with the gap. These are associations; none says what makes a gap small.",
)


def association_table(found: Associations, *, flatness: str = "flatness") -> str:
    """A row for each variant, each coefficient with its interval, and below it what they are and are not.

    Args:
        found: the coefficients.
        flatness: what was measured, for example `rise(0.5)`.
    """
    of = f"{counted(found.num_points, 'checkpoint')} of {counted(found.num_runs, 'run')}"
    header = ["", "checkpoints", "runs", *COEFFICIENTS]
    rows = []
    for variant in VARIANTS:
        cells = [found.row(variant, coefficient) for coefficient in COEFFICIENTS]
        rows.append([variant, str(cells[0].num_points), str(cells[0].num_runs), *map(coefficient_cell, cells)])
    return "\n".join(
        [
            f"association of {flatness} with the robust generalization gap, {of}; +: a larger one with a larger gap",
            aligned(header, rows, left=1),
            *(f"{variant}: {meaning}" for variant, meaning in MEANINGS.items()),
            *_notes(found),
            *CAUTIONS,
        ]
    )


def association_numbers(found: Associations) -> dict[str, Any]:
    """The same as plain JSON values, unrounded; None where a number is absent."""
    numbers: dict[str, Any] = plain_values(asdict(found))
    return numbers


def coefficient_cell(row: Association) -> str:
    """A coefficient with its interval, as in `+0.62 [+0.31, +0.80]`."""
    if not math.isfinite(row.value):
        return ABSENT
    if row.low is None or row.high is None:
        return f"{row.value:+.2f}"
    return f"{row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"


def _notes(found: Associations) -> list[str]:
    notes = []
    if any(row.low is not None for row in found.rows):
        percent = f"{100 * found.level:g} %"
        notes.append(f"[ ]: {percent} interval, {found.resamples} resamples of runs; within runs somewhat too narrow.")
    few = [variant for variant in VARIANTS if found.row(variant, "Pearson").num_runs < MIN_RUNS]
    if few:
        which = "" if len(few) == len(VARIANTS) else f": {listed(few)}"
        notes.append(f"No interval below {MIN_RUNS} runs{which}.")
    if any(not math.isfinite(row.value) for row in found.rows):
        notes.append(f"{ABSENT}: not defined, for want of checkpoints or because nothing varies.")
    lost = {v: max(found.row(v, c).num_degenerate for c in COEFFICIENTS) for v in VARIANTS if v not in few}
    if counts := [f"{count} {variant}" for variant, count in lost.items() if 0 < count < found.resamples]:
        notes.append(f"Resamples left out, where a coefficient is not defined: {listed(counts)}.")
    if found.constant_controls:
        notes.append(
            f"The same at every checkpoint, so nothing is held fixed by it: {listed(found.constant_controls)}."
        )
    if found.num_left_out:
        notes.append(f"Left out, with a number that is not finite: {counted(found.num_left_out, 'checkpoint')}.")
    return notes

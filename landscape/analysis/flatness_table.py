"""Measures of flatness of several checkpoints as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.analysis.captions import MOST_NAMED
from landscape.analysis.flatness import Difference, Measure, difference
from landscape.analysis.pairing import differing_measures
from landscape.analysis.tables import aligned
from landscape.analysis.wording import ABSENT, POINTS, percent

if TYPE_CHECKING:
    from pathlib import Path

    from landscape.analysis.gap import Gap
    from landscape.surfaces.surface import Surface


@dataclass(frozen=True, kw_only=True)
class Flatness:
    """Everything that was measured of one checkpoint on one split.

    Attributes:
        label: what tables call it.
        path: its file.
        surface: along random directions; its centre is the model itself.
        measures: in the order of the tables.
        run: the name of its run; None for a checkpoint alone.
        epoch: finished epochs; None where that is not known.
        split: of the examples.
        method: how it was trained; None where that is not known.
        gap: its robust generalization gap; None where that was not measured.
        selected: whether it is in a series because it was the best of its run.
    """

    label: str
    path: Path
    surface: Surface
    measures: tuple[Measure, ...]
    run: str | None = None
    epoch: int | None = None
    split: str = "train"
    method: str | None = None
    gap: Gap | None = None
    selected: bool = False

    def measure(self, name: str) -> Measure | None:
        """The measure of a name; None if it was not measured."""
        return next((one for one in self.measures if one.name == name), None)


def flatness_text(rows: Sequence[Flatness]) -> str:
    """Tables of the rises, of the other measures, and of the differences of two checkpoints, with what they mean."""
    blocks = [_rise_table(rows), _other_table(rows), _definitions(rows), _notes(rows), *_differences(rows)]
    return "\n\n".join(block for block in blocks if block)


def measure_names(rows: Sequence[Flatness]) -> list[str]:
    """The names of all measures, in the order of the first checkpoint."""
    return list(dict.fromkeys(one.name for row in rows for one in row.measures))


def unit_of(rows: Sequence[Flatness], name: str) -> str:
    """The unit that a measure is shown in."""
    return _unit(next(one for row in rows for one in row.measures if one.name == name))


def compared(rows: Sequence[Flatness]) -> list[tuple[Flatness, Flatness]]:
    """The two checkpoints of every split that holds exactly two."""
    splits = dict.fromkeys(row.split for row in rows)
    groups = [[row for row in rows if row.split == split] for split in splits]
    return [(group[0], group[1]) for group in groups if len(group) == 2]


def plus_minus(value: float, error: float) -> str:
    """A value with its standard error, to two digits of the error: `1.60 ± 0.07`; four digits without an error."""
    if not math.isfinite(value):
        return ABSENT
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _rise_table(rows: Sequence[Flatness]) -> str:
    """rise(r) with the robust accuracy there, a column for each r; the accuracy of the model itself first."""
    names = [name for name in measure_names(rows) if name.startswith("rise(")]
    if not names:
        return ""
    cells = [
        [*_heads(rows, row), percent(1.0 - row.surface.centre_mean("robust-error"))]
        + [_rise_cell(row.measure(name)) for name in names]
        for row in rows
    ]
    header = [*_head_titles(rows), "at r = 0", *(name.replace("rise(", "r = ").rstrip(")") for name in names)]
    table = aligned(header, cells, left=_left(rows))
    return f"rise(r) ± SE ({unit_of(rows, names[0])}), and the robust accuracy at ±r\n{table}"


def _other_table(rows: Sequence[Flatness]) -> str:
    names = [name for name in measure_names(rows) if not name.startswith("rise(")]
    if not names:
        return ""
    cells = [[*_heads(rows, row), *(_measure_cell(row.measure(name)) for name in names)] for row in rows]
    table = aligned([*_head_titles(rows), *names], cells, left=_left(rows))
    return f"value ± SE\n{table}"


def _definitions(rows: Sequence[Flatness]) -> str:
    lines = []
    for kind in kinds_of(rows):
        first = next(one for row in rows for one in row.measures if one.kind == kind)
        drawn = f"; {first.num_draws} {first.definition.drawn}" if first.definition.drawn else ""
        about = first.definition
        over = [about.drawn] if about.drawn else []
        over += ["examples"] if about.over_examples else []
        error = f"; SE over {' and '.join(over)}" if over else ""
        lines.append(f"{about.formula}{drawn}{error} [{about.source}]")
    return "\n".join(lines)


def _notes(rows: Sequence[Flatness]) -> str:
    """What is to be known about single numbers, each sentence once with those that it is about."""
    owners: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for one in row.measures:
            if one.note:
                owners.setdefault((one.name, one.note), []).append(row.label)
    lines = [f"* {name} of {_owners(labels, rows)}: {note}." for (name, note), labels in owners.items()]
    if any(one.interpolated for row in rows for one in row.measures):
        lines.append("~ interpolated between nodes of the grid.")
    return "\n".join(lines)


def _owners(labels: Sequence[str], rows: Sequence[Flatness]) -> str:
    """Those that a note is about: by name, or how many where they are many."""
    if len(labels) == len(rows) > 1:
        return "all"
    return ", ".join(labels) if len(labels) <= MOST_NAMED else f"{labels[0]} and {len(labels) - 1} more"


def _differences(rows: Sequence[Flatness]) -> list[str]:
    """The table of differences of two checkpoints, measure by measure."""
    blocks = []
    for a, b in compared(rows):
        found = pair_differences(a, b)
        shown = {one.name: one for one in a.measures}
        cells = [[one.name, *_difference_cells(one, shown[one.name])] for one in found]
        paired = all(one.paired for one in found if one.low is not None)
        how = "paired: the same draws and examples; " if paired else ""
        said = f"{a.label} minus {b.label} ({a.split}); {how}intervals: 95 %, t of the draws, none without draws"
        measured = differing_measures(a.surface, b.surface)
        note = f"\nNote: they were measured differently: {', '.join(measured)}." if measured else ""
        blocks.append(f"{said}\n{aligned(['', 'difference', 'interval', ''], cells, left=1)}{note}")
    return blocks


def _difference_cells(one: Difference, measure: Measure) -> list[str]:
    scale = _scale(measure)
    if one.low is None or one.high is None:
        return [plus_minus(scale * one.value, scale * one.standard_error), ABSENT, ""]
    digits = max(0, 1 - math.floor(math.log10(scale * one.standard_error))) if one.standard_error > 0 else 4
    low, high = (f"{scale * end:.{digits}f}" for end in (one.low, one.high))
    unpaired = "" if one.paired else "unpaired"
    return [plus_minus(scale * one.value, scale * one.standard_error), f"[{low}, {high}]", unpaired]


def pair_differences(a: Flatness, b: Flatness) -> list[Difference]:
    """The differences of all measures that both have."""
    return [difference(one, other) for one in a.measures if (other := b.measure(one.name)) is not None]


def _rise_cell(one: Measure | None) -> str:
    if one is None:
        return ABSENT
    accuracy = f" ({percent(one.robust_accuracy)})" if math.isfinite(one.robust_accuracy) else ""
    return f"{'~' if one.interpolated else ''}{_measure_cell(one)}{accuracy}"


def _measure_cell(one: Measure | None) -> str:
    if one is None:
        return ABSENT
    scale = _scale(one)
    return plus_minus(scale * one.value, scale * one.standard_error) + ("*" if one.note else "")


def kinds_of(rows: Sequence[Flatness]) -> list[str]:
    """The kinds of all measures, in the order of the first checkpoint."""
    return list(dict.fromkeys(one.kind for row in rows for one in row.measures))


def _heads(rows: Sequence[Flatness], row: Flatness) -> list[str]:
    return [row.label, row.split] if _several_splits(rows) else [row.label]


def _head_titles(rows: Sequence[Flatness]) -> list[str]:
    return ["", "split"] if _several_splits(rows) else [""]


def _left(rows: Sequence[Flatness]) -> int:
    return len(_head_titles(rows))


def _several_splits(rows: Sequence[Flatness]) -> bool:
    return len({row.split for row in rows}) > 1


def _scale(one: Measure) -> float:
    """Factor from stored to shown numbers: shares are shown in percentage points."""
    return 100.0 if one.unit == "share" else 1.0


def _unit(one: Measure) -> str:
    return POINTS if one.unit == "share" else one.unit

"""What `landscape evaluate` says: tables, doubts, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from landscape.analysis.robustness import Evaluated


MOST_NAMED = 8
"""More results than these are counted, and the command that lists them is named."""


def report(
    evaluated: Sequence[Evaluated],
    *,
    cache: Path,
    csv_file: Path | None,
    as_json: bool,
    best_per_attack: bool,
    by_method: bool,
) -> None:
    """Print the numbers of evaluated models, and write them to `csv_file`.

    Args:
        evaluated: the models.
        cache: where the results of every example lie.
        csv_file: None for no file.
        as_json: one JSON object instead of tables.
        best_per_attack: also the best of each column over the checkpoints of a run.
        by_method: also mean and deviation over the runs of each method.

    Raises:
        FileError: the CSV file cannot be written.
    """
    if csv_file is not None:
        _write_csv(evaluated, csv_file)
    if as_json:
        click.echo(_as_json(evaluated, cache, csv_file, best_per_attack, by_method))
    else:
        click.echo(_as_text(evaluated, cache, csv_file, best_per_attack, by_method))


def _as_text(
    evaluated: Sequence[Evaluated], cache: Path, csv_file: Path | None, best_per_attack: bool, by_method: bool
) -> str:
    from landscape.analysis import robustness_table as tables

    blocks = [tables.attack_lines(evaluated), tables.accuracy_tables(evaluated)]
    blocks += [tables.best_and_last_table(evaluated)]
    blocks += [tables.best_per_attack_table(evaluated)] if best_per_attack else []
    blocks += [tables.seeds_table(evaluated)] if by_method else []
    notes = ["± standard error over examples."]
    if any(len(entry.surfaces) > 1 for entry in evaluated):
        notes[0] += " Worst case: right only under every attack, example by example."
    blocks += ["\n".join(notes), "\n".join(f"warning: {sentence}" for sentence in _warnings(evaluated, by_method))]
    places = _results(_paths(evaluated, cache), cache) + ([] if csv_file is None else [f"table    {csv_file}"])
    return "\n\n".join(block for block in [*blocks, "\n".join(places)] if block)


def _as_json(
    evaluated: Sequence[Evaluated], cache: Path, csv_file: Path | None, best_per_attack: bool, by_method: bool
) -> str:
    from landscape.analysis import robustness as found
    from landscape.analysis.robustness_table import numbers, rows_as_plain

    splits = {split: [entry for entry in evaluated if entry.split == split] for split in _splits(evaluated)}
    extra = {}
    if best_per_attack:
        extra["best_per_attack"] = {
            split: rows_as_plain(found.best_per_attack(part), error="standard_error") for split, part in splits.items()
        }
    if by_method:
        extra["by_method"] = {
            split: rows_as_plain(found.over_seeds(part), error="standard_deviation") for split, part in splits.items()
        }
        extra["by_method"]["gap"] = rows_as_plain(found.gaps_over_seeds(evaluated), error="standard_deviation")
    places = {
        "cache": str(cache),
        "surfaces": _paths(evaluated, cache),
        "csv": None if csv_file is None else str(csv_file),
    }
    content = {**numbers(evaluated), **extra, "warnings": _warnings(evaluated, by_method), **places}
    return json.dumps(content, indent=2, allow_nan=False)


def _paths(evaluated: Sequence[Evaluated], cache: Path) -> list[str]:
    """The files of the results, in the order of the tables."""
    keys = [surface.key for entry in evaluated for surface in entry.surfaces.values()]
    return [str(cache / f"{key}.h5") for key in dict.fromkeys(keys)]


def _results(paths: Sequence[str], cache: Path) -> list[str]:
    if len(paths) > MOST_NAMED:
        return [f"results  {len(paths)} in {cache}; `landscape cache list --cache-dir {cache}` names them"]
    return [f"result   {path}" for path in paths]


def _warnings(evaluated: Sequence[Evaluated], by_method: bool) -> list[str]:
    from landscape.analysis.robustness_doubts import doubts, repeated_seeds

    return doubts(evaluated) + (repeated_seeds(evaluated) if by_method else [])


def _splits(evaluated: Sequence[Evaluated]) -> list[str]:
    return list(dict.fromkeys(entry.split for entry in evaluated))


def _write_csv(evaluated: Sequence[Evaluated], path: Path) -> None:
    from landscape import files
    from landscape.analysis.robustness_table import CSV_HEADER, csv_rows

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(csv_rows(evaluated))
    files.write_text(path, text.getvalue())

"""What `landscape flatness` prints and writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.figure_file import REPLACED, save_over

if TYPE_CHECKING:
    from landscape.analysis.association import Associations
    from landscape.analysis.flatness_table import Flatness
    from landscape.cli.flatness_options import Asked
    from landscape.cli.measuring import Measuring


def report_flatness(
    rows: Sequence[Flatness],
    wanted: Measuring,
    asked: Asked,
    *,
    csv_file: str | None,
    out: Path | None,
    places: Sequence[str],
    num_moving: int,
) -> None:
    """Print the numbers, write them where the user wants them, and draw the association with the gap.

    A figure that fails does not cost the numbers: they are printed before its error is raised.

    Args:
        rows: the checkpoints.
        wanted: the measuring options of the call.
        asked: which measures.
        csv_file: where the numbers go as CSV; None for nowhere.
        out: where the picture goes; None without a gap. With fewer than three checkpoints that count there is no
            association to draw, and a sentence says so.
        places: the surface files.
        num_moving: weights, or layers, of the other term of the PAC-Bayes bound.

    Raises:
        FileError: a file cannot be written.
    """
    from landscape import files
    from landscape.analysis.flatness_export import flatness_csv
    from landscape.analysis.flatness_gap import associated, why_no_association

    if csv_file is not None:
        files.write_text(Path(csv_file), flatness_csv(rows))
    found: dict[str, Associations] = {}
    saved: Path | None = None
    replaced = False
    missing = None if out is None else why_no_association(rows)
    try:
        if out is not None and missing is None:
            found = associated(rows, seed=wanted.seed)
            replaced, saved = _drawn(rows, found, out), out
    finally:
        written = {"figure": None if saved is None else str(saved), "csv": csv_file}
        if wanted.as_json:
            click.echo(
                _as_json(rows, asked, found, missing, {**written, "replaced": replaced, "surfaces": list(places)})
            )
        else:
            text = _as_text(rows, asked, found, missing, written, num_moving)
            click.echo("\n".join([text, *([REPLACED] if replaced else [])]))


def _drawn(rows: Sequence[Flatness], found: dict[str, Associations], out: Path) -> bool:
    """Draw the scatter picture of the main measure; whether it replaced another one."""
    from landscape.analysis.association_figure import association_figure
    from landscape.analysis.flatness_gap import association_caption, points_of
    from landscape.analysis.flatness_table import unit_of

    name = next(iter(found))
    caption = f"{association_caption(found[name])} {_settings(rows)}"
    figure = association_figure(points_of(rows, name), flatness=name, unit=unit_of(rows, name), caption=caption)
    return save_over(figure, out)


def _as_json(
    rows: Sequence[Flatness],
    asked: Asked,
    found: dict[str, Associations],
    missing: str | None,
    places: dict[str, Any],
) -> str:
    from landscape.analysis.flatness_export import flatness_numbers
    from landscape.analysis.flatness_gap import association_json

    said = {"settings": _settings(rows), "sentences": [*_sentences(rows, asked), *filter(None, (missing,))]}
    about = {"association": association_json(rows, found)} if found else {}
    return json.dumps({**said, **flatness_numbers(rows), **about, **places}, indent=2, allow_nan=False)


def _as_text(
    rows: Sequence[Flatness],
    asked: Asked,
    found: dict[str, Associations],
    missing: str | None,
    places: dict[str, Any],
    num_moving: int,
) -> str:
    from landscape.analysis.flatness_gap import association_text, gap_table
    from landscape.analysis.flatness_table import flatness_text

    blocks = [_settings(rows), flatness_text(rows), *_sentences(rows, asked)]
    blocks += [_bound(rows, asked, num_moving)] if "pac-bayes" in asked.measures else []
    blocks += [gap_table(rows)] if any(row.gap is not None for row in rows) else []
    blocks += [association_text(rows, found)] if found else [missing or ""]
    blocks.append("\n".join(f"{what:<7}  {place}" for what, place in places.items() if place is not None))
    return "\n\n".join(block for block in blocks if block)


def _settings(rows: Sequence[Flatness]) -> str:
    """How flatness was measured, and on which examples the gap."""
    from landscape.analysis.captions import settings_line
    from landscape.analysis.settings import split_of

    said = settings_line([row.surface for row in rows], [row.label for row in rows])
    gap = rows[0].gap
    if gap is None:
        return said
    counts = [f"{len(surface.example_ids)} {split_of(surface)}" for surface in (gap.train, gap.test)]
    return f"{said} Gap: under the same attack, {' and '.join(counts)} examples."


def _sentences(rows: Sequence[Flatness], asked: Asked) -> list[str]:
    """What the rises say about two checkpoints, as `plot-1d` says it, and what the nodes of a call do not give."""
    from landscape.analysis.comparison import comparison_sentences
    from landscape.analysis.style import style_curves

    if not asked.along_random:
        return []
    curves = style_curves([row.surface for row in rows], [row.label for row in rows])
    return [*_absent(rows, asked), *comparison_sentences(curves)]


def _absent(rows: Sequence[Flatness], asked: Asked) -> list[str]:
    """Why measures that were asked for are not there."""
    from landscape.analysis.flatness import WINDOW
    from landscape.analysis.samples import why_no_rise

    radii = asked.radii if "rise" in asked.measures else ()
    reasons = [(radius, why_no_rise(rows[0].surface, radius)) for radius in radii]
    said = [f"No rise({radius:g}): {reason}." for radius, reason in reasons if reason is not None]
    if "curvature" in asked.measures and rows[0].measure("curvature") is None:
        said.append(f"No curvature: it needs nodes on both sides within |α| <= {WINDOW:g}.")
    return said


def _bound(rows: Sequence[Flatness], asked: Asked, num_moving: int) -> str:
    """What the other term of the PAC-Bayes bound is, in one sentence."""
    from landscape.analysis.flatness_measures import DELTA, pac_bayes_complexity

    count, scale = len(rows[0].surface.example_ids), asked.scales[0]
    term = pac_bayes_complexity(num_moving, count, scale=scale)
    verdict = "above 1, so pac-bayes is a measure here and no guarantee" if term >= 1 else "below 1"
    where = f"a = {scale:g}, n = {count}, δ = {DELTA:g}"
    return f"The bound's other term, 4 sqrt((KL + ln(2n/δ)) / n), is {term:.3g} at {where}: {verdict}."

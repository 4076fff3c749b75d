"""What a command says about curves: tables, the picture, and where things lie."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface


def report_curves(
    surfaces: Sequence[Surface],
    titles: Sequence[str] | None = None,
    *,
    paths: Sequence[Path],
    out: Path,
    quantity: str = "loss",
    as_json: bool = False,
    epochs: Sequence[int | None] | None = None,
    run: Path | None = None,
    split_at: str = "best",
) -> None:
    """Draw surfaces, save the figure, print their numbers, and say where figure and surfaces lie.

    Args:
        surfaces: along one direction at a time.
        titles: what to call them; their own labels by default.
        paths: the surface files.
        out: where the picture goes; written before anything is printed.
        quantity: one of `names.QUANTITIES`.
        as_json: print one JSON object instead of tables.
        epochs: of a series, the epoch of each surface; the tables over alpha are then left to the files.
        run: of a series, the run folder.
        split_at: of a series, `best` or `gap:G`.

    Raises:
        InputError: a surface is over a plane, `out` has the suffix of no picture, or the series cannot be parted so.
        TrainingError: the run folder has no history.
        FileError: the figure cannot be written.
    """
    from landscape.analysis.figures import curve_figure, save_figure
    from landscape.analysis.series import find_parting, series_figure
    from landscape.analysis.style import style_curves
    from landscape.analysis.tables import comparison_sentences, curve_table, numbers, rise_table

    curves = style_curves(surfaces, titles)
    if epochs is not None and run is not None:
        known = [epoch for epoch in epochs if epoch is not None]
        parting = find_parting(run, split_at)
        figure = series_figure(surfaces, known, parting=parting, quantity=quantity, title=run.absolute().name)
    else:
        figure = curve_figure(curves, quantity=quantity)
    saved = save_figure(figure, out)
    if as_json:
        places = {"figure": str(saved), "surfaces": [str(path) for path in paths]}
        click.echo(json.dumps({**numbers(curves, quantity), **places}, indent=2, allow_nan=False))
        return
    blocks = [] if epochs is not None else [curve_table(curve, quantity) for curve in curves]
    blocks += [rise_table(curves, quantity), *comparison_sentences(curves, quantity)]
    blocks.append("\n".join([f"figure   {saved}", *(f"surface  {path}" for path in paths)]))
    click.echo("\n\n".join(blocks))


def figure_path(out: str | Path | None, titles: str | Sequence[str], command: str) -> Path:
    """Where the picture goes: `out`, else `<checkpoint>-<command>.png` in the working folder.

    Raises:
        InputError: `out` has the suffix of no picture.
    """
    from landscape.analysis.figures import require_figure_suffix

    if out is not None:
        require_figure_suffix(Path(out))
        return Path(out)
    named = [titles] if isinstance(titles, str) else titles
    plain = list(dict.fromkeys(re.sub(r"[^\w.-]+", "-", title).strip("-.") or "surface" for title in named))
    if len(plain) > 2:
        plain = [plain[0], f"{len(plain) - 1}-more"]
    return Path(f"{'-and-'.join(plain)}-{command}.png")

"""What a command says about planes: tables, the picture, and where things lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.figure_file import REPLACED, save_over

if TYPE_CHECKING:
    from landscape.analysis.levels import Wanted
    from landscape.surfaces.surface import Surface


def report_planes(
    surfaces: Sequence[Surface],
    titles: Sequence[str] | None = None,
    *,
    paths: Sequence[Path],
    out: Path,
    quantity: str = "loss",
    levels: Wanted = "auto",
    as_json: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Draw planes, save the figure, print their numbers, and say where figure and surfaces lie.

    A figure that cannot be written does not cost the numbers: they are printed before its error is raised.

    Args:
        surfaces: over planes.
        titles: what to call them; their own labels by default.
        paths: the surface files.
        out: where the picture goes.
        quantity: one of `names.QUANTITIES`.
        levels: contour levels, as in `analysis.levels.choose_levels`.
        as_json: print one JSON object instead of tables.
        extra: what the JSON object holds beside the numbers.

    Raises:
        InputError: a surface is not over planes or has not the quantity, there are too many planes for a figure, the
            levels do not fit, or `out` has the suffix of no picture.
        FileError: the figure cannot be written.
    """
    from landscape.analysis.plane_figure import plane_figure
    from landscape.analysis.plane_table import plane_numbers, plane_text
    from landscape.analysis.planes import planes_of

    planes = planes_of(surfaces, titles)
    figure = plane_figure(planes, quantity=quantity, levels=levels)
    saved: Path | None = None
    replaced = False
    try:
        replaced, saved = save_over(figure, out), out
    finally:
        places: dict[str, Any] = {
            "figure": None if saved is None else str(saved),
            "replaced": replaced,
            "surfaces": [str(path) for path in paths],
        }
        if as_json:
            numbers = {**plane_numbers(planes, quantity), **places, **(extra or {})}
            click.echo(json.dumps(numbers, indent=2, allow_nan=False))
        else:
            shown = [] if saved is None else [f"figure   {saved}"]
            shown += [f"surface  {path}" for path in paths]
            where = "\n".join([*shown, *([REPLACED] if replaced else [])])
            click.echo(f"{plane_text(planes, quantity)}\n\n{where}")

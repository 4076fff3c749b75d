"""What `landscape plot` does with surfaces that `landscape cache import` took in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from landscape.cli.figure_file import REPLACED, save_over
from landscape.errors import InputError


def draw_imported(paths: Sequence[Path], *, out: str | None, as_json: bool) -> bool:
    """Draw imported surfaces and say what is known of them; False, and nothing done, if none of the files is one.

    Raises:
        InputError: imported and own surfaces together, or imported planes that do not go into one figure.
        SurfaceError: a file is damaged.
        FileError: a file cannot be read, or the figure cannot be written.
    """
    from landscape.analysis.foreign_figure import foreign_figure, foreign_numbers, foreign_sentences
    from landscape.cli.report import figure_path
    from landscape.surfaces.foreign import read_foreign

    found = [read_foreign(path) for path in paths]
    surfaces = [surface for surface in found if surface is not None]
    if not surfaces:
        return False
    if len(surfaces) < len(found):
        raise InputError("imported surfaces have means only and are not compared with others; draw them by themselves.")
    target = figure_path(out, [surface.label for surface in surfaces], "plot")
    replaced = save_over(foreign_figure(surfaces), target)
    if as_json:
        rows = [foreign_numbers(surface) for surface in surfaces]
        written = {"figure": str(target), "replaced": replaced}
        click.echo(json.dumps({"surfaces": rows, **written}, indent=2, allow_nan=False))
    else:
        said = [*foreign_sentences(surfaces), "", f"figure   {target}", *([REPLACED] if replaced else [])]
        click.echo("\n".join(said))
    return True

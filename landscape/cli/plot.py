"""`landscape plot`: redraw from surface files. The model, its data and torch are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from landscape.cli import options
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.analysis.levels import Wanted


@click.command("plot")
@click.argument("files", nargs=-1, required=True, metavar="FILE.h5...", type=click.Path(path_type=Path))
@options.plane_options
@options.output_options
def command(files: tuple[Path, ...], quantity: str, levels: Wanted, out: str | None, as_json: bool) -> None:
    """Redraw stored surfaces, curves or planes: figure and tables, without torch and without the model.

    Files of curves are overlaid; two of the same split are compared (paired where directions and examples agree).
    Planes stand side by side with one colour scale; --levels are theirs.
    """
    from landscape.cli.foreign import draw_imported
    from landscape.cli.plane_report import report_planes
    from landscape.cli.report import figure_path, report_curves
    from landscape.surfaces.store import load_surface

    if draw_imported(files, out=out, as_json=as_json):
        return
    surfaces = [load_surface(path) for path in files]
    target = figure_path(out, [surface.label for surface in surfaces], "plot")
    planes = [surface.grid.beta is not None for surface in surfaces]
    if all(planes):
        report_planes(surfaces, paths=files, out=target, quantity=quantity, levels=levels, as_json=as_json)
    elif any(planes):
        curve, plane = files[planes.index(False)], files[planes.index(True)]
        raise InputError(f"curves and planes make two figures, but {curve} holds curves and {plane} a plane.")
    elif levels != "auto":
        raise InputError("--levels are of contours, and curves have none; leave it out.")
    else:
        report_curves(surfaces, paths=files, out=target, quantity=quantity, as_json=as_json)

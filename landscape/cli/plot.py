"""`landscape plot`: redraw from surface files. The model, its data and torch are not needed."""

from __future__ import annotations

from pathlib import Path

import click

from landscape import names
from landscape.cli.options import output_options


@click.command("plot")
@click.argument("files", nargs=-1, required=True, metavar="FILE.h5...", type=click.Path(path_type=Path))
@click.option(
    "--quantity", type=click.Choice(names.QUANTITIES), default="loss", show_default=True, help="What to draw."
)
@output_options
def command(files: tuple[Path, ...], quantity: str, out: str | None, as_json: bool) -> None:
    """Redraw the curves of stored surfaces: figure and tables, without torch and without the model.

    Several files are overlaid; two of the same split are compared (paired where directions and examples agree).
    """
    from landscape.cli.foreign import draw_imported
    from landscape.cli.report import figure_path, report_curves
    from landscape.surfaces.store import load_surface

    if draw_imported(files, out=out, as_json=as_json):
        return
    surfaces = [load_surface(path) for path in files]
    target = figure_path(out, [surface.label for surface in surfaces], "plot")
    report_curves(surfaces, paths=files, out=target, quantity=quantity, as_json=as_json)

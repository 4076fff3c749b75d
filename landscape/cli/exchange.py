"""`landscape cache export` and `import`: surfaces for other programs, and from one of them."""

from __future__ import annotations

from pathlib import Path

import click

from landscape.cli.options import cache_options
from landscape.errors import InputError


@click.command("export")
@click.argument("surface", metavar="KEY|FILE")
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="File to write: .csv, .npz, .vts (planes) or .vtp."
)
@click.option("--by-example", is_flag=True, help="Of .csv: a row for every example, not means over them.")
@click.option("--direction", type=click.IntRange(min=0), help="Of .vts: which of several planes.")
@cache_options
def export_command(surface: str, to: Path, by_example: bool, direction: int | None, cache_dir: str | None) -> None:
    """Write a surface for spreadsheets, NumPy or ParaView."""
    from landscape import files
    from landscape.surfaces.catalogue import find_surface
    from landscape.surfaces.export import export_surface
    from landscape.surfaces.imported import imported_surface
    from landscape.surfaces.store import SurfaceStore

    folder = Path(cache_dir) if cache_dir else files.cache_folder()
    if imported_surface(SurfaceStore(folder), surface) is not None:
        raise InputError("an imported surface has means only and is not exported; name a surface of this package.")
    found, _ = find_surface(folder, surface)
    export_surface(found, to, by_example=by_example, direction=direction)
    lacking = "" if found.num_done == found.num_points else f" ({found.num_done} of {found.num_points} points are done)"
    click.echo(f"{found.label}, {found.key[:12]}{lacking}: {to}")


@click.command("import", short_help="Take in a file of tomgoldstein/loss-landscape.")
@click.argument("file", metavar="FILE.h5", type=click.Path(path_type=Path))
@click.option("--label", help="What figures call it.  [default: the name of the file]")
@cache_options
def import_command(file: Path, label: str | None, cache_dir: str | None) -> None:
    """Take in a surface file of tomgoldstein/loss-landscape, so that `landscape plot` draws it.

    Such a file holds means only, and neither model nor data nor directions: the figure says so, and no interval and no
    comparison is made of it.
    """
    from landscape import files
    from landscape.surfaces.foreign import FOLDER, import_foreign, write_foreign

    surface = import_foreign(file, label=label)
    folder = (Path(cache_dir) if cache_dir else files.cache_folder()) / FOLDER
    path = write_foreign(folder / f"{file.stem}-{surface.digest[:12]}.h5", surface)
    for name, status in surface.status.items():
        missing, bad = int((status == 0).sum()), int((status == 2).sum())
        done = status.size - missing - bad
        click.echo(f"{name}: {done} of {status.size} points done, {missing} missing, {bad} not finite")
    click.echo(f"draw it with: landscape plot {path}")

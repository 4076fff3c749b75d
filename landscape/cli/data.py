"""`landscape data`: fetch data sets and say where they lie."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from landscape import names
from landscape.cli.suggestions import SuggestingGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

data_dir_option = click.option(
    "--data-dir", type=click.Path(), help="Folder of the data.  [default: $LANDSCAPE_DATA, else data in the cache]"
)


@click.group("data", cls=SuggestingGroup)
def command() -> None:
    """Fetch data sets and say where they lie."""


@command.command("fetch")
@click.argument("name", type=click.Choice(names.DATASETS))
@data_dir_option
@click.option("--mirror", metavar="URL", help="Address of a folder that holds the same files.")
@click.pass_context
def fetch_command(context: click.Context, name: str, data_dir: str | None, mirror: str | None) -> None:
    """Download a data set; each file must have its known hash."""
    import pooch

    from landscape.datasets import download
    from landscape.datasets.registry import data_place, reader

    # Its own line names a scratch folder that is gone when the command ends.
    pooch.get_logger().setLevel("ERROR")
    quiet = bool((context.obj or {}).get("quiet"))
    with _progress(shown=sys.stderr.isatty() and not quiet) as progress:
        place = download.fetch(name, data_dir=data_dir, mirror=mirror, progress=progress)
    if place is None:
        name, folder = data_place(name, data_dir)
        click.echo(f"{name} is there already: {reader(name).located(folder)}")
    else:
        click.echo(f"{name} is in {place}")


@command.command("list", short_help="Say of each data set what it holds and where.")
@data_dir_option
def list_command(data_dir: str | None) -> None:
    """Say of each data set what it holds, where it is looked for, and whether it is there."""
    from landscape.analysis.columns import in_columns
    from landscape.datasets.registry import data_place, reader

    rows = [("name", "classes", "image", "state", "place")]
    for name in names.DATASETS:
        if name == "arrays":
            rows.append((name, "any", "any", "yours", "--data-dir PATH: an .npz file or a folder of images by class"))
            continue
        _, folder = data_place(name, data_dir)
        module = reader(name)
        facts = module.info(folder)
        shape = "x".join(str(size) for size in facts.image_shape)
        place = module.located(folder)
        state = "missing" if place is None else "present"
        rows.append((name, str(facts.num_classes), shape, state, str(place or folder)))
    click.echo(in_columns(rows))


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A bar for the file that is being downloaded, or None."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("", total=None)

        def update(file: str, done: int, total: int | None) -> None:
            display.update(task, description=file, completed=done, total=total)

        yield update

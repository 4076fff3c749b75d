"""`landscape cache`: list, show, merge, export, import and clear stored surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from landscape.analysis.columns import in_columns
from landscape.cli.cache_list import KEY_LENGTH, list_command
from landscape.cli.exchange import export_command, import_command
from landscape.cli.options import cache_options
from landscape.cli.suggestions import SuggestingGroup
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.surfaces.imported import ImportedEntry
    from landscape.surfaces.store import SurfaceStore
    from landscape.surfaces.surface import Surface

Stored = TypeVar("Stored")


@click.group("cache", cls=SuggestingGroup)
def command() -> None:
    """List, show, merge, export, import and clear stored surfaces."""


@command.command("show")
@click.argument("surface", metavar="KEY|FILE")
@cache_options
def show_command(surface: str, cache_dir: str | None) -> None:
    """Show the settings, the state and the origin of one surface."""
    from landscape.analysis.foreign_figure import foreign_sentences
    from landscape.surfaces.catalogue import find_surface
    from landscape.surfaces.imported import imported_surface

    store = _store(cache_dir)
    if (imported := imported_surface(store, surface)) is not None:
        click.echo("\n".join(foreign_sentences([imported])))
        return
    shown, path = find_surface(store.folder, surface)
    click.echo(in_columns([*_about(shown, path), *_settings(shown), *_origins(shown.provenance)]))


@command.command("merge", short_help="Join journals into their surface files.")
@click.argument("surface", metavar="KEY|all")
@cache_options
def merge_command(surface: str, cache_dir: str | None) -> None:
    """Join the journals of shards and interrupted runs into their surface files."""
    from landscape.surfaces.catalogue import find_key, keys_in

    store = _store(cache_dir)
    keys = keys_in(store) if surface == "all" else [find_key(store, surface)]
    pending = [key for key in keys if store.points_folder(key).exists()]
    _for_each(pending, lambda key: _merge(store, key))
    if not pending:
        click.echo("Nothing to merge.")


@command.command("clear")
@click.argument("surface", metavar="KEY", required=False)
@click.option("--all", "everything", is_flag=True, help="Every surface of the folder.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@cache_options
def clear_command(surface: str | None, everything: bool, yes: bool, cache_dir: str | None) -> None:
    """Delete a surface, or all; never one that a live process computes."""
    from landscape.surfaces.catalogue import keys_in
    from landscape.surfaces.imported import find_stored, list_imported

    if everything == (surface is not None):
        raise click.UsageError("Name one KEY, or --all.")
    store = _store(cache_dir)
    found: list[str | ImportedEntry] = (
        [*keys_in(store), *list_imported(store.folder)] if surface is None else [find_stored(store, surface)]
    )
    if not found:
        click.echo(f"No surfaces in {store.folder}.")
        return
    what = f"surface {_short(found[0])}" if surface else f"all {len(found)} surfaces"
    if not yes:
        click.confirm(f"Delete {what} in {store.folder}?", abort=True)
    _for_each(found, lambda stored: _clear(store, stored))


command.add_command(list_command)
command.add_command(export_command)
command.add_command(import_command)


def _for_each(surfaces: Iterable[Stored], act: Callable[[Stored], None]) -> None:
    """Act on every surface, also after one failed; the failures come at the end."""
    failures: list[LandscapeError] = []
    for surface in surfaces:
        try:
            act(surface)
        except LandscapeError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise LandscapeError(" ".join(str(error) for error in failures))


def _merge(store: SurfaceStore, key: str) -> None:
    path = store.merge(key)
    merged = store.load(key)
    if merged is None:
        click.echo(f"{key[:KEY_LENGTH]}: no finished point")
    else:
        click.echo(f"{key[:KEY_LENGTH]}: {merged.num_done} of {merged.num_points} points in {path}")


def _clear(store: SurfaceStore, stored: str | ImportedEntry) -> None:
    from landscape.files import remove_file

    if isinstance(stored, str):
        store.clear(stored)
    else:
        remove_file(stored.path)
    click.echo(f"Deleted {_short(stored)}.")


def _short(stored: str | ImportedEntry) -> str:
    """A surface as people name it."""
    return (stored if isinstance(stored, str) else stored.key)[:KEY_LENGTH]


def _store(cache_dir: str | None) -> SurfaceStore:
    from landscape.files import cache_folder
    from landscape.surfaces.store import SurfaceStore

    return SurfaceStore(Path(cache_dir) if cache_dir else cache_folder())


def _about(surface: Surface, path: Path) -> list[tuple[str, str]]:
    from landscape.analysis.distinctions import is_evaluation
    from landscape.analysis.wording import counted

    grid = surface.grid
    axes = [f"alpha {grid.alpha[0]:g} to {grid.alpha[-1]:g}, {len(grid.alpha)} nodes"]
    if grid.beta is not None:
        axes.append(f"beta {grid.beta[0]:g} to {grid.beta[-1]:g}, {len(grid.beta)} nodes")
    count = " x ".join(map(str, grid.shape))
    made_of = f"{counted(len(surface.direction_ids), 'direction')} x {count} nodes + centre"
    if is_evaluation(surface.spec):
        axes, made_of = ["none"], "the centre"
    num_bad = int((surface.status == 2).sum()) + int(surface.centre_status == 2)
    return [
        ("Key", surface.key),
        ("File", str(path)),
        ("Of", surface.label),
        ("Points", f"{surface.num_done} of {surface.num_points} ({made_of}) done, {num_bad} not finite"),
        ("Grid", "; ".join(axes)),
    ]


def _settings(surface: Surface) -> list[tuple[str, str]]:
    from landscape.analysis.settings import describe_settings

    model = surface.spec.get("model")
    named = [("Model", str(model.get("name")))] if isinstance(model, Mapping) and model.get("name") else []
    return [*named, *describe_settings(surface).items()]


def _origins(provenance: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [("Computed by", ", ".join(f"{name} {value}" for name, value in entry.items())) for entry in provenance]

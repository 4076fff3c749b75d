"""`landscape cache`: list, show, merge, export, import and clear stored surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.exchange import export_command, import_command
from landscape.cli.options import cache_options
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.surfaces.catalogue import CacheEntry
    from landscape.surfaces.store import SurfaceStore
    from landscape.surfaces.surface import Surface

KEY_LENGTH = 12
"""Characters of a key that people see; any unique beginning is understood."""


@click.group("cache")
def command() -> None:
    """List, show, merge, export, import and clear stored surfaces."""


@command.command("list")
@cache_options
def list_command(cache_dir: str | None) -> None:
    """List the stored surfaces, the newest first."""
    from landscape.analysis.settings import describe_attack
    from landscape.surfaces.catalogue import list_surfaces

    store = _store(cache_dir)
    rows = [
        (
            entry.key[:KEY_LENGTH],
            _in_bytes(entry.size),
            entry.modified.strftime("%Y-%m-%d %H:%M"),
            entry.label or "-",
            *_measured(entry),
            f"{entry.num_done}/{entry.num_points}",
            entry.state,
            describe_attack(entry.spec) if entry.spec else "-",
        )
        for entry in list_surfaces(store.folder)
    ]
    head = (
        "key",
        "size",
        "when",
        "of",
        "split",
        "n",
        "objective",
        "directions x nodes",
        "seed",
        "points",
        "state",
        "attack",
    )
    if not rows:
        click.echo(f"No surfaces in {store.folder}.")
        return
    click.echo(_aligned([head, *rows]))
    click.echo("points: done/all; all are directions x nodes and the centre.")


@command.command("show")
@click.argument("surface", metavar="KEY|FILE")
@cache_options
def show_command(surface: str, cache_dir: str | None) -> None:
    """Show the settings, the state and the origin of one surface."""
    from landscape.surfaces.catalogue import find_surface

    shown, path = find_surface(_store(cache_dir).folder, surface)
    click.echo(_aligned([*_about(shown, path), *_settings(shown), *_origins(shown.provenance)]))


@command.command("merge")
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
    from landscape.surfaces.catalogue import find_key, keys_in

    if everything == (surface is not None):
        raise click.UsageError("Name one KEY, or --all.")
    store = _store(cache_dir)
    keys = keys_in(store) if surface is None else [find_key(store, surface)]
    if not keys:
        click.echo(f"No surfaces in {store.folder}.")
        return
    what = f"surface {keys[0][:KEY_LENGTH]}" if surface else f"all {len(keys)} surfaces"
    if not yes:
        click.confirm(f"Delete {what} in {store.folder}?", abort=True)
    _for_each(keys, lambda key: _clear(store, key))


command.add_command(export_command)
command.add_command(import_command)


def _for_each(keys: Iterable[str], act: Callable[[str], None]) -> None:
    """Act on every key, also after one failed; the failures come at the end."""
    failures: list[LandscapeError] = []
    for key in keys:
        try:
            act(key)
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


def _clear(store: SurfaceStore, key: str) -> None:
    store.clear(key)
    click.echo(f"Deleted {key[:KEY_LENGTH]}.")


def _measured(entry: CacheEntry) -> tuple[str, ...]:
    """What tells the surfaces of one model apart: split, examples, objective, directions x nodes, seed."""
    data, recipe = (_mapping(entry.spec.get(name)) for name in ("data", "directions"))
    grid = _mapping(entry.spec.get("grid"))
    nodes = [str(len(axis)) for axis in (grid.get("alpha"), grid.get("beta")) if axis]
    return (
        str(data.get("split") or "-"),
        str(entry.num_examples),
        str(entry.spec.get("objective") or "-"),
        " x ".join([str(entry.spec.get("num_directions", "?")), *nodes]) if entry.spec else "-",
        str(recipe.get("seed", "-")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _store(cache_dir: str | None) -> SurfaceStore:
    from landscape.files import cache_folder
    from landscape.surfaces.store import SurfaceStore

    return SurfaceStore(Path(cache_dir) if cache_dir else cache_folder())


def _about(surface: Surface, path: Path) -> list[tuple[str, str]]:
    from landscape.analysis.wording import counted

    grid = surface.grid
    axes = [f"alpha {grid.alpha[0]:g} to {grid.alpha[-1]:g}, {len(grid.alpha)} nodes"]
    if grid.beta is not None:
        axes.append(f"beta {grid.beta[0]:g} to {grid.beta[-1]:g}, {len(grid.beta)} nodes")
    count = " x ".join(map(str, grid.shape))
    made_of = f"{counted(len(surface.direction_ids), 'direction')} x {count} nodes + centre"
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


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _in_bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"

"""`landscape cache list`: what is stored, a line for each surface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.analysis.columns import in_columns
from landscape.cli.options import cache_options

if TYPE_CHECKING:
    from datetime import datetime

    from landscape.surfaces.catalogue import CacheEntry
    from landscape.surfaces.imported import ImportedEntry

KEY_LENGTH = 12
"""Characters of a key that people see; any unique beginning is understood."""

HEAD = ("key", "size", "when", "of", "examples", "points", "state", "attack; whatever else is not as usual")


@click.command("list")
@cache_options
def list_command(cache_dir: str | None) -> None:
    """List the stored surfaces, the newest first."""
    from landscape import files
    from landscape.surfaces.catalogue import list_surfaces
    from landscape.surfaces.imported import list_imported

    folder = Path(cache_dir) if cache_dir else files.cache_folder()
    stored = [(entry.modified, _own(entry)) for entry in list_surfaces(folder)]
    stored += [(entry.modified, _imported(entry)) for entry in list_imported(folder)]
    if not stored:
        click.echo(f"No surfaces in {folder.expanduser()}.")
        return
    click.echo(in_columns([HEAD, *(row for _, row in sorted(stored, key=lambda pair: pair[0], reverse=True))]))
    click.echo("points: directions (or planes) x nodes; the centre is one more.")


def _own(entry: CacheEntry) -> tuple[str, ...]:
    from landscape.analysis.distinctions import distinctions

    spec, unfinished = entry.spec, entry.num_done < entry.num_points
    return (
        *_file(entry.key, entry.size, entry.modified),
        entry.label or "-",
        _examples(entry),
        _points(spec) if spec else "-",
        f"{entry.state} {entry.num_done}/{entry.num_points}" if unfinished else entry.state,
        distinctions(spec) if spec else "-",
    )


def _imported(entry: ImportedEntry) -> tuple[str, ...]:
    from landscape.surfaces.catalogue import DAMAGED
    from landscape.surfaces.foreign import TOOL

    about, surface = _file(entry.key, entry.size, entry.modified), entry.surface
    if surface is None:
        return (*about, "-", "-", "-", DAMAGED, str(entry.path))
    points = " x ".join(["1", *map(str, surface.grid.shape)])
    return (*about, surface.label, "-", points, "imported", f"{', '.join(surface.means)} of {TOOL}")


def _file(key: str, size: int, modified: datetime) -> tuple[str, str, str]:
    return key[:KEY_LENGTH], _in_bytes(size), modified.strftime("%Y-%m-%d %H:%M")


def _examples(entry: CacheEntry) -> str:
    """How many examples of which data set and split, for example `500 digits train`."""
    data = _mapping(entry.spec.get("data"))
    return " ".join([str(entry.num_examples), *(str(data[name]) for name in ("dataset", "split") if data.get(name))])


def _points(spec: Mapping[str, Any]) -> str:
    """How many points a surface has beside the centre, for example `10 x 21`; of an evaluation `centre`."""
    from landscape.analysis.distinctions import is_evaluation

    if is_evaluation(spec):
        return "centre"
    return " x ".join([str(spec.get("num_directions", "?")), *_nodes(_mapping(spec.get("grid")))])


def _nodes(grid: Mapping[str, Any]) -> list[str]:
    return [str(len(axis)) for axis in (grid.get("alpha"), grid.get("beta")) if axis]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _in_bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"

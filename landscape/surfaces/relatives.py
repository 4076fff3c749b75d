"""Points that surfaces share: the same measurement on another grid or with another number of directions.

The centre depends on no direction at all: a surface of the centre alone takes it from any other.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.errors import LandscapeError
from landscape.files import digest_json
from landscape.surfaces import journal, surface_file
from landscape.surfaces.grid import CENTRE, Grid, Point
from landscape.surfaces.surface import ARRAYS, Surface, layout

if TYPE_CHECKING:
    from landscape.surfaces.store import SurfaceStore

logger = logging.getLogger(__name__)

_SHARED_BETWEEN_RELATIVES = ("grid", "num_directions")

_COMPUTED_TOGETHER = ("hessian",)
"""Kinds of direction each of which depends, if only within a solver's tolerance, on how many are computed."""


def key_of(spec: Mapping[str, Any]) -> str:
    """The name of a surface: sha256 of its specification, in hexadecimal."""
    return digest_json(spec)


def family_of(spec: Mapping[str, Any]) -> str:
    """The common name of surfaces that differ in grid and number of directions only; of some kinds, in grid only."""
    recipe = spec.get("directions")
    together = isinstance(recipe, Mapping) and recipe.get("kind") in _COMPUTED_TOGETHER
    shared = ("grid",) if together else _SHARED_BETWEEN_RELATIVES
    return digest_json({name: value for name, value in spec.items() if name not in shared})


def centre_of(spec: Mapping[str, Any]) -> str:
    """The common name of all surfaces with the same measurement at the centre."""
    apart = (*_SHARED_BETWEEN_RELATIVES, "directions")
    return digest_json({name: value for name, value in spec.items() if name not in apart})


def relatives(
    store: SurfaceStore, key: str, spec: Mapping[str, Any], done: set[Point]
) -> Iterator[tuple[Surface, dict[Point, Point]]]:
    """Yield surfaces that share points with the points, ours to theirs, that they have and `done` lacks."""
    grid, num_directions = layout(spec)
    if len(done) > num_directions * math.prod(grid.shape):
        return  # everything is there, the centre included
    kin = family_of if num_directions else centre_of
    name = kin(spec)
    for other in sorted((_keys_of_family(store, name) if num_directions else _keys_of_centre(store, name)) - {key}):
        try:
            surface = store.collect(other)
            if surface is None or kin(surface.spec) != name:
                continue
            shared = shared_points(grid, num_directions, surface.grid, len(surface.direction_ids))
            theirs = surface.done_points()
            matches = {ours: point for ours, point in shared.items() if point in theirs and ours not in done}
            if matches:
                _ = [surface.arrays[name] for name in ARRAYS]  # read now, where damage costs the reuse only
                yield surface, matches
        except LandscapeError as error:
            logger.warning("surface %s is not reused: %s", other[:12], error)


def _keys_of_family(store: SurfaceStore, family: str) -> set[str]:
    found = _keys_of_journals(store, family_of, family)
    for path in surface_file.files_in(store.folder):
        with _skipped(path):
            if surface_file.read_family(path) == family:
                found.add(path.stem)
    return found


def _keys_of_centre(store: SurfaceStore, centre: str) -> set[str]:
    found = _keys_of_journals(store, centre_of, centre)
    for path in surface_file.files_in(store.folder):
        with _skipped(path):
            if centre_of(surface_file.read_attributes(path).spec) == centre:
                found.add(path.stem)
    return found


def _keys_of_journals(store: SurfaceStore, kin: Callable[[Mapping[str, Any]], str], name: str) -> set[str]:
    found = set()
    for folder in store.folder.glob(f"*{journal.FOLDER_SUFFIX}"):
        for path in journal.files_in(folder):
            with _skipped(path):
                header = journal.read_header(path)
                if header is not None and kin(header.spec) == name:
                    found.add(folder.name.removesuffix(journal.FOLDER_SUFFIX))
    return found


def shared_points(ours: Grid, num_ours: int, theirs: Grid, num_theirs: int) -> dict[Point, Point]:
    """Points of one surface, with those of a relative where the same direction and bit-equal nodes make them one."""
    shared = {CENTRE: CENTRE}
    if (ours.beta is None) != (theirs.beta is None):
        return shared
    positions = {theirs.node(index): index for index in theirs.indices()}
    for index in ours.indices():
        match = positions.get(ours.node(index))
        if match is not None:
            shared |= {(line, *index): (line, *match) for line in range(min(num_ours, num_theirs))}
    return shared


@contextlib.contextmanager
def _skipped(path: Path) -> Iterator[None]:
    try:
        yield
    except LandscapeError as error:
        logger.warning("%s is passed over: %s", path, error)

"""What lies in a cache folder, for people who look after it."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from landscape.errors import InputError, LandscapeError, SurfaceError
from landscape.surfaces import claims, journal, surface_file
from landscape.surfaces.store import SurfaceStore, finished, load_surface
from landscape.surfaces.surface import Surface, layout

logger = logging.getLogger(__name__)

COMPLETE, PARTIAL, DAMAGED, RENAMED = "complete", "partial", "damaged", "renamed"


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One surface of a cache.

    Attributes:
        key: its name; people see the first 12 characters. Of a renamed file, what it is now called.
        path: its file, which may be yet to be written.
        size: bytes of the file and the journals.
        modified: when any of them last changed, local time.
        state: `complete`, `partial`, `running by PID[, PID]`, `damaged`, or `renamed` (a file not called by its key).
        label: what the process that began it called the model; None if it did not.
        spec: its specification; empty if damaged.
        num_examples: n; 0 if damaged.
        num_done: finished points, the centre included.
        num_points: points in all.
    """

    key: str
    path: Path
    size: int
    modified: datetime
    state: str
    label: str | None
    spec: Mapping[str, Any]
    num_examples: int
    num_done: int
    num_points: int


def list_surfaces(folder: Path | str) -> list[CacheEntry]:
    """All surfaces of a cache folder, the newest first; what cannot be read is `damaged`, and a warning names the file.

    Changes nothing.
    """
    store = SurfaceStore(folder)
    entries = [_entry(store, key) for key in keys_in(store)]
    return sorted(entries, key=lambda entry: (entry.modified, entry.key), reverse=True)


def keys_in(store: SurfaceStore) -> list[str]:
    """The keys of all surfaces in a folder that have a file or a journal, in order."""
    files = {path.stem for path in surface_file.files_in(store.folder)}
    folders = [folder for folder in store.folder.glob(f"*{journal.FOLDER_SUFFIX}") if journal.files_in(folder)]
    return sorted(files | {folder.name.removesuffix(journal.FOLDER_SUFFIX) for folder in folders})


def find_key(store: SurfaceStore, start: str) -> str:
    """The one key in a folder that begins with `start`.

    Raises:
        InputError: none does, or several do.
    """
    found = [key for key in keys_in(store) if start and key.startswith(start)]
    if len(found) != 1:
        what = f"{len(found)} surfaces" if found else "no surface"
        raise InputError(f"{what} in {store.folder} has a key that begins with {start!r}; see `landscape cache list`.")
    return found[0]


def find_surface(folder: Path | str, named: str) -> tuple[Surface, Path]:
    """The surface in a file, or the one in a folder whose key begins as `named`, journals included, and its file.

    Raises:
        InputError: no surface, or several, have such a key, or there is nothing of it yet.
        SurfaceError: it is damaged.
        FileError: there is no such file.
    """
    path = Path(named)
    if path.suffix == surface_file.SUFFIX or path.is_file():
        return load_surface(path), path
    store = SurfaceStore(folder)
    key = find_key(store, named)
    found = store.collect(key)
    if found is None:
        raise InputError(f"surface {key[:12]} has nothing to show; clear it with `landscape cache clear`.")
    return found, store.path(key)


def _entry(store: SurfaceStore, key: str) -> CacheEntry:
    size, modified = _size_and_time([store.path(key), *store.points_folder(key).glob("*")])
    common: dict[str, Any] = {
        "key": printable(key),
        "path": store.path(key),
        "size": size,
        "modified": datetime.fromtimestamp(modified).astimezone(),
    }
    try:
        return CacheEntry(**common, **_contents(store, key))
    except LandscapeError as error:
        if (renamed := _renamed(store.path(key))) is not None:
            return CacheEntry(**common, **renamed)
        logger.warning("%s", printable(str(error)))
        nothing: dict[str, Any] = {"label": None, "spec": {}, "num_examples": 0, "num_done": 0, "num_points": 0}
        return CacheEntry(**common, state=DAMAGED, **nothing)


def _size_and_time(paths: list[Path]) -> tuple[int, float]:
    """Bytes of all files, and when the newest was changed; what is gone by now or cannot be seen does not count."""
    size, modified = 0, 0.0
    for path in paths:
        with contextlib.suppress(OSError):
            numbers = path.stat()
            size, modified = size + numbers.st_size, max(modified, numbers.st_mtime)
    return size, modified


def _renamed(path: Path) -> dict[str, Any] | None:
    """The contents of a sound file that holds another surface than its name says; None for any other file."""
    try:
        surface = surface_file.read_surface(path)
    except LandscapeError:
        return None
    if surface.key == path.stem:
        return None
    return {
        "state": RENAMED,
        "label": printable(surface.label),
        "spec": surface.spec,
        "num_examples": len(surface.example_ids),
        "num_done": surface.num_done,
        "num_points": surface.num_points,
    }


def _contents(store: SurfaceStore, key: str) -> dict[str, Any]:
    stored, journals = store.load(key), store.journals(key)
    about = stored or next((contents.header for contents in journals), None)
    if about is None:
        raise SurfaceError(f"no journal in {store.points_folder(key)} has a sound header; move the folder away.")
    grid, num_directions = layout(about.spec)
    num_points = num_directions * math.prod(grid.shape) + 1
    num_done = len(finished(stored, journals))
    sessions = [*(stored.provenance if stored else ()), *(entry for part in journals for entry in part.sessions)]
    pids = [str(claim.pid) for claim in claims.running(store.points_folder(key))]
    whole = store.collect(key) if grid.refine is not None else None
    state = COMPLETE if num_done == num_points or (whole is not None and whole.complete) else PARTIAL
    return {
        "state": f"running by {', '.join(pids)}" if pids else state,
        "label": next((printable(str(entry["label"])) for entry in sessions if entry.get("label")), None),
        "spec": about.spec,
        "num_examples": len(about.example_ids),
        "num_done": num_done,
        "num_points": num_points,
    }


def printable(text: str) -> str:
    """Text from a file as one line that any terminal takes: file names and labels may hold half of a character."""
    return "".join(character if character.isprintable() else "?" for character in text)

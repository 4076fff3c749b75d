"""What lies in a cache folder, for people who look after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from landscape.errors import InputError, SurfaceError
from landscape.surfaces import claims, hdf5, journal
from landscape.surfaces.store import SurfaceStore, finished
from landscape.surfaces.surface import layout

COMPLETE, PARTIAL, DAMAGED = "complete", "partial", "damaged"


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One surface of a cache.

    Attributes:
        key: its name; people see the first 12 characters.
        path: its file, which may be yet to be written.
        size: bytes of the file and the journals.
        modified: when any of them last changed, local time.
        state: `complete`, `partial`, `running by PID[, PID]` or `damaged`.
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
    """All surfaces of a cache folder, the newest first. Changes nothing."""
    store = SurfaceStore(folder)
    entries = [_entry(store, key) for key in keys_in(store)]
    return sorted(entries, key=lambda entry: (entry.modified, entry.key), reverse=True)


def keys_in(store: SurfaceStore) -> list[str]:
    """The keys of all surfaces in a folder that have a file or a journal, in order."""
    files = {path.stem for path in hdf5.files_in(store.folder)}
    folders = {path.parent.name for path in store.folder.glob(f"*{journal.FOLDER_SUFFIX}/*{journal.SUFFIX}")}
    return sorted(files | {name.removesuffix(journal.FOLDER_SUFFIX) for name in folders})


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


def _entry(store: SurfaceStore, key: str) -> CacheEntry:
    paths = [path for path in (store.path(key), *store.points_folder(key).glob("*")) if path.exists()]
    numbers = [path.stat() for path in paths]
    common: dict[str, Any] = {
        "key": key,
        "path": store.path(key),
        "size": sum(number.st_size for number in numbers),
        "modified": datetime.fromtimestamp(max((number.st_mtime for number in numbers), default=0.0)).astimezone(),
    }
    try:
        return CacheEntry(**common, **_contents(store, key))
    except SurfaceError:
        nothing: dict[str, Any] = {"label": None, "spec": {}, "num_examples": 0, "num_done": 0, "num_points": 0}
        return CacheEntry(**common, state=DAMAGED, **nothing)


def _contents(store: SurfaceStore, key: str) -> dict[str, Any]:
    stored, journals = store.load(key), store.journals(key)
    about = stored or next((contents.header for contents in journals), None)
    if about is None:
        raise SurfaceError(f"the journals of {key[:12]} have no header.")
    grid, num_directions = layout(about.spec)
    num_points = num_directions * sum(1 for _ in grid.indices()) + 1
    num_done = len(finished(stored, journals))
    sessions = [*(stored.provenance if stored else ()), *(entry for part in journals for entry in part.sessions)]
    pids = [str(claim.pid) for claim in claims.running(store.points_folder(key))]
    state = COMPLETE if num_done == num_points else PARTIAL
    return {
        "state": f"running by {', '.join(pids)}" if pids else state,
        "label": next((str(entry["label"]) for entry in sessions if entry.get("label")), None),
        "spec": about.spec,
        "num_examples": len(about.example_ids),
        "num_done": num_done,
        "num_points": num_points,
    }

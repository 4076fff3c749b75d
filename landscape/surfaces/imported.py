"""The surfaces of another tool that a cache holds beside its own, for people who look after it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from landscape.errors import InputError, LandscapeError
from landscape.surfaces import surface_file
from landscape.surfaces.catalogue import find_key, keys_in, printable
from landscape.surfaces.foreign import FOLDER, ForeignSurface, read_foreign
from landscape.surfaces.store import SurfaceStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImportedEntry:
    """One imported surface.

    Attributes:
        key: the end of its file's name: the beginning of the digest of what was imported.
        path: its file.
        size: bytes of it.
        modified: when it was imported, local time.
        surface: its contents; None if damaged.
    """

    key: str
    path: Path
    size: int
    modified: datetime
    surface: ForeignSurface | None


def list_imported(folder: Path | str) -> list[ImportedEntry]:
    """All imported surfaces of a cache folder, the newest first; a warning names those that cannot be read."""
    paths = surface_file.files_in(SurfaceStore(folder).folder / FOLDER)
    return sorted((_entry(path) for path in paths), key=lambda entry: entry.modified, reverse=True)


def find_stored(store: SurfaceStore, start: str) -> str | ImportedEntry:
    """The one surface in a folder, by its key if it is the cache's own, whose key begins with `start`.

    Raises:
        InputError: none does, or several do.
    """
    imported = [entry for entry in list_imported(store.folder) if start and entry.key.startswith(start)]
    own = [key for key in keys_in(store) if start and key.startswith(start)]
    if not imported:
        return find_key(store, start)
    if len(imported) + len(own) > 1:
        raise InputError(
            f"{len(imported) + len(own)} surfaces in {store.folder} have a key that begins with {start!r}; see "
            "`landscape cache list`."
        )
    return imported[0]


def imported_surface(store: SurfaceStore, named: str) -> ForeignSurface | None:
    """The imported surface in a file, or the one in a folder whose key begins as `named`; None where it is none.

    Raises:
        InputError: several surfaces have such a key.
        SurfaceError: the file is damaged.
        FileError: it cannot be read.
    """
    path = Path(named)
    if path.is_file():
        return read_foreign(path)
    if path.suffix == surface_file.SUFFIX or not any(
        entry.key.startswith(named) for entry in list_imported(store.folder)
    ):
        return None
    found = find_stored(store, named)
    return None if isinstance(found, str) else read_foreign(found.path)


def _entry(path: Path) -> ImportedEntry:
    surface = None
    try:
        surface = read_foreign(path)
    except LandscapeError as error:
        logger.warning("%s", printable(str(error)))
    numbers = path.stat()
    return ImportedEntry(
        key=printable(path.stem.rpartition("-")[2]),
        path=path,
        size=numbers.st_size,
        modified=datetime.fromtimestamp(numbers.st_mtime).astimezone(),
        surface=surface,
    )

"""The journal: finished points, appended one by one; a call that returns has handed its point to the system.

`contents.py` says what its records are. A process that dies leaves at most one unfinished record at the end, which the
next writer cuts off. A journal that is damaged anywhere else is set aside under another name, where its sound points
still count, and is never changed again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from landscape.errors import FileError
from landscape.files import canonical_json, reason_of, sync_folder
from landscape.protocols import Measurement
from landscape.surfaces.contents import LOST, Contents, Header, is_damaged, read_header, scan
from landscape.surfaces.records import Kind, encode, pack_record
from landscape.surfaces.surface import Point

__all__ = [
    "LOST",
    "Contents",
    "Header",
    "Journal",
    "files_in",
    "is_damaged",
    "is_set_aside",
    "read_header",
    "scan",
    "set_aside",
]

logger = logging.getLogger(__name__)

SYNC_SECONDS = 0.5
"""Work that a loss of power may undo, at most. A sync for every point was measured to cost short points 2 %."""

SUFFIX = ".journal"
FOLDER_SUFFIX = ".points"
_ASIDE = ".damaged"


class Journal:
    """Appends to one journal file; one process and one thread at a time."""

    def __init__(self, path: Path, header: Header) -> None:
        """Start a journal, or go on with the one that is there, without its unfinished end; a damaged one is set aside.

        Raises:
            SurfaceError: the journal is of another surface.
            FileError: it cannot be written.
        """
        self.path = path
        self._num_examples = len(header.example_ids)
        self._file: int | None = None
        self._synced = -math.inf
        self._is_synced = True
        self._end = self._sound_end(header.key)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            os.ftruncate(self._file, self._end)
            if self._end == 0:
                self._append(Kind.HEADER, (), header.to_json().encode())
                self._flush()
                # Without these two, a loss of power may take the whole file away, with points that were durable in it.
                sync_folder(path.parent)
                sync_folder(path.parent.parent)
        except OSError as error:
            self.close()
            raise FileError(f"cannot write {path}: {reason_of(error)}; name another folder or make room.") from error
        except FileError:
            self.close()
            raise

    def _sound_end(self, key: str) -> int:
        """The byte to go on at: behind the last sound record, or 0 where there is nothing to go on with."""
        if not self.path.exists():
            return 0
        contents = scan(self.path, key=key)
        if is_damaged(self.path, contents):
            set_aside(self.path, contents)
            return 0
        size, end = (contents.size, contents.end) if contents is not None else (self.path.stat().st_size, 0)
        if size > end:
            logger.warning("%s: cut %d unfinished bytes.", self.path, size - end)
        return end if contents is not None and contents.points else 0

    def append_session(self, provenance: Mapping[str, Any]) -> None:
        """Say who computes the points that follow."""
        self._append(Kind.SESSION, (), canonical_json(provenance).encode())

    def append_point(self, point: Point, measurement: Measurement) -> None:
        """Append a finished point; when this returns it survives the death of the process.

        It also survives a loss of power if the last sync was `SYNC_SECONDS` ago, so that points which take longer all
        do; the others from the next sync on.

        Args:
            point: where.
            measurement: (n,) arrays, n as in the header.

        Raises:
            SurfaceError: the measurement has another number of examples or other types.
            FileError: the disk is full or gone; everything appended before is kept.
        """
        self._append(Kind.POINT, point, encode(measurement, self._num_examples))
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._flush()

    def flush(self) -> None:
        """Make everything appended survive the loss of power."""
        if not self._is_synced:
            self._flush()

    def close(self) -> None:
        """Flush and close the file; closing twice is fine."""
        if self._file is not None:
            with contextlib.suppress(FileError):  # what was appended is still the system's to write
                self.flush()
            os.close(self._file)
            self._file = None

    def _append(self, kind: Kind, point: Point, payload: bytes) -> None:
        record = memoryview(pack_record(kind, point, payload))
        written = 0
        try:
            # At a known place, not at the end: what an interrupted call left there is written over.
            while written < len(record):
                written += os.pwrite(self._open_file(), record[written:], self._end + written)
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left there does not count, and the next record goes over it
                os.ftruncate(self._open_file(), self._end)
            raise self._failed(error) from error
        self._end += len(record)
        self._is_synced = False

    def _flush(self) -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(self._open_file())
        except OSError as error:
            raise self._failed(error) from error
        self._synced, self._is_synced = time.monotonic(), True

    def _open_file(self) -> int:
        if self._file is None:
            raise FileError(f"{self.path} is closed; claim the surface again to go on.")
        return self._file

    def _failed(self, error: OSError) -> FileError:
        return FileError(
            f"cannot append to {self.path}: {reason_of(error)}; finished points are kept, make room and run it again."
        )


def files_in(folder: Path, *, aside: bool = True) -> list[Path]:
    """The journals in a folder, in the order of their names; without `aside`, those alone that writers go on with."""
    found = [*folder.glob(f"*{SUFFIX}"), *(folder.glob(f"*{SUFFIX}{_ASIDE}*") if aside else ())]
    return sorted(found)


def is_set_aside(path: Path) -> bool:
    """Whether a file is a damaged journal that `set_aside` renamed."""
    return f"{SUFFIX}{_ASIDE}" in path.name


def set_aside(path: Path, contents: Contents | None) -> Path:
    """Rename a damaged journal that nobody appends to any more, so that it is neither cut nor deleted.

    Args:
        path: the journal.
        contents: what `scan` found in it, for the message.

    Raises:
        FileError: it cannot be renamed.
    """
    names = (f"{path.name}{_ASIDE}{f'-{number}' if number > 1 else ''}" for number in count(1))
    kept = next(place for place in (path.with_name(name) for name in names) if not os.path.lexists(place))
    try:
        os.rename(path, kept)
        sync_folder(path.parent)
    except OSError as error:
        raise FileError(f"cannot rename the damaged {path}: {reason_of(error)}; move it away.") from error
    num_points = len(contents.points) if contents is not None else 0
    logger.warning("%s is damaged: %d points in it are sound and count; it is kept as %s.", path, num_points, kept)
    return kept

"""The cache of surfaces: one HDF5 file for each key, and journals while it is computed."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import BusyError, FileError, InputError, SurfaceError
from landscape.files import locked, reason_of, remove_file, require_writable
from landscape.protocols import Measurement
from landscape.surfaces import claims, journal, surface_file
from landscape.surfaces.journal import Contents, Header, Journal
from landscape.surfaces.relatives import family_of, key_of, relatives
from landscape.surfaces.session import Session, all_points
from landscape.surfaces.surface import CENTRE, MISSING, Draft, Point, Surface, layout

__all__ = ["Session", "SurfaceStore", "family_of", "key_of", "load_surface"]

logger = logging.getLogger(__name__)

REUSED_FROM = "reused_from"
"""Provenance of a point that another surface's process computed: the key of that surface."""


def load_surface(path: Path | str) -> Surface:
    """Read a surface file; the large arrays are read when they are first asked for. A copy may have any name.

    Raises:
        SurfaceError: the file is damaged, of a newer format, or contradicts itself.
        FileError: there is no such file.
    """
    return surface_file.read_surface(Path(path))


class SurfaceStore:
    """Surfaces in one folder: `<key>.h5`, and `<key>.points/` with journals and claims while it is computed."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser()

    def path(self, key: str) -> Path:
        """Where the surface lies, or would lie."""
        return self.folder / f"{key}{surface_file.SUFFIX}"

    def points_folder(self, key: str) -> Path:
        """Where its journals lie while it is computed."""
        return self.folder / f"{key}{journal.FOLDER_SUFFIX}"

    def load(self, key: str) -> Surface | None:
        """The stored surface, complete or not; None if there is none.

        Raises:
            SurfaceError: the file is damaged or is not the surface that its name says.
        """
        path = self.path(key)
        return surface_file.read_surface(path, key=key) if path.exists() else None

    def finished_points(self, spec: Mapping[str, Any]) -> set[Point]:
        """The points of a surface that need not be computed: its own and those of its relatives. Changes nothing."""
        key = key_of(spec)
        stored = self.load(key)
        if stored is not None and stored.complete:
            return all_points(spec)
        done = finished(stored, self.journals(key))
        for _, matches in relatives(self, key, spec, done):
            done |= matches.keys()
        return done

    def known_centres(self, spec: Mapping[str, Any]) -> list[tuple[str, Measurement]]:
        """What was measured at the centre by everything that a session of this surface would use. Changes nothing.

        Returns:
            The key of a surface and its measurement (n,): of the surface's own file and each of its journals, then of
            each relative that has points which they lack.

        Raises:
            SurfaceError: what is stored under this name is damaged or of another surface.
            FileError: it cannot be read.
        """
        key = key_of(spec)
        stored, journals = self.load(key), self.journals(key)
        centres = _centre_of(stored) if stored is not None else []
        centres += [(key, centre) for contents in journals for _, centre in contents.measurements(of={CENTRE})]
        for relative, _ in relatives(self, key, spec, finished(stored, journals)):
            centres += _centre_of(relative)
        return centres

    def claim(
        self,
        spec: Mapping[str, Any],
        *,
        example_ids: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        provenance: Mapping[str, Any],
        batch_size: int,
        writer: str = claims.MAIN,
    ) -> Session:
        """Start or go on computing a surface; the session is a context manager.

        Args:
            spec: everything that determines the numbers, with `grid` and `num_directions`.
            example_ids: (n,) positions in the split.
            labels: (n,).
            provenance: versions, device and so on of this process, as plain JSON values.
            batch_size: examples in one batch; the session keeps to that of the first computed point instead.
            writer: `main` excludes all others; `shard-I-of-N` writers may run side by side.

        Raises:
            BusyError: a live process computes this surface.
            SurfaceError: what is stored under this name is damaged or of another surface.
            FileError: the folder cannot be written.
            InputError: the specification or the examples make no sense.
        """
        header = _header(spec, example_ids, labels, batch_size)
        claims.this_process(writer)
        require_writable(self.folder)
        folder = self.points_folder(header.key)
        with self.lock(header.key):
            _make(folder)
            claim = claims.take(folder, writer, key=header.key)
            try:
                return self._open_session(header, claim, provenance)
            except BaseException:
                with contextlib.suppress(FileError, OSError):  # what went wrong says more
                    claims.release(folder, claim)
                    folder.rmdir()
                raise

    def merge(self, key: str) -> Path:
        """Join a surface's journals into its file; the journals go unless a live process still appends.

        Raises:
            SurfaceError: there is nothing of this surface, or it is damaged.
            FileError: the file cannot be written.
        """
        with self.lock(key):
            return self.merge_locked(key, remove_journals=not claims.living(self.points_folder(key)))

    def clear(self, key: str) -> None:
        """Delete a surface and its journals.

        Raises:
            BusyError: a live process computes it.
            FileError: it cannot be deleted.
        """
        with self.lock(key):
            folder = self.points_folder(key)
            for claim in claims.living(folder):
                raise BusyError(claims.busy_message(claim, folder, key))
            try:
                self.path(key).unlink(missing_ok=True)
                if folder.is_dir() and not folder.is_symlink():
                    shutil.rmtree(folder)
                else:
                    folder.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(f"cannot delete surface {key[:12]}: {reason_of(error)}.") from error

    def lock(self, key: str) -> contextlib.AbstractContextManager[None]:
        """The lock that guards claims and merges of a surface; held for moments, never while points are computed."""
        return locked(self.folder / ".locks" / key)

    def journals(self, key: str) -> list[Contents]:
        """What all journals of a surface hold, also those that were damaged and set aside."""
        paths = journal.files_in(self.points_folder(key))
        return [contents for contents in (journal.scan(path, key=key) for path in paths) if contents is not None]

    def collect(self, key: str) -> Surface | None:
        """Everything there is of a surface, file and journals; None if there is nothing. Changes nothing."""
        stored, journals = self.load(key), self.journals(key)
        if finished(stored, journals) == finished(stored, []):
            return stored
        return _joined(stored, journals)

    def tidy(self, key: str) -> None:
        """Delete, where that can be done, what a process that was killed at its end left beside a complete surface."""
        folder = self.points_folder(key)
        if folder.exists():
            with contextlib.suppress(FileError, SurfaceError, OSError), self.lock(key):
                if not claims.living(folder):
                    self.merge_locked(key, remove_journals=True)

    def merge_locked(self, key: str, *, remove_journals: bool) -> Path:
        """As `merge`, for a caller who holds the lock and knows whether anyone else appends."""
        stored, journals = self.load(key), self.journals(key)
        path = self.path(key)
        if stored is None and not journals:
            if journal.files_in(self.points_folder(key)):
                raise SurfaceError(
                    f"no journal in {self.points_folder(key)} has a sound header; move the folder away or clear it."
                )
            raise SurfaceError(f"there is no surface {key[:12]} in {self.folder}; see `landscape cache list`.")
        if finished(stored, journals) != finished(stored, []):
            surface = _joined(stored, journals)
            surface_file.write_surface(path, surface, family=family_of(surface.spec))
        for leftover in self.folder.glob(f".{path.name}.*"):
            remove_file(leftover)  # of a process that was killed while it wrote under this lock
        if remove_journals:
            self._remove_journals(key, {contents.path: contents for contents in journals})
        return path

    def _remove_journals(self, key: str, journals: Mapping[Path, Contents]) -> None:
        """Delete what the file holds by now; damaged journals stay, for there may be more in them than was read."""
        folder = self.points_folder(key)
        for path in journal.files_in(folder, aside=False):
            contents = journals.get(path)
            if journal.is_damaged(path, contents):
                journal.set_aside(path, contents)
            elif contents is not None and contents.end < contents.size:
                logger.warning("%s: %d unfinished bytes do not count.", path, contents.size - contents.end)
        # What stays behind is untidy, not wrong.
        for path in folder.glob("*"):
            if not journal.is_set_aside(path):
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _open_session(self, header: Header, claim: claims.Claim, provenance: Mapping[str, Any]) -> Session:
        key, folder = header.key, self.points_folder(header.key)
        stored, journals = self.load(key), self.journals(key)
        for other in (stored, *(contents.header for contents in journals)):
            if other is not None and not _same_examples(header, other):
                raise SurfaceError(f"surface {key[:12]} is stored with other examples; clear it and compute it again.")
        writers = {other.writer for other in claims.running(folder)} - {claim.writer}
        header = replace(header, batch_size=_batch_size(header, stored, journals, writers))
        own = Journal(folder / f"{claim.writer}{journal.SUFFIX}", header)
        try:
            done = finished(stored, journals)
            # Which points a refined grid asks for is not known yet; `Session.reuse` is told when it is.
            refined = layout(header.spec)[0].refine is not None
            reused = set() if refined else self.reuse(header, own, done)
        except BaseException:
            own.close()
            raise
        return Session(
            self, header=header, claim=claim, journal=own, done=done | reused, reused=len(reused), provenance=provenance
        )

    def reuse(self, header: Header, own: Journal, done: set[Point], among: Set[Point] | None = None) -> set[Point]:
        """Copy points that relatives have into a session's journal, so that they can no longer be lost.

        Args:
            header: of the surface.
            own: the journal.
            done: points that are there.
            among: the points to copy; None for all.

        Returns:
            The points that were copied.
        """
        reused: set[Point] = set()
        for relative, matches in relatives(self, header.key, header.spec, done):
            if not _same_examples(header, relative):
                logger.warning("surface %s has other examples; its points are not reused.", relative.key[:12])
                continue
            source = None
            for point, theirs in sorted(matches.items()):
                if point in reused or not (among is None or point in among):
                    continue
                entry = {REUSED_FROM: relative.key, **relative.point_provenance(theirs)}
                if entry != source:
                    own.append_session(entry)
                    source = entry
                own.append_point(point, relative.measurement(theirs))
                reused.add(point)
        if reused:
            own.flush()
        return reused


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot make the folder {folder}: {reason_of(error)}; make room, move away what is there, or name another "
            "cache folder."
        ) from error


def _header(
    spec: Mapping[str, Any], example_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], batch_size: int
) -> Header:
    layout(spec)
    ids, labels = (np.asarray(part, dtype=np.int64) for part in (example_ids, labels))
    if ids.ndim != 1 or ids.shape != labels.shape or not len(ids):
        raise InputError(f"a surface needs n ids and n labels, n at least 1, got {ids.shape} and {labels.shape}.")
    if batch_size < 1:
        raise InputError(f"a batch has at least 1 example, got {batch_size}.")
    return Header(key=key_of(spec), spec=spec, example_ids=ids, labels=labels, batch_size=batch_size)


def _centre_of(surface: Surface) -> list[tuple[str, Measurement]]:
    return [(surface.key, surface.centre)] if surface.centre_status != MISSING else []


def _same_examples(header: Header, other: Header | Surface) -> bool:
    pairs = ((header.example_ids, other.example_ids), (header.labels, other.labels))
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def finished(stored: Surface | None, journals: list[Contents]) -> set[Point]:
    """The points that a file or any journal holds."""
    done = stored.done_points() if stored is not None else set()
    return done.union(*({record.point for record in contents.points} for contents in journals))


def _batch_size(header: Header, stored: Surface | None, journals: list[Contents], live_writers: set[str]) -> int:
    """The batch size of the first point computed for this surface; else that of a live writer; else our own.

    A journal whose session records are lost still says in its header what its points were computed with.
    """
    entries = list(stored.provenance) if stored is not None else []
    for contents in journals:
        used = sorted({record.session for record in contents.points})
        entries += [contents.sessions[number] for number in used]
    sizes = [entry.get("batch_size") for entry in entries if REUSED_FROM not in entry]
    computed = [size for size in sizes if isinstance(size, int) and size > 0]
    agreed = [contents.header.batch_size for contents in journals if contents.path.stem in live_writers]
    lost = [contents.header.batch_size for contents in journals if journal.LOST in contents.sessions]
    return (computed + agreed + lost + [header.batch_size])[0]


def _joined(stored: Surface | None, journals: list[Contents]) -> Surface:
    about = stored if stored is not None else journals[0].header
    try:
        draft = Draft(key=about.key, spec=about.spec, example_ids=about.example_ids, labels=about.labels)
    except (MemoryError, ValueError, OverflowError) as error:
        raise SurfaceError(f"surface {about.key[:12]} is larger than this machine's memory.") from error
    if stored is not None:
        for point in sorted(stored.done_points()):
            entry = draft.add_provenance(stored.point_provenance(point))
            draft.put(point, stored.measurement(point), entry)
    for contents in journals:
        for record, measurement in contents.measurements():
            if not draft.has(record.point):
                entry = draft.add_provenance(contents.sessions[record.session])
                draft.put(record.point, measurement, entry)
    return draft.surface()

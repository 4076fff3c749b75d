"""The journal: finished points, appended one by one and durable when the call returns.

The first record is the HEADER (JSON: format, key, specification, examples, batch size); a SESSION (JSON: provenance of
the process that appends) precedes its POINTs (the four arrays of a `Measurement`). A process that dies leaves at most
one unfinished record at the end, which the next writer cuts off. Reading stops at the first damaged record; everything
before it counts.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from landscape.errors import FileError, InputError, SurfaceError
from landscape.files import canonical_json, digest_json
from landscape.protocols import Measurement
from landscape.surfaces.records import BYTES_PER_EXAMPLE, UNUSED, Kind, decode, encode, pack_record, read_records
from landscape.surfaces.surface import CENTRE, Grid, Point, layout

logger = logging.getLogger(__name__)

FORMAT = "landscape-journal/1"
SUFFIX = ".journal"
FOLDER_SUFFIX = ".points"


@dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """What a journal is about; with it, a merge needs nothing but the journals.

    Attributes:
        key: name of the surface.
        spec: the specification whose digest is the key.
        example_ids: (n,) int64.
        labels: (n,) int64.
        batch_size: examples in one batch, in every session of this journal.
    """

    key: str
    spec: Mapping[str, Any]
    example_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    batch_size: int

    def to_json(self) -> str:
        """The header as text."""
        examples = {"example_ids": self.example_ids.tolist(), "labels": self.labels.tolist()}
        head = {"format": FORMAT, "key": self.key, "spec": dict(self.spec), "batch_size": self.batch_size}
        return canonical_json(head | examples)

    @classmethod
    def from_json(cls, text: bytes, path: Path) -> Self:
        """The inverse of `to_json`.

        Raises:
            SurfaceError: the text is of a newer format, or not what this package writes.
        """
        try:
            parts = json.loads(text)
            if parts.pop("format") != FORMAT:
                raise SurfaceError(f"{path} is not in the format {FORMAT}; upgrade this package or delete the file.")
            for name in ("example_ids", "labels"):
                parts[name] = np.array(parts[name], dtype=np.int64)
            return cls(**parts)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise SurfaceError(f"{path} has an unknown header ({error}); delete it and compute again.") from error


@dataclass(frozen=True)
class PointRecord:
    """Where a point's measurement lies in a journal: the byte offset of its payload, and its session's number."""

    point: Point
    offset: int
    session: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a journal holds, up to the first damaged or unfinished record.

    Attributes:
        path: the file.
        header: its first record.
        sessions: provenance of each process that appended, in order.
        points: finished points, in order; the measurements stay in the file until `measurements` reads them.
        end: bytes that are sound.
        size: bytes of the file.
    """

    path: Path
    header: Header
    sessions: tuple[Mapping[str, Any], ...]
    points: tuple[PointRecord, ...]
    end: int
    size: int

    def measurements(self) -> Iterator[tuple[PointRecord, Measurement]]:
        """Read every point.

        Raises:
            SurfaceError: the file was cut since it was scanned.
            FileError: the file cannot be read any more.
        """
        n = len(self.header.example_ids)
        try:
            with open(self.path, "rb") as stream:
                for record in self.points:
                    stream.seek(record.offset)
                    payload = stream.read(n * BYTES_PER_EXAMPLE)
                    if len(payload) < n * BYTES_PER_EXAMPLE:
                        raise SurfaceError(f"{self.path} was cut while it was read; run it again.")
                    yield record, decode(payload, n)
        except OSError as error:
            raise FileError(f"cannot read {self.path}: {error.strerror}.") from error


class Journal:
    """Appends to one journal file; one process and one thread at a time."""

    def __init__(self, path: Path, header: Header) -> None:
        """Start a journal, or go on with the one that is there, without its unfinished end.

        Raises:
            SurfaceError: the journal is of another surface.
            FileError: it cannot be written.
        """
        self.path = path
        self._num_examples = len(header.example_ids)
        self._file: int | None = None
        contents = scan(path, key=header.key) if path.exists() else None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            self._end = contents.end if contents is not None and contents.points else 0
            size = os.fstat(self._file).st_size
            if size > (contents.end if contents is not None else 0):
                logger.warning("%s: cut %d damaged or unfinished bytes.", path, size - self._end)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            self.close()
            raise FileError(f"cannot write {path}: {error.strerror}; name another folder or make room.") from error
        if self._end == 0:
            try:
                self._append(Kind.HEADER, (), header.to_json().encode())
                self._flush()
            except FileError:
                self.close()
                raise

    def append_session(self, provenance: Mapping[str, Any]) -> None:
        """Say who computes the points that follow; durable with the first of them."""
        self._append(Kind.SESSION, (), canonical_json(provenance).encode())

    def append_point(self, point: Point, measurement: Measurement, *, durable: bool = True) -> None:
        """Append a finished point; when this returns it survives the death of the process.

        Args:
            point: where.
            measurement: (n,) arrays, n as in the header.
            durable: whether it also survives the loss of power; off, `flush` makes it so for many points at once.

        Raises:
            SurfaceError: the measurement has another number of examples or other types.
            FileError: the disk is full or gone; everything appended before is kept.
        """
        self._append(Kind.POINT, point, encode(measurement, self._num_examples))
        if durable:
            self._flush()

    def flush(self) -> None:
        """Make everything appended survive the loss of power."""
        self._flush()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._file is not None:
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
            os.ftruncate(self._open_file(), self._end)
            raise self._failed(error) from error
        self._end += len(record)

    def _flush(self) -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(self._open_file())
        except OSError as error:
            raise self._failed(error) from error

    def _open_file(self) -> int:
        if self._file is None:
            raise FileError(f"{self.path} is closed; claim the surface again to go on.")
        return self._file

    def _failed(self, error: OSError) -> FileError:
        return FileError(
            f"cannot append to {self.path}: {error.strerror}; finished points are kept, make room and run it again."
        )


def scan(path: Path, *, key: str | None = None) -> Contents | None:
    """Read a journal up to its first damaged or unfinished record; None if not even the header is sound.

    Args:
        path: the file.
        key: the surface it must belong to; None takes the key that the header names.

    Raises:
        SurfaceError: the journal is of another surface or format, or holds what cannot be its own.
        FileError: the file cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return _scan(path, stream, key)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}.") from error


def read_header(path: Path) -> Header | None:
    """The first record of a journal alone, its key verified; None if it is not sound. Errors as `scan`."""
    try:
        with open(path, "rb") as stream:
            first = next(read_records(stream, os.fstat(stream.fileno()).st_size), None)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}.") from error
    if first is None or first[0] != Kind.HEADER:
        return None
    return _verified(Header.from_json(first[2], path), None, path)


def _scan(path: Path, stream: BinaryIO, key: str | None) -> Contents | None:
    size = os.fstat(stream.fileno()).st_size
    records = read_records(stream, size)
    first = next(records, None)
    if first is None or first[0] != Kind.HEADER:
        return None
    header = _verified(Header.from_json(first[2], path), key, path)
    grid, num_directions = _layout(header, path)
    sessions: list[Mapping[str, Any]] = []
    points: list[PointRecord] = []
    end = stream.tell()
    for kind, fields, payload in records:
        if kind == Kind.SESSION:
            sessions.append(_session(payload, path))
        elif kind == Kind.POINT and sessions:
            point = _point(fields, grid, num_directions)
            if point is None or len(payload) != len(header.example_ids) * BYTES_PER_EXAMPLE:
                raise SurfaceError(f"{path} holds a point that is not of its surface; delete it and compute again.")
            points.append(PointRecord(point, stream.tell() - len(payload), len(sessions) - 1))
        else:
            break
        end = stream.tell()
    return Contents(path=path, header=header, sessions=tuple(sessions), points=tuple(points), end=end, size=size)


def _verified(header: Header, key: str | None, path: Path) -> Header:
    if digest_json(header.spec) != header.key or header.key != (key or header.key):
        raise SurfaceError(f"{path} is the journal of another surface; move it away and compute again.")
    if len(header.example_ids) != len(header.labels):
        raise SurfaceError(f"{path} has examples without labels; delete it and compute again.")
    return header


def _layout(header: Header, path: Path) -> tuple[Grid, int]:
    try:
        return layout(header.spec)
    except InputError as error:
        raise SurfaceError(f"{path} is not a surface's journal: {error}") from error


def _session(payload: bytes, path: Path) -> Mapping[str, Any]:
    try:
        entry = json.loads(payload)
    except ValueError as error:
        raise SurfaceError(f"{path} has an unknown session ({error}); delete it and compute again.") from error
    return entry if isinstance(entry, dict) else {"provenance": entry}


def _point(fields: tuple[int, int, int], grid: Grid, num_directions: int) -> Point | None:
    if fields == (CENTRE[0], UNUSED, UNUSED):
        return CENTRE
    used = 1 + len(grid.shape)
    inside = all(0 <= field < size for field, size in zip(fields[:used], (num_directions, *grid.shape), strict=True))
    return fields[:used] if inside and set(fields[used:]) <= {UNUSED} else None

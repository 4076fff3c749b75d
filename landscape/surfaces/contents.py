"""What a journal holds, read with distrust.

The first record is the HEADER (JSON: format, key, specification, examples, batch size); a SESSION (JSON: provenance of
the process that appends) precedes its POINTs (the four arrays of a `Measurement`). Every record is sound or damaged by
itself: what is damaged does not count, whatever stands before and behind it does.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from landscape.errors import FileError, InputError, SurfaceError
from landscape.files import canonical_json, digest_json, open_regular, parse_json, reason_of
from landscape.protocols import Measurement
from landscape.surfaces.records import (
    BYTES_PER_EXAMPLE,
    UNUSED,
    Kind,
    Record,
    decode,
    read_record,
    read_records,
    was_torn,
    were_points,
)
from landscape.surfaces.surface import CENTRE, Grid, Point, layout

FORMAT = "landscape-journal/1"

LOST: Mapping[str, Any] = {"provenance": "lost in a damaged journal"}
"""Provenance of points whose session record is damaged."""


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
            parts = parse_json(text)
            if parts.pop("format") != FORMAT:
                raise SurfaceError(f"{path} is not in the format {FORMAT}; upgrade this package or delete the file.")
            for name in ("example_ids", "labels"):
                parts[name] = _whole_numbers(name, parts[name])
            header = cls(**parts)
            size = header.batch_size
            if not isinstance(header.spec, dict) or not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError("its specification or batch size makes no sense")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SurfaceError(f"{path} has an unknown header ({error}); delete it and compute again.") from error
        return header


@dataclass(frozen=True)
class PointRecord:
    """Where a point's measurement lies in a journal: the byte offset of its payload, and its session's number."""

    point: Point
    offset: int
    session: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a journal with a sound header holds.

    Attributes:
        path: the file.
        header: its first record.
        sessions: provenance of each process that appended, in order.
        points: finished points, in order; the measurements stay in the file until `measurements` reads them.
        damaged: whether something before `end` is damaged or of an unknown kind; what is behind `end` never counts.
        end: byte behind the last sound record.
        size: bytes of the file.
    """

    path: Path
    header: Header
    sessions: tuple[Mapping[str, Any], ...]
    points: tuple[PointRecord, ...]
    damaged: bool
    end: int
    size: int

    def measurements(self, of: Container[Point] | None = None) -> Iterator[tuple[PointRecord, Measurement]]:
        """Read every point, or those that are asked for.

        Raises:
            SurfaceError: the file was cut since it was scanned.
            FileError: the file cannot be read any more.
        """
        n = len(self.header.example_ids)
        try:
            with open_regular(self.path) as stream:
                for record in self.points:
                    if of is not None and record.point not in of:
                        continue
                    stream.seek(record.offset)
                    payload = stream.read(n * BYTES_PER_EXAMPLE)
                    if len(payload) < n * BYTES_PER_EXAMPLE:
                        raise SurfaceError(f"{self.path} was cut while it was read; run it again.")
                    yield record, decode(payload, n)
        except OSError as error:
            raise FileError(f"cannot read {self.path}: {reason_of(error)}.") from error


def scan(path: Path, *, key: str | None = None) -> Contents | None:
    """Read a journal; None if not even the header is sound.

    Args:
        path: the file.
        key: the surface it must belong to; None takes the key that the header names.

    Raises:
        SurfaceError: the journal is of another surface or format, or holds what cannot be its own.
        FileError: the file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            return _scan(path, stream, key)
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error


def read_header(path: Path) -> Header | None:
    """The first record of a journal alone, its key verified; None if it is not sound. Errors as `scan`."""
    try:
        with open_regular(path) as stream:
            return _header(path, read_record(stream, 0, _size(stream)), None)
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error


def is_damaged(path: Path, contents: Contents | None) -> bool:
    """Whether a journal lost more than an unfinished end, so that it should neither be cut nor deleted.

    Args:
        path: the file.
        contents: what `scan` found in it.

    Raises:
        FileError: the file cannot be read.
    """
    if contents is not None:
        return contents.damaged
    try:
        with open_regular(path) as stream:
            size = _size(stream)
            return not was_torn(stream, 0, size) or next(read_records(stream, size), None) is not None
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error


def _scan(path: Path, stream: BinaryIO, key: str | None) -> Contents | None:
    size = _size(stream)
    first = read_record(stream, 0, size)
    header = _header(path, first, key)
    if first is None or header is None:
        return None
    grid, num_directions = _layout(header, path)
    n = len(header.example_ids)
    sessions: list[Mapping[str, Any]] = []
    points: list[PointRecord] = []
    session: int | None = None
    damaged, end = False, first.end
    for record in read_records(stream, size):
        if record.start < end:
            continue  # the header
        known = record.kind in (Kind.SESSION, Kind.POINT)
        damaged |= record.start > end or not known
        if not (known and were_points(stream, end, record.start, n)):
            session = None  # among what is lost may be the session of the points that follow
        end = record.end
        if record.kind == Kind.SESSION:
            session = len(sessions)
            sessions.append(_session(record.payload))
        elif record.kind == Kind.POINT:
            point = _point(record.fields, grid, num_directions)
            if point is None or len(record.payload) != n * BYTES_PER_EXAMPLE:
                raise SurfaceError(f"{path} holds a point that is not of its surface; delete it and compute again.")
            if session is None:
                session = len(sessions)
                sessions.append(LOST)
            points.append(PointRecord(point, record.payload_start, session))
    return Contents(
        path=path,
        header=header,
        sessions=tuple(sessions),
        points=tuple(points),
        damaged=damaged,
        end=end,
        size=size,
    )


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _header(path: Path, first: Record | None, key: str | None) -> Header | None:
    if first is None or first.kind != Kind.HEADER:
        return None
    header = Header.from_json(first.payload, path)
    if digest_json(header.spec) != header.key or header.key != (key or header.key):
        raise SurfaceError(f"{path} is the journal of another surface; move it away and compute again.")
    if len(header.example_ids) != len(header.labels):
        raise SurfaceError(f"{path} has examples without labels; delete it and compute again.")
    return header


def _whole_numbers(name: str, numbers: Any) -> npt.NDArray[np.int64]:
    array = np.array(numbers)
    if array.ndim != 1 or array.dtype != np.int64:
        raise ValueError(f"{name} is no list of whole numbers")
    return array


def _layout(header: Header, path: Path) -> tuple[Grid, int]:
    try:
        return layout(header.spec)
    except (InputError, OverflowError) as error:
        raise SurfaceError(f"{path} is not a surface's journal: {error}") from error


def _session(payload: bytes) -> Mapping[str, Any]:
    """The provenance in a session record; points outlive one that makes no sense."""
    try:
        entry = parse_json(payload)
    except ValueError:
        return LOST
    return entry if isinstance(entry, dict) else {"provenance": entry}


def _point(fields: tuple[int, int, int], grid: Grid, num_directions: int) -> Point | None:
    if fields == (CENTRE[0], UNUSED, UNUSED):
        return CENTRE
    used = 1 + len(grid.shape)
    inside = all(0 <= field < size for field, size in zip(fields[:used], (num_directions, *grid.shape), strict=True))
    return fields[:used] if inside and set(fields[used:]) <= {UNUSED} else None

"""Framing of a journal's records and the bytes of a measurement.

A record, little-endian: magic "LSJ1", kind, direction, index 0, index 1 (int32; unused: -1), payload length (uint64),
CRC-32 over all of these and the payload (uint32), payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import BinaryIO

import numpy as np

from landscape.errors import SurfaceError
from landscape.protocols import Measurement

UNUSED = -1
"""Index fields that a record does not need."""

BYTES_PER_EXAMPLE = 10

_FIELDS = struct.Struct("<4siiiiQ")
_CHECKSUM = struct.Struct("<I")
_HEAD_SIZE = _FIELDS.size + _CHECKSUM.size
_MAGIC = b"LSJ1"
_PAYLOAD = {"adversarial_loss": "<f4", "clean_loss": "<f4", "adversarial_correct": "u1", "clean_correct": "u1"}

_CHUNK = 1 << 16
_MOST_WASTED = 8
"""How many times its own size of damaged records is read in a file before the search for sound ones ends."""


class Kind(IntEnum):
    """What a record holds."""

    HEADER = 1
    SESSION = 2
    POINT = 3


@dataclass(frozen=True)
class Head:
    """What stands before a payload, believed only once the checksum of the whole record is."""

    kind: int
    fields: tuple[int, int, int]
    length: int
    checksum: int


@dataclass(frozen=True)
class Record:
    """A sound record: its kind, its index fields, the byte where it begins, and what it holds."""

    kind: int
    fields: tuple[int, int, int]
    start: int
    payload: bytes

    @property
    def payload_start(self) -> int:
        """The byte where the payload begins."""
        return self.start + _HEAD_SIZE

    @property
    def end(self) -> int:
        """The byte behind the record."""
        return self.payload_start + len(self.payload)


def read_records(stream: BinaryIO, size: int) -> Iterator[Record]:
    """Yield the sound records of a file of `size` bytes; behind a damaged one it goes on at the next that is sound."""
    start, wasted = 0, 0
    while True:
        for place in chain((start,), _magics(stream, start + 1)):
            record = read_record(stream, place, size)
            if record is not None:
                break
            wasted += stream.tell() - place
            if wasted > _MOST_WASTED * size:
                return
        else:
            return
        yield record
        start = record.end


def read_record(stream: BinaryIO, start: int, size: int) -> Record | None:
    """The record that begins at byte `start` of a file of `size` bytes; None if it is damaged or unfinished."""
    head = _read_head(stream, start)
    # The length is compared with the file before it is believed: a flipped bit must not ask for terabytes.
    if head is None or head.length > size - start - _HEAD_SIZE:
        return None
    payload = stream.read(head.length)
    if len(payload) < head.length or _checksum(head.kind, head.fields, payload) != head.checksum:
        return None
    return Record(head.kind, head.fields, start, payload)


def was_torn(stream: BinaryIO, start: int, size: int) -> bool:
    """Whether the record at byte `start` was never finished: the file ends inside it."""
    head = _read_head(stream, start)
    return size - start < _HEAD_SIZE or (head is not None and head.length > size - start - _HEAD_SIZE)


def were_points(stream: BinaryIO, start: int, stop: int, num_examples: int) -> bool:
    """Whether the damaged bytes from `start` to `stop` were points and nothing else, as their unverified heads say."""
    while start < stop:
        head = _read_head(stream, start)
        if head is None or (head.kind, head.length) != (Kind.POINT, num_examples * BYTES_PER_EXAMPLE):
            return False
        start += _HEAD_SIZE + head.length
    return start == stop


def pack_record(kind: Kind, point: tuple[int, ...], payload: bytes) -> bytes:
    """The bytes of a record."""
    direction, first, second = (*point, UNUSED, UNUSED, UNUSED)[:3]
    fields = (direction, first, second)
    return _pack_fields(kind, fields, payload) + _CHECKSUM.pack(_checksum(kind, fields, payload)) + payload


def encode(measurement: Measurement, num_examples: int) -> bytes:
    """The payload of a point: the four arrays of n numbers, one after the other.

    Raises:
        SurfaceError: an array has another length or type.
    """
    arrays = measurement.arrays()
    for name, array in arrays.items():
        if array.dtype != np.dtype(_PAYLOAD[name]) or array.shape != (num_examples,):
            raise SurfaceError(
                f"{name} of a point needs {num_examples} numbers of type {np.dtype(_PAYLOAD[name]).name}, "
                f"got {array.shape} of {array.dtype.name}."
            )
    return b"".join(arrays[name].astype(dtype).tobytes() for name, dtype in _PAYLOAD.items())


def decode(payload: bytes, num_examples: int) -> Measurement:
    """The inverse of `encode`."""
    arrays, offset = {}, 0
    for name, dtype in _PAYLOAD.items():
        array = np.frombuffer(payload, dtype=dtype, count=num_examples, offset=offset)
        arrays[name] = array.astype(array.dtype.newbyteorder("="))
        offset += array.nbytes
    return Measurement(**arrays)


def _read_head(stream: BinaryIO, start: int) -> Head | None:
    stream.seek(start)
    head = stream.read(_HEAD_SIZE)
    if len(head) < _HEAD_SIZE or not head.startswith(_MAGIC):
        return None
    _, kind, direction, first, second, length = _FIELDS.unpack_from(head)
    return Head(kind, (direction, first, second), length, _CHECKSUM.unpack_from(head, _FIELDS.size)[0])


def _magics(stream: BinaryIO, start: int) -> Iterator[int]:
    """The bytes at or behind `start` where a record may begin; the stream may be moved in between."""
    while True:
        stream.seek(start)
        chunk = stream.read(_CHUNK)
        place = chunk.find(_MAGIC)
        while place >= 0:
            yield start + place
            place = chunk.find(_MAGIC, place + 1)
        if len(chunk) < _CHUNK:
            return
        start += len(chunk) - len(_MAGIC) + 1  # a magic may lie across two chunks


def _pack_fields(kind: int, fields: tuple[int, int, int], payload: bytes) -> bytes:
    return _FIELDS.pack(_MAGIC, kind, *fields, len(payload))


def _checksum(kind: int, fields: tuple[int, int, int], payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_pack_fields(kind, fields, payload)))

"""Framing of a journal's records and the bytes of a measurement.

A record, little-endian: magic "LSJ1", kind, direction, index 0, index 1 (int32; unused: -1), payload length (uint64),
CRC-32 over all of these and the payload (uint32), payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import BinaryIO

import numpy as np

from landscape.errors import SurfaceError
from landscape.protocols import Measurement

UNUSED = -1
"""Index fields that a record does not need."""

BYTES_PER_EXAMPLE = 10

_FIELDS = struct.Struct("<4siiiiQ")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"LSJ1"
_PAYLOAD = {"adversarial_loss": "<f4", "clean_loss": "<f4", "adversarial_correct": "u1", "clean_correct": "u1"}


class Kind(IntEnum):
    """What a record holds."""

    HEADER = 1
    SESSION = 2
    POINT = 3


def read_records(stream: BinaryIO, size: int) -> Iterator[tuple[int, tuple[int, int, int], bytes]]:
    """Yield (kind, point fields, payload) while they are sound; the stream stands behind the last one yielded."""
    while len(head := stream.read(_FIELDS.size + _CHECKSUM.size)) == _FIELDS.size + _CHECKSUM.size:
        magic, kind, *fields, length = _FIELDS.unpack_from(head)
        # The length is compared with the file before it is believed: a flipped bit must not ask for terabytes.
        if magic != _MAGIC or length > size - stream.tell():
            return
        payload = stream.read(length)
        if zlib.crc32(payload, zlib.crc32(head[: _FIELDS.size])) != _CHECKSUM.unpack_from(head, _FIELDS.size)[0]:
            return
        yield kind, (fields[0], fields[1], fields[2]), payload


def pack_record(kind: Kind, point: tuple[int, ...], payload: bytes) -> bytes:
    """The bytes of a record."""
    direction, first, second = (*point, UNUSED, UNUSED, UNUSED)[:3]
    head = _FIELDS.pack(_MAGIC, kind, direction, first, second, len(payload))
    return head + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


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

"""The first bytes of an HDF5 file, made whole.

HDF5 1.14 clears the flags of an open file in the image that it gives of it, but not their checksum, so that nobody can
open the image (seen with h5py 3.11 to 3.13; HDF5 2.0 gives sound ones).
"""

from __future__ import annotations

import struct

COVERED = 44
"""Bytes of a superblock of version 3 that its checksum, the next four bytes, covers (with offsets of eight bytes)."""

_WORD = 0xFFFFFFFF
_MIX = ((4, 2), (6, 0), (8, 1), (16, 2), (19, 0), (4, 1))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def with_checksum(image: bytes) -> bytes:
    """The image of a file with a superblock of version 3, with the checksum of its superblock computed anew."""
    return image[:COVERED] + struct.pack("<I", checksum(image[:COVERED])) + image[COVERED + 4 :]


def checksum(block: bytes) -> int:
    """Bob Jenkins's lookup3 (hashlittle) of a block, from 0, as HDF5 protects its metadata."""
    state = [(0xDEADBEEF + len(block)) & _WORD] * 3
    while len(block) > 12:
        _add(state, block[:12])
        _mix(state)
        block = block[12:]
    _add(state, block.ljust(12, b"\0"))
    # With a, b, c = state[0], state[1], state[2]: c ^= b, c -= b rotated by 14, and so on.
    for target, source, turn in _FINAL if block else ():
        state[target] = ((state[target] ^ state[source]) - _rotated(state[source], turn)) & _WORD
    return state[2]


def _add(state: list[int], block: bytes) -> None:
    for place, word in enumerate(struct.unpack("<3I", block)):
        state[place] = (state[place] + word) & _WORD


def _mix(state: list[int]) -> None:
    # a -= c, a ^= c rotated by 4, c += b; then the same with the letters moved on.
    for step, (turn, source) in enumerate(_MIX):
        target, other = step % 3, (source + 2) % 3
        state[target] = ((state[target] - state[source]) & _WORD) ^ _rotated(state[source], turn)
        state[source] = (state[source] + state[other]) & _WORD


def _rotated(word: int, turn: int) -> int:
    return ((word << turn) | (word >> (32 - turn))) & _WORD

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import pytest

from landscape.surfaces.superblock import COVERED, checksum, with_checksum


@pytest.mark.parametrize(
    ("block", "expected"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
    ids=["nothing", "thirty-bytes"],
)
def test_the_checksum_is_that_of_the_published_examples(block: bytes, expected: int) -> None:
    assert checksum(block) == expected


def test_a_file_of_hdf5_has_this_checksum_and_another_one_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs["name"] = "value"
    sound = path.read_bytes()
    assert sound[8] == 3
    assert struct.unpack("<I", sound[COVERED : COVERED + 4]) == (checksum(sound[:COVERED]),)
    broken = sound[:COVERED] + bytes(4) + sound[COVERED + 4 :]
    assert with_checksum(broken) == sound

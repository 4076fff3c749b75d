from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import landscape
from landscape.errors import FileError, SurfaceError
from landscape.surfaces.hdf5 import SIGNATURE, created, read_plain, read_text, write_plain


def test_h5py_is_imported_in_one_place() -> None:
    package = Path(landscape.__file__).parent
    importers = [path for path in package.rglob("*.py") if re.search(r"^\s*(import|from) h5py", path.read_text(), re.M)]
    assert [path.relative_to(package).as_posix() for path in importers] == ["surfaces/hdf5.py"]


def test_arrays_and_texts_are_read_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1], np.uint8)}
    path = write_plain(tmp_path / "x.h5", arrays, {"format": "mine", "label": "épsilon"})
    found = read_plain(path, remedy="")
    assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in arrays.items()}
    assert (read_text(path, "label"), read_text(path, "absent")) == ("épsilon", "")


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "x.h5", {"a": np.ones(2)}, {})
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), created(path) as file:
        file.create_dataset("b", data=np.zeros(1 // 0))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_sentence_about_a_damaged_file_ends_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(SIGNATURE)
    with pytest.raises(SurfaceError, match=r"x.h5 is damaged or no surface file \(.*\); import it again\.$"):
        read_plain(path, remedy="import it again")
    with pytest.raises(SurfaceError, match=r"; delete it and compute it again\.$"):
        read_text(path, "format")
    with pytest.raises(FileError, match=r"none\.h5 is not there"):
        read_text(tmp_path / "none.h5", "format")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pt", b"PK\x03\x04", r"model\.pt is no HDF5 file; give a surface file \(\.h5\)\.$"),
        ("text.h5", b"", r"text\.h5 is no HDF5 file; give a surface file \(\.h5\)\.$"),
        (f"{64 * 'a'}.pt", b"PK\x03\x04", r"\.pt is no HDF5 file; give a surface file \(\.h5\)\.$"),
        ("torn.h5", SIGNATURE + b"\0", r"torn\.h5 is damaged or no surface file \(.*\); delete it"),
        (f"{64 * 'a'}.h5", b"", r"a\.h5 is damaged or no surface file \(.*\); delete it"),
        ("theirs-0123456789ab.h5", b"PK", r"ab\.h5 is damaged or no surface file \(.*\); delete it"),
    ],
)
def test_only_what_was_a_surface_is_called_damaged(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SurfaceError, match=message):
        read_text(tmp_path / name, "format")

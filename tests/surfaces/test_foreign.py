"""Files as tomgoldstein/loss-landscape writes them: the array is declared (x, y) and filled in the order (y, x)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.errors import FileError, SurfaceError
from landscape.surfaces.foreign import import_foreign, read_foreign, write_foreign


def write_theirs(path: Path, x: Any, y: Any = None, *, missing: tuple[int, ...] = (), **values: Any) -> Path:
    """A file of that tool: every value is put where its loop over a flat index would put it."""
    with h5py.File(path, "w") as file:
        file["dir_file"] = "direction.h5"
        file["xcoordinates"] = np.asarray(x)
        if y is not None:
            file["ycoordinates"] = np.asarray(y)
        for name, value in values.items():
            if not callable(value):
                file[name] = value
                continue
            filled = np.full(len(x) if y is None else (len(x), len(y)), -1.0)
            mesh_x, mesh_y = np.meshgrid(x, [0.0] if y is None else y)
            for index in set(range(filled.size)) - set(missing):
                filled.ravel()[index] = value(mesh_x.ravel()[index], mesh_y.ravel()[index])
            file[name] = filled
    return path


X, Y = [-1.0, 0.0, 1.0], [-2.0, -1.0, 0.0, 1.0, 2.0]


@pytest.mark.parametrize("y", [None, X, Y, [0.0, 1.0]], ids=["line", "square", "tall", "wide"])
def test_every_value_lies_at_its_own_coordinates(tmp_path: Path, y: list[float] | None) -> None:
    path = write_theirs(tmp_path / "a.h5", X, y, train_loss=lambda a, b: 5 + a + 10 * b, test_acc=lambda a, b: 90 - b)
    found = import_foreign(path)
    assert found.grid.alpha == tuple(X) and found.grid.beta == (None if y is None else tuple(y))
    expected = [[5 + a + 10 * b for b in (y or [0.0])] for a in X]
    np.testing.assert_array_equal(found.means["train_loss"].reshape(3, -1), expected)
    assert set(found.means) == {"train_loss", "test_acc"} and (found.status["train_loss"] == 1).all()


def test_missing_zero_and_not_finite_are_told_apart(tmp_path: Path) -> None:
    path = write_theirs(tmp_path / "a.h5", [*X, 2.0], train_loss=np.array([-1.0, 0.0, np.nan, 3.0]))
    found = import_foreign(path, label="theirs")
    assert found.status["train_loss"].tolist() == [0, 1, 2, 1]
    np.testing.assert_array_equal(found.means["train_loss"], [np.nan, 0.0, np.nan, 3.0])
    assert (found.label, found.source) == ("theirs", "a.h5")


def test_numbers_that_no_axis_holds_count_as_not_finite(tmp_path: Path) -> None:
    found = import_foreign(write_theirs(tmp_path / "a.h5", X, train_loss=np.array([1e308, -1e308, 1.0])))
    assert found.status["train_loss"].tolist() == [2, 2, 1]


def test_an_imported_surface_is_read_back(tmp_path: Path) -> None:
    theirs = write_theirs(
        tmp_path / "a.h5", X, Y, missing=(3,), train_loss=lambda a, b: a * b, train_acc=lambda a, b: 50
    )
    found = import_foreign(theirs)
    again = read_foreign(write_foreign(tmp_path / "b.h5", found))
    assert again is not None
    assert (again.label, again.source, again.digest, again.grid) == ("a", "a.h5", found.digest, found.grid)
    for name in found.means:
        np.testing.assert_array_equal(again.means[name], found.means[name])
        np.testing.assert_array_equal(again.status[name], found.status[name])
    with pytest.raises(SurfaceError, match=r"a.h5 is a surface file of .*; take it in with `landscape cache import"):
        read_foreign(theirs)


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ({"x": X, "train_loss": np.zeros(4)}, "train_loss of .* has 4 values for a grid of 3"),
        ({"x": X, "y": X, "train_loss": np.zeros(3)}, "has 3 values for a grid of 3 x 3"),
        ({"x": X, "train_err": np.zeros(3)}, "holds none of train_loss"),
        ({"x": [1.0, 0.0], "train_loss": np.zeros(2)}, "the coordinates of .* make no grid"),
        ({"x": 3.0, "train_loss": np.zeros(1)}, "the coordinates of .* make no grid"),
        ({"x": [-1e300, 0.0, 1e300], "train_loss": np.zeros(3)}, "numbers of at most 1e[+]30 in size"),
    ],
    ids=["length", "plane", "names", "order", "scalar", "far away"],
)
def test_files_that_contradict_themselves_are_refused(tmp_path: Path, contents: dict[str, Any], text: str) -> None:
    with pytest.raises(SurfaceError, match=text):
        import_foreign(write_theirs(tmp_path / "a.h5", **contents))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(SurfaceError, match="has no xcoordinates; only surface files of tomgoldstein/loss-landscape"):
        import_foreign(tmp_path / "other.h5")
    with pytest.raises(SurfaceError, match=r"text\.h5 is no HDF5 file; give a surface file"):
        import_foreign(tmp_path / "text.h5")
    (tmp_path / "torn.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:100])
    with pytest.raises(
        SurfaceError, match=r"or no surface file \(.*\); take it anew from tomgoldstein/loss-landscape\.$"
    ):
        import_foreign(tmp_path / "torn.h5")
    with pytest.raises(FileError, match="is not there"):
        import_foreign(tmp_path / "absent.h5")


def test_links_and_bombs_are_not_followed(tmp_path: Path) -> None:
    path = write_theirs(tmp_path / "a.h5", X, train_loss=np.zeros(3))
    with h5py.File(path, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("secret.h5", "/x")
    assert set(import_foreign(path).means) == {"train_loss"}
    with h5py.File(path, "r+") as file:
        file.create_dataset("test_loss", (10**6, 10**6), "f8", chunks=(1, 10))
    with pytest.raises(SurfaceError, match="test_loss declares more than the file can hold"):
        import_foreign(path)


def test_a_damaged_import_is_refused(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "b.h5", import_foreign(write_theirs(tmp_path / "a.h5", X, train_loss=np.zeros(3))))
    with h5py.File(path, "r+") as file:
        del file["alpha"]
    with pytest.raises(SurfaceError, match="is damaged; delete it and import it again"):
        read_foreign(path)
    inside = tmp_path / "imported" / "b-0123456789ab.h5"
    inside.parent.mkdir()
    inside.write_bytes(b"no HDF5")
    with pytest.raises(SurfaceError, match=r"; delete it and import it again\.$"):
        read_foreign(inside)

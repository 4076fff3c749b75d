from __future__ import annotations

import base64
import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape.errors import FileError, InputError
from landscape.surfaces.export import export_surface
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface
from tests.analysis.synthetic import SPEC, make_surface, measurement


def line_surface() -> Surface:
    """Two directions, five nodes; one point missing, one not finite."""
    return make_surface(num_directions=2, grid="-1:1:5", num_examples=6, missing=((0, 1),), not_finite=((1, 3),))


def plane_surface(*, num_planes: int = 1, num_missing: int = 1) -> Surface:
    """g(a, b) = 1 + a + 10 b on 3 x 2 nodes, the last of them missing."""
    grid = Grid.parse("-1:1:3", "0:1:2")
    spec = {**SPEC, "grid": grid.to_spec(), "num_directions": num_planes}
    draft = Draft(key="ab" * 32, spec=spec, example_ids=np.arange(4), labels=np.zeros(4, int))
    entry = draft.add_provenance({"label": "digits-at"})
    draft.put(CENTRE, measurement(np.full(4, 1.0), np.full(4, 0.5)), entry)
    for plane in range(num_planes):
        for index in list(grid.indices())[: 6 - num_missing]:
            a, b = grid.node(index)
            loss = 100 * plane + 1 + a + 10 * b + np.array([-0.25, 0.25, 0, 0])
            draft.put((plane, *index), measurement(loss, np.full(4, 0.5)), entry)
    return draft.surface()


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def decoded(array: ElementTree.Element) -> npt.NDArray[Any]:
    """Numbers of a DataArray as VTK reads them: base64 of their length in bytes (uint64), then of the numbers."""
    content = base64.b64decode(array.text or "", validate=True)
    assert int.from_bytes(content[:8], "little") == len(content) - 8
    numbers = np.frombuffer(content[8:], {"Float64": "<f8", "Int64": "<i8", "UInt8": "u1"}[array.attrib["type"]])
    return numbers.reshape(-1, int(array.get("NumberOfComponents", "1"))).squeeze()


def arrays_of(path: Path) -> dict[str, npt.NDArray[Any]]:
    root = ElementTree.parse(path).getroot()
    assert root.attrib["byte_order"] == "LittleEndian" and root.attrib["header_type"] == "UInt64"
    return {array.attrib["Name"]: decoded(array) for array in root.iter("DataArray")}


def test_csv_has_a_row_for_every_point_and_the_centre_first(tmp_path: Path) -> None:
    surface = line_surface()
    rows = rows_of(export_surface(surface, tmp_path / "a.csv"))
    assert list(rows[0]) == [
        "direction", "alpha", "status", "examples", "adversarial_loss", "clean_loss", "robust_error", "natural_error",
    ]  # fmt: skip
    assert len(rows) == 11 and rows[0]["direction"] == "centre" and rows[0]["alpha"] == "0.0"
    assert float(rows[0]["adversarial_loss"]) == surface.centre_mean()
    for row in rows[1:]:
        point = int(row["direction"]), surface.grid.alpha.index(float(row["alpha"]))
        if point == (0, 1):
            assert (row["status"], row["examples"], row["adversarial_loss"]) == ("missing", "0", "")
        elif point == (1, 3):
            assert (row["status"], row["adversarial_loss"]) == ("not finite", "nan")
        else:
            assert (row["status"], row["examples"]) == ("done", "6")
            assert float(row["adversarial_loss"]) == surface.mean()[point]
            assert float(row["robust_error"]) == pytest.approx(surface.mean("robust-error")[point])


def test_csv_by_example_gives_every_number_back_exactly(tmp_path: Path) -> None:
    surface = line_surface()
    rows = rows_of(export_surface(surface, tmp_path / "a.csv", by_example=True))
    assert len(rows) == 6 * (1 + 10 - 1)  # the centre, ten points, one of them missing
    found = [row for row in rows if (row["direction"], row["alpha"]) == ("1", "0.5")]
    losses = np.array([np.float32(row["adversarial_loss"]) for row in found])
    np.testing.assert_array_equal(losses, surface.adversarial_loss[1, 3])
    assert np.isnan(losses[0]) and [int(row["example"]) for row in found] == list(range(6))


def test_csv_of_a_plane_has_both_coordinates(tmp_path: Path) -> None:
    rows = rows_of(export_surface(plane_surface(), tmp_path / "a.csv"))
    assert [(row["alpha"], row["beta"]) for row in rows[:3]] == [("0.0", "0.0"), ("-1.0", "0.0"), ("-1.0", "1.0")]
    assert [float(row["adversarial_loss"]) for row in rows[1:4]] == [0.0, 10.0, 1.0]


def test_npz_has_every_array(tmp_path: Path) -> None:
    surface = line_surface()
    with np.load(export_surface(surface, tmp_path / "a.npz")) as stored:
        for name, array in surface.arrays.items():
            np.testing.assert_array_equal(stored[name], array)
        np.testing.assert_array_equal(stored["status"], surface.status)
        np.testing.assert_array_equal(stored["alpha"], surface.grid.alpha)
        np.testing.assert_array_equal(stored["centre_clean_loss"], surface.centre.clean_loss)
        assert json.loads(str(stored["spec"])) == surface.spec and str(stored["key"]) == surface.key


def test_vts_is_the_plane_with_the_loss_as_height(tmp_path: Path) -> None:
    path = export_surface(plane_surface(num_missing=0), tmp_path / "a.vts")
    root = ElementTree.parse(path).getroot()
    assert root.attrib["type"] == "StructuredGrid"
    assert [element.attrib["WholeExtent"] for element in root.iter("StructuredGrid")] == ["0 2 0 1 0 0"]
    assert [element.attrib["Extent"] for element in root.iter("Piece")] == ["0 2 0 1 0 0"]
    # The first axis runs fastest.
    expected = [[a, b, 1 + a + 10 * b] for b in (0.0, 1.0) for a in (-1.0, 0.0, 1.0)]
    found = arrays_of(path)
    np.testing.assert_array_equal(found["Points"], expected)
    np.testing.assert_array_equal(found["adversarial_loss"], np.array(expected)[:, 2])
    assert not found["vtkGhostType"].any() and set(found) > {"clean_loss", "robust_error", "natural_error", "status"}


def test_vts_hides_points_that_are_missing(tmp_path: Path) -> None:
    found = arrays_of(export_surface(plane_surface(), tmp_path / "a.vts"))
    assert found["vtkGhostType"].tolist() == [0, 0, 0, 0, 0, 2] and found["status"].tolist() == [1, 1, 1, 1, 1, 0]
    assert np.isnan(found["adversarial_loss"][5]) and np.isfinite(found["Points"]).all()


def test_vts_of_several_planes_takes_the_one_that_is_named(tmp_path: Path) -> None:
    surface = plane_surface(num_planes=2)
    with pytest.raises(InputError, match="this surface has 2; choose with --direction 0 to 1"):
        export_surface(surface, tmp_path / "a.vts")
    with pytest.raises(InputError, match="are 0 to 1, got --direction 2"):
        export_surface(surface, tmp_path / "a.vts", direction=2)
    assert arrays_of(export_surface(surface, tmp_path / "a.vts", direction=1))["Points"][0, 2] == 100.0


def test_vtp_is_a_polyline_for_each_unbroken_stretch(tmp_path: Path) -> None:
    surface = line_surface()
    path = export_surface(surface, tmp_path / "a.vtp")
    found = arrays_of(path)
    # Direction 0 lacks its second node, direction 1 its fourth.
    assert found["offsets"].tolist() == [1, 4, 7, 8] and found["direction"].tolist() == [0, 0, 1, 1]
    assert found["connectivity"].tolist() == list(range(8))
    np.testing.assert_array_equal(found["Points"][:, 0], [-1, 0, 0.5, 1, -1, -0.5, 0, 1])
    done = np.concatenate([surface.mean()[0, [0, 2, 3, 4]], surface.mean()[1, [0, 1, 2, 4]]])
    np.testing.assert_array_equal(found["Points"][:, 1], done)
    (piece,) = ElementTree.parse(path).getroot().iter("Piece")
    assert (piece.attrib["NumberOfPoints"], piece.attrib["NumberOfLines"]) == ("8", "4")


@pytest.mark.parametrize(
    ("make", "name", "options", "text"),
    [
        (line_surface, "a.xlsx", {}, "is exported as .csv, .npz, .vts, .vtp, got 'a.xlsx'"),
        (line_surface, "a.vts", {}, "this surface is a line; write it as .vtp"),
        (plane_surface, "a.vtp", {}, "this surface is a plane; write it as .vts"),
        (line_surface, "a.npz", {"by_example": True}, "--by-example is for .csv"),
        (line_surface, "a.csv", {"direction": 0}, "--direction is for .vts"),
    ],
    ids=["suffix", "line", "plane", "by-example", "direction"],
)
def test_what_does_not_fit_is_refused(make: Any, name: str, options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=text):
        export_surface(make(), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(FileError, match="cannot write"):
        export_surface(line_surface(), tmp_path / "a.csv")

"""Surfaces for other programs: CSV, NumPy's `.npz`, and VTK's XML formats `.vts` and `.vtp`, which ParaView opens."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError
from landscape.files import canonical_json, write_text, written_atomically
from landscape.surfaces.surface import CENTRE, DONE, MISSING, Point, Surface

Floats = npt.NDArray[np.float64]

STATUS_WORDS = ("missing", "done", "not finite")

LEFT_OUT = "left out"
"""What a table says of a node that a refined plane did not ask for."""

MEANS = {
    "adversarial_loss": "loss",
    "clean_loss": "natural-loss",
    "robust_error": "robust-error",
    "natural_error": "natural-error",
}
"""Names of exported means, and the quantities that they are means of."""

HIDDEN_POINT = 2
"""What VTK's array `vtkGhostType` says of a point that is not to be drawn."""


def export_surface(surface: Surface, path: Path, *, by_example: bool = False, direction: int | None = None) -> Path:
    """Write a surface in the format that the suffix of `path` names.

    `.csv` has a row for every point, the centre first, with the means over examples and their number; or, by example, a
    row for every point and example. `.npz` has every array, with key, specification and provenance as JSON. `.vtp` has
    a polyline for each direction of a line (x = alpha, y = adversarial loss), broken where points are not done. `.vts`
    has the plane of one direction (x = alpha, y = beta, z = adversarial loss), where such points are hidden.

    Args:
        surface: complete or not.
        path: the file; an old one is replaced.
        by_example: of `.csv`: one row for each example.
        direction: of `.vts`: which plane, from 0; may be left out where there is one.

    Raises:
        InputError: another suffix, or a surface or option that the format does not fit.
        FileError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(
            f"a surface is exported as {', '.join(_WRITERS)}, got {path.name!r}; give one of these suffixes."
        )
    if by_example and suffix != ".csv":
        raise InputError(f"--by-example is for .csv, got {path.name!r}; .npz has every example without it.")
    if direction is not None and suffix != ".vts":
        raise InputError(f"--direction is for .vts, got {path.name!r}; the other formats hold all directions.")
    _WRITERS[suffix](surface, path, by_example, direction)
    return path


def means_at(surface: Surface, point: Point) -> dict[str, float]:
    """The means over examples at a point, by the names of `MEANS`; NaN and infinities as they were measured."""
    found = surface.measurement(point).arrays()
    with np.errstate(invalid="ignore", over="ignore"):
        losses = {name: float(np.mean(found[name], dtype=np.float64)) for name in ("adversarial_loss", "clean_loss")}
    return losses | {
        "robust_error": 1.0 - float(np.mean(found["adversarial_correct"])) / surface.num_draws,
        "natural_error": 1.0 - float(np.mean(found["clean_correct"])) / surface.num_draws,
    }


def _write_csv(surface: Surface, path: Path, by_example: bool, direction: int | None) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    axes = ["alpha"] if surface.grid.beta is None else ["alpha", "beta"]
    if by_example:
        table.writerow(["direction", *axes, "example", "label", *surface.centre.arrays()])
        table.writerows(_example_rows(surface))
    else:
        table.writerow(["direction", *axes, "status", "examples", *MEANS])
        table.writerows(_point_rows(surface))
    write_text(path, text.getvalue())


def _point_rows(surface: Surface) -> Iterator[list[Any]]:
    words = (LEFT_OUT if surface.complete else STATUS_WORDS[MISSING], *STATUS_WORDS[1:])
    for point in _points(surface):
        status = surface.point_status(point)
        known = status != MISSING
        means = list(means_at(surface, point).values()) if known else [""] * len(MEANS)
        yield [*_place(surface, point), words[status], len(surface.example_ids) if known else 0, *means]


def _example_rows(surface: Surface) -> Iterator[list[Any]]:
    for point in _points(surface):
        if surface.point_status(point) == MISSING:
            continue
        place, columns = _place(surface, point), surface.measurement(point).arrays().values()
        # Single precision has up to nine digits.
        losses = [
            [f"{value:.9g}" if column.dtype.kind == "f" else int(value) for value in column] for column in columns
        ]
        for example, label, *values in zip(surface.example_ids, surface.labels, *losses, strict=True):
            yield [*place, int(example), int(label), *values]


def _points(surface: Surface) -> list[Point]:
    lines = range(len(surface.direction_ids))
    return [CENTRE, *((line, *index) for line in lines for index in surface.grid.indices())]


def _place(surface: Surface, point: Point) -> list[Any]:
    """The direction (`centre` for none) and the coordinates of a point."""
    if point == CENTRE:
        return ["centre", *([0.0] * len(surface.grid.shape))]
    line, *index = point
    return [int(surface.direction_ids[line]), *surface.grid.node(tuple(index))]


def _write_npz(surface: Surface, path: Path, by_example: bool, direction: int | None) -> None:
    arrays: dict[str, Any] = {"direction": surface.direction_ids, "alpha": np.array(surface.grid.alpha)}
    if surface.grid.beta is not None:
        arrays["beta"] = np.array(surface.grid.beta)
    arrays |= {"example": surface.example_ids, "label": surface.labels, "status": surface.status}
    arrays |= {name: surface.arrays[name] for name in surface.arrays}
    arrays |= {f"centre_{name}": array for name, array in surface.centre.arrays().items()}
    arrays |= {"centre_status": np.uint8(surface.centre_status), "key": np.array(surface.key)}
    arrays |= {"provenance_index": surface.provenance_index, "centre_provenance": np.int32(surface.centre_provenance)}
    arrays |= {"spec": np.array(canonical_json(surface.spec))}
    arrays |= {"provenance": np.array(canonical_json(list(surface.provenance)))}
    with written_atomically(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def _write_vts(surface: Surface, path: Path, by_example: bool, direction: int | None) -> None:
    if surface.grid.beta is None:
        raise InputError(f"a .vts holds a plane and this surface is a line; write it as .vtp, got {path.name!r}.")
    count = len(surface.direction_ids)
    if direction is None and count > 1:
        raise InputError(f"a .vts holds one plane, this surface has {count}; choose with --direction 0 to {count - 1}.")
    line = direction or 0
    if not 0 <= line < count:
        raise InputError(f"the planes of this surface are 0 to {count - 1}, got --direction {line}.")
    alpha, beta = surface.grid.alpha, surface.grid.beta
    # The first coordinate runs fastest in VTK.
    points: list[Point] = [(line, a, b) for b in range(len(beta)) for a in range(len(alpha))]
    data = _point_data(surface, points)
    hidden = np.array([surface.point_status(point) != DONE for point in points])
    floor = float(np.min(data["adversarial_loss"][~hidden])) if not hidden.all() else 0.0
    height = np.where(hidden, floor, data["adversarial_loss"])
    corners = np.array([[alpha[a], beta[b]] for _, a, b in points])
    data["vtkGhostType"] = np.where(hidden, HIDDEN_POINT, 0).astype(np.uint8)
    extent = f"0 {len(alpha) - 1} 0 {len(beta) - 1} 0 0"
    piece = _point_arrays(data) + _coordinates(np.column_stack([corners, height]))
    write_text(path, _vtk("StructuredGrid", f'WholeExtent="{extent}"', f'Extent="{extent}"', piece, surface.key))


def _write_vtp(surface: Surface, path: Path, by_example: bool, direction: int | None) -> None:
    if surface.grid.beta is not None:
        raise InputError(f"a .vtp holds curves and this surface is a plane; write it as .vts, got {path.name!r}.")
    runs = [run for line in range(len(surface.direction_ids)) for run in _unbroken(surface, line)]
    points = [point for run in runs for point in run]
    data = _point_data(surface, points)
    corners = np.array([[surface.grid.alpha[index], loss, 0.0] for (_, index), loss in _with_loss(points, data)])
    ends = np.cumsum([len(run) for run in runs], dtype=np.int64)
    lines = _data_array("connectivity", np.arange(len(points), dtype=np.int64)) + _data_array("offsets", ends)
    owners = np.array([surface.direction_ids[run[0][0]] for run in runs], dtype=np.int64)
    counts = f'NumberOfPoints="{len(points)}" NumberOfVerts="0" NumberOfLines="{len(runs)}" NumberOfStrips="0" '
    piece = _point_arrays(data) + f'<CellData Scalars="direction">\n{_data_array("direction", owners)}</CellData>\n'
    piece += _coordinates(corners.reshape(-1, 3)) + f"<Lines>\n{lines}</Lines>\n"
    write_text(path, _vtk("PolyData", "", f'{counts}NumberOfPolys="0"', piece, surface.key))


def _with_loss(points: list[Point], data: Mapping[str, Floats]) -> Iterator[tuple[Point, float]]:
    return zip(points, data["adversarial_loss"].tolist(), strict=True)


def _unbroken(surface: Surface, line: int) -> list[list[Point]]:
    """The stretches of a curve between points that are not done."""
    runs: list[list[Point]] = [[]]
    for index in range(len(surface.grid.alpha)):
        if surface.status[line, index] == DONE:
            runs[-1].append((line, index))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _point_data(surface: Surface, points: list[Point]) -> dict[str, npt.NDArray[Any]]:
    rows = [means_at(surface, point) for point in points]
    data: dict[str, npt.NDArray[Any]] = {name: np.array([row[name] for row in rows], np.float64) for name in MEANS}
    for name in MEANS:
        data[name][[surface.point_status(point) == MISSING for point in points]] = np.nan
    return data | {"status": np.array([surface.point_status(point) for point in points], np.uint8)}


def _point_arrays(data: Mapping[str, npt.NDArray[Any]]) -> str:
    arrays = "".join(_data_array(name, array) for name, array in data.items())
    return f'<PointData Scalars="adversarial_loss">\n{arrays}</PointData>\n'


def _coordinates(points: Floats) -> str:
    return f"<Points>\n{_data_array('Points', points, components=3)}</Points>\n"


def _data_array(name: str, array: npt.NDArray[Any], *, components: int = 1) -> str:
    """Numbers in base64 behind their length in bytes; as text, VTK could not read a NaN."""
    kind, dtype = {"f": ("Float64", "<f8"), "i": ("Int64", "<i8"), "u": ("UInt8", "u1")}[array.dtype.kind]
    data = np.ascontiguousarray(array, dtype=dtype).tobytes()
    encoded = base64.b64encode(len(data).to_bytes(8, "little") + data).decode()
    shape = f' NumberOfComponents="{components}"' if components > 1 else ""
    return f'<DataArray type="{kind}" Name="{name}"{shape} format="binary">{encoded}</DataArray>\n'


def _vtk(kind: str, whole: str, part: str, content: str, key: str) -> str:
    return (
        '<?xml version="1.0"?>\n'
        f"<!-- landscape surface {key} -->\n"
        f'<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" header_type="UInt64">\n'
        f"<{kind} {whole}>\n<Piece {part}>\n{content}</Piece>\n</{kind}>\n</VTKFile>\n"
    ).replace(" >", ">")


_WRITERS: dict[str, Callable[[Surface, Path, bool, int | None], None]] = {
    ".csv": _write_csv,
    ".npz": _write_npz,
    ".vts": _write_vts,
    ".vtp": _write_vtp,
}

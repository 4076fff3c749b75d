"""Surfaces as files: their layout in HDF5, written whole, and verified when they are read.

Root attributes: format, key, family, spec (JSON), provenance (JSON). Dimension scales `direction`, `alpha`[, `beta`],
`example`; the four arrays of a measurement and `status`, `provenance_index` over them; `label`; `centre_*`. The arrays
have one chunk for each point (shuffle, gzip 1, fletcher32); chunks of missing points are not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError, SurfaceError
from landscape.files import canonical_json, digest_json, parse_json
from landscape.protocols import Measurement
from landscape.surfaces.hdf5 import (
    DEFLATE_LIMIT,
    DamageError,
    File,
    add_array,
    add_scale,
    array_of,
    attach,
    created,
    is_own_array,
    names_in,
    opened,
    read_text,
    shape_and_type,
    storage_of,
    text_of,
    write_texts,
)
from landscape.surfaces.surface import (
    ARRAYS,
    CENTRE,
    DONE,
    MISSING,
    NO_VERDICT,
    NOT_FINITE,
    Grid,
    Point,
    Surface,
    layout,
)

FORMAT = "landscape-surface/1"
SUFFIX = ".h5"

_STATUS_FLAGS = {"flag_values": np.array([0, 1, 2], np.uint8), "flag_meanings": np.bytes_("missing done not_finite")}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The root attributes of a surface file; the key is that of the specification."""

    key: str
    family: str
    spec: Mapping[str, Any]
    provenance: tuple[Mapping[str, Any], ...]


def write_surface(path: Path, surface: Surface, *, family: str) -> Path:
    """Write a surface, complete or not; a reader sees the old file or the new one.

    Raises:
        FileError: the file cannot be written.
    """
    with created(path) as file:
        _write(file, surface, family)
    return path


def read_surface(path: Path, *, key: str | None = None) -> Surface:
    """Read and verify a surface; the four arrays are read when they are first asked for.

    Args:
        path: the file; followed to no other file, whatever it links to.
        key: the surface it must be; None takes the key that the file names, if it is that of its specification.

    Raises:
        SurfaceError: the file is damaged, of a newer format, of another surface, or contradicts itself.
        FileError: there is no such file, or it cannot be read.
    """
    with opened(path) as file:
        attributes = _attributes(file, path, key)
        grid, num_directions = _layout(attributes, path)
        n = _verify(file, path, (num_directions, *grid.shape))
        surface = _surface(file, path, attributes, grid, n)
        _verify_values(file, path, surface)
    return surface


def read_attributes(path: Path) -> Attributes:
    """The root attributes alone, verified; errors as `read_surface`."""
    with opened(path) as file:
        return _attributes(file, path, None)


def read_family(path: Path) -> str:
    """The family that a surface file claims to be of, unverified; errors as `read_surface`."""
    return read_text(path, "family")


def files_in(folder: Path) -> list[Path]:
    """The surface files in a folder, in the order of their names, without those that are being written."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


class _StoredArrays(Mapping[str, npt.NDArray[Any]]):
    """The four arrays of a surface file, each read when it is first asked for."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path.absolute(), key
        self._read: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in ARRAYS:
            raise KeyError(name)
        if name not in self._read:
            with opened(self._path) as file:
                if text_of(file, "key") != self._key:
                    raise SurfaceError(
                        f"{self._path} was replaced by another surface while it was read; load it again."
                    )
                self._read[name] = array_of(file, name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ARRAYS)

    def __len__(self) -> int:
        return len(ARRAYS)


def _write(file: File, surface: Surface, family: str) -> None:
    texts = {"format": FORMAT, "key": surface.key, "family": family}
    texts |= {"spec": canonical_json(surface.spec), "provenance": canonical_json(list(surface.provenance))}
    write_texts(file, texts)
    for name, scale in _scales(surface).items():
        add_scale(file, name, scale)
    lines = ["direction", "alpha"] if surface.grid.beta is None else ["direction", "alpha", "beta"]
    add_array(file, "label", surface.labels, ["example"])
    add_array(file, "status", surface.status, lines).attrs.update(_STATUS_FLAGS)
    add_array(file, "provenance_index", surface.provenance_index, lines)
    file["centre_status"] = np.uint8(surface.centre_status)
    file["centre_provenance"] = np.int32(surface.centre_provenance)
    for name, array in surface.centre.arrays().items():
        add_array(file, f"centre_{name}", array, ["example"])
    for name in ARRAYS:
        _add_points(file, name, surface, [*lines, "example"])


def _scales(surface: Surface) -> dict[str, npt.NDArray[Any]]:
    scales = {"direction": surface.direction_ids, "alpha": np.array(surface.grid.alpha)}
    if surface.grid.beta is not None:
        scales["beta"] = np.array(surface.grid.beta)
    return scales | {"example": surface.example_ids}


def _add_points(file: File, name: str, surface: Surface, dimensions: list[str]) -> None:
    dtype, fill = ARRAYS[name]
    shape = (*surface.status.shape, len(surface.example_ids))
    chunk = (1,) * surface.status.ndim + shape[-1:]
    filters: dict[str, Any] = {"shuffle": True, "compression": "gzip", "compression_opts": 1, "fletcher32": True}
    # HDF5 has no chunks of an array with nothing in it.
    stored = {} if 0 in shape else {"chunks": chunk, **filters}
    dataset = file.create_dataset(name, shape, dtype, fillvalue=fill, **stored)
    attach(file, dataset, dimensions)
    if fill == NO_VERDICT:
        dataset.attrs["_FillValue"] = np.uint8(fill)
    lines: dict[int, list[Point]] = {}
    for point in sorted(surface.done_points() - {CENTRE}):
        lines.setdefault(point[0], []).append(point)
    for line, points in lines.items():
        # Each write costs 0.1 ms, and what is never written takes no room.
        whole = len(points) == math.prod(shape[1:-1])
        for place in [(line,)] if whole else points:
            dataset[place] = surface.arrays[name][place]


def _parsed(file: File, name: str) -> Any:
    try:
        return parse_json(text_of(file, name))
    except ValueError as error:
        raise DamageError(f"its {name} is no JSON") from error


def _attributes(file: File, path: Path, key: str | None) -> Attributes:
    found = text_of(file, "format")
    if not found.startswith("landscape-surface/"):
        raise SurfaceError(f"{path} is an HDF5 file but no surface (its format is {found!r}); name another file.")
    if found != FORMAT:
        raise SurfaceError(f"{path} has the format {found}, this version reads {FORMAT}; upgrade this package.")
    spec, provenance = _parsed(file, "spec"), _parsed(file, "provenance")
    stored = text_of(file, "key")
    if not isinstance(spec, dict) or not isinstance(provenance, list):
        raise DamageError("its specification or provenance is of another kind")
    if not all(isinstance(entry, dict) for entry in provenance):
        raise DamageError("an entry of its provenance is of another kind")
    if digest_json(spec) != stored:
        raise SurfaceError(f"the key of {path} is not that of its content; delete it and compute it again.")
    if key is not None and stored != key:
        raise SurfaceError(
            f"{path} should hold surface {key[:12]} but holds {stored[:12]}; it was renamed: move it away."
        )
    return Attributes(key=stored, family=text_of(file, "family"), spec=spec, provenance=tuple(provenance))


def _layout(attributes: Attributes, path: Path) -> tuple[Grid, int]:
    try:
        return layout(attributes.spec)
    except (InputError, OverflowError) as error:
        raise SurfaceError(f"{path} does not describe a surface: {error}") from error


def _verify(file: File, path: Path, points: tuple[int, ...]) -> int:
    """Compare every dataset's place, shape and type with what the specification asks for; gives back n."""
    names = names_in(file)
    for name in names:
        if not is_own_array(file, name):
            raise SurfaceError(f"{path} holds {name!r}, which is no array of its own; delete it and compute it again.")
    found = {name: shape_and_type(file, name) for name in names}
    if "example" not in found or len(found["example"][0]) != 1:
        raise DamageError("it has no list of examples")
    (n,) = found["example"][0]
    # One byte for each point and eight for each example are stored plainly, so no file is smaller than this.
    if math.prod(points) + 8 * n > path.stat().st_size:
        raise SurfaceError(f"{path} declares more than it can hold; delete it and compute it again.")
    for name, (shape, dtype) in _expected(points, n).items():
        if name not in found:
            raise DamageError(f"it has no {name}")
        its_shape, its_dtype = found[name]
        if (its_shape, its_dtype) != (shape, dtype):
            raise SurfaceError(
                f"{name!r} of {path} should be {dtype} of shape {shape}, is {its_dtype} of shape {its_shape}; "
                "delete it and compute it again."
            )
    return n


def _expected(points: tuple[int, ...], n: int) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    kinds: dict[str, tuple[tuple[int, ...], Any]] = {"direction": (points[:1], np.int64)}
    kinds |= {name: ((size,), np.float64) for name, size in zip(("alpha", "beta"), points[1:], strict=False)}
    kinds |= {"example": ((n,), np.int64), "label": ((n,), np.int64)}
    kinds |= {"status": (points, np.uint8), "provenance_index": (points, np.int32)}
    kinds |= {"centre_status": ((), np.uint8), "centre_provenance": ((), np.int32)}
    kinds |= {f"centre_{name}": ((n,), dtype) for name, (dtype, _) in ARRAYS.items()}
    kinds |= {name: ((*points, n), dtype) for name, (dtype, _) in ARRAYS.items()}
    return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in kinds.items()}


def _surface(file: File, path: Path, attributes: Attributes, grid: Grid, n: int) -> Surface:
    return Surface(
        key=attributes.key,
        spec=attributes.spec,
        grid=grid,
        direction_ids=array_of(file, "direction"),
        example_ids=array_of(file, "example"),
        labels=array_of(file, "label"),
        status=array_of(file, "status"),
        arrays=_StoredArrays(path, attributes.key),
        centre=Measurement(**{name: array_of(file, f"centre_{name}") for name in ARRAYS}),
        centre_status=int(array_of(file, "centre_status")),
        provenance=attributes.provenance,
        provenance_index=array_of(file, "provenance_index"),
        centre_provenance=int(array_of(file, "centre_provenance")),
    )


def _verify_values(file: File, path: Path, surface: Surface) -> None:
    """Compare the small arrays with the specification and with each other, and the large ones with their storage."""
    grid = surface.grid
    status = np.append(surface.status, np.uint8(surface.centre_status))
    sources = np.append(surface.provenance_index, np.int32(surface.centre_provenance))
    stored = int(np.count_nonzero(surface.status))
    room = True
    for name, (dtype, _) in ARRAYS.items() if stored else ():
        chunks, size = storage_of(file, name)
        least = stored * len(surface.labels) * np.dtype(dtype).itemsize
        room = room and chunks >= stored and size * DEFLATE_LIMIT >= least
    sound = (
        np.array_equal(surface.direction_ids, np.arange(len(surface.direction_ids)))
        and np.array_equal(array_of(file, "alpha"), grid.alpha)
        and (grid.beta is None or np.array_equal(array_of(file, "beta"), grid.beta))
        and bool((status <= NOT_FINITE).all())
        and (surface.centre_status == DONE) == surface.centre.finite
        and bool(((status == MISSING) == (sources == -1)).all())
        and bool(((sources >= -1) & (sources < len(surface.provenance))).all())
    )
    if not (room and sound):
        raise SurfaceError(f"{path} contradicts itself or has lost points; delete it and compute it again.")

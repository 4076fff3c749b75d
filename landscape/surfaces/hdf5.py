"""Surfaces as HDF5 files: the layout, writing, and reading with distrust. The only importer of h5py.

Root attributes: format, key, family, spec (JSON), provenance (JSON). Dimension scales `direction`, `alpha`[, `beta`],
`example`; the four arrays of a measurement and `status`, `provenance_index` over them; `label`; `centre_*`. The arrays
have one chunk for each point (shuffle, gzip 1, fletcher32); chunks of missing points are not stored.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from landscape.errors import FileError, InputError, SurfaceError
from landscape.files import canonical_json, digest_json, open_regular, parse_json, reason_of, written_atomically
from landscape.protocols import Measurement
from landscape.surfaces.surface import ARRAYS, CENTRE, DONE, MISSING, NO_VERDICT, NOT_FINITE, Grid, Surface, layout

FORMAT = "landscape-surface/1"
SUFFIX = ".h5"

_DEFLATE_LIMIT = 1032
"""No deflate stream unpacks to more than this many times its size."""

_STATUS_FLAGS = {"flag_values": np.array([0, 1, 2], np.uint8), "flag_meanings": np.bytes_("missing done not_finite")}


P = ParamSpec("P")
T = TypeVar("T")


class _DamageError(Exception):
    """What HDF5 raised on reading, or what is not as this package writes it; the message says it shortly."""


def _from_hdf5(read: Callable[P, T]) -> Callable[P, T]:
    """Turn whatever `read` raises into a `_DamageError`; for functions that call h5py and nothing else.

    On damaged bytes h5py raises nearly anything. Around more than its own calls, such a net would also catch our
    mistakes and blame the file for them.
    """

    @functools.wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise _DamageError(_reason(error)) from error

    return guarded


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
    # HDF5 sees memory only: a disk that fills up while it writes to a file can end the process (seen as SIGSEGV).
    with h5py.File("surface", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        _write(file, surface, family)
        file.flush()
        image = file.id.get_file_image()
    with written_atomically(path) as temporary:
        temporary.write_bytes(image)
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
    with _opened(path) as file:
        attributes = _attributes(file, path, key)
        grid, num_directions = _layout(attributes, path)
        n = _verify(file, path, (num_directions, *grid.shape))
        surface = _surface(file, path, attributes, grid, n)
        _verify_values(file, path, surface)
    return surface


def read_attributes(path: Path) -> Attributes:
    """The root attributes alone, verified; errors as `read_surface`."""
    with _opened(path) as file:
        return _attributes(file, path, None)


def read_family(path: Path) -> str:
    """The family that a surface file claims to be of, unverified; errors as `read_surface`."""
    return read_text(path, "family")


def read_text(path: Path, name: str) -> str:
    """A root attribute of any HDF5 file, empty if it has none of this name; errors as `read_surface`."""
    with _opened(path) as file:
        return _text(file, name)


def write_plain(path: Path, arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> Path:
    """Write arrays and root attributes, atomically, that are no surface of this package.

    Raises:
        FileError: the file cannot be written.
    """
    with h5py.File("plain", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        _write_texts(file, texts)
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.flush()
        image = file.id.get_file_image()
    with written_atomically(path) as temporary:
        temporary.write_bytes(image)
    return path


def read_plain(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The numeric arrays at the root of any HDF5 file.

    Groups, links to elsewhere and arrays of other things than numbers are left out.

    Raises:
        SurfaceError: the file is damaged, no HDF5 file, or declares more than it can hold.
        FileError: there is no such file, or it cannot be read.
    """
    with _opened(path) as file:
        arrays = {}
        for name in _names(file):
            if not _is_own_array(file, name):
                continue
            shape, dtype = _shape_and_type(file, name)
            if math.prod(shape) * dtype.itemsize > path.stat().st_size * _DEFLATE_LIMIT:
                raise _DamageError(f"{name} declares more than the file can hold")
            if dtype.kind in "fiu":
                arrays[name] = _array(file, name)
        return arrays


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
            with _opened(self._path) as file:
                if _text(file, "key") != self._key:
                    raise SurfaceError(
                        f"{self._path} was replaced by another surface while it was read; load it again."
                    )
                self._read[name] = _array(file, name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ARRAYS)

    def __len__(self) -> int:
        return len(ARRAYS)


def _write(file: h5py.File, surface: Surface, family: str) -> None:
    texts = {"format": FORMAT, "key": surface.key, "family": family}
    texts |= {"spec": canonical_json(surface.spec), "provenance": canonical_json(list(surface.provenance))}
    _write_texts(file, texts)
    for name, scale in _scales(surface).items():
        file.create_dataset(name, data=scale, chunks=scale.shape, fletcher32=True).make_scale(name)
    lines = ["direction", "alpha"] if surface.grid.beta is None else ["direction", "alpha", "beta"]
    _add(file, "label", surface.labels, ["example"])
    _add(file, "status", surface.status, lines).attrs.update(_STATUS_FLAGS)
    _add(file, "provenance_index", surface.provenance_index, lines)
    file["centre_status"] = np.uint8(surface.centre_status)
    file["centre_provenance"] = np.int32(surface.centre_provenance)
    for name, array in surface.centre.arrays().items():
        _add(file, f"centre_{name}", array, ["example"])
    for name in ARRAYS:
        _add_points(file, name, surface, [*lines, "example"])


def _write_texts(file: h5py.File, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        # Of fixed length: strings of variable length lie in a heap without checksums, where one flipped bit can make
        # HDF5 loop for ever.
        file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text.encode())))


def _scales(surface: Surface) -> dict[str, npt.NDArray[Any]]:
    scales = {"direction": surface.direction_ids, "alpha": np.array(surface.grid.alpha)}
    if surface.grid.beta is not None:
        scales["beta"] = np.array(surface.grid.beta)
    return scales | {"example": surface.example_ids}


def _add(file: h5py.File, name: str, array: npt.NDArray[Any], dimensions: list[str]) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    _attach(file, dataset, dimensions)
    return dataset


def _add_points(file: h5py.File, name: str, surface: Surface, dimensions: list[str]) -> None:
    dtype, fill = ARRAYS[name]
    shape = (*surface.status.shape, len(surface.example_ids))
    chunk = (1,) * surface.status.ndim + shape[-1:]
    filters = {"shuffle": True, "compression": "gzip", "compression_opts": 1, "fletcher32": True}
    dataset = file.create_dataset(name, shape, dtype, chunks=chunk, fillvalue=fill, **filters)
    _attach(file, dataset, dimensions)
    if fill == NO_VERDICT:
        dataset.attrs["_FillValue"] = np.uint8(fill)
    for point in sorted(surface.done_points() - {CENTRE}):
        dataset[point] = surface.arrays[name][point]


def _attach(file: h5py.File, dataset: h5py.Dataset, dimensions: list[str]) -> None:
    for axis, dimension in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[dimension])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open for reading; a `_DamageError` inside the block is a sentence about this file."""
    try:
        open_regular(path).close()
    except FileNotFoundError as error:
        raise FileError(f"{path} is not there; name a surface file (.h5).") from error
    except IsADirectoryError as error:
        raise FileError(f"{path} is a folder; name a surface file (.h5).") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error
    try:
        with _file(path) as file:
            yield file
    except _DamageError as error:
        raise SurfaceError(
            f"{path} is damaged or no surface file ({error}); delete it and compute it again."
        ) from error


@_from_hdf5
def _file(path: Path) -> h5py.File:
    # Files are replaced, never changed: no lock is needed, and folders that cannot lock work too. But HDF5 opens a file
    # that this process has open already (by xarray, say) only in the same way, so its default is tried first.
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if not re.search(r"\block", str(error)):
            raise
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if not re.search(r"\block", str(error)):
            raise
        raise FileError(f"cannot read {path}: it is open elsewhere ({_reason(error)}); close it there.") from error


def _reason(error: Exception) -> str:
    """The heart of an HDF5 message: `Unable to ... (truncated file: eof = ...)` is a truncated file."""
    text = str(error).split("\n")[0]
    inner = re.search(r"\(([^:,()]+)", text)
    return inner[1].strip() if inner else text.strip(" '\".")


@_from_hdf5
def _text(file: h5py.File, name: str) -> str:
    """A root attribute of fixed length, the only kind that is read; empty if it is absent or of another kind."""
    if name not in file.attrs or file.attrs.get_id(name).dtype.kind != "S":
        return ""
    return bytes(file.attrs[name]).decode()


@_from_hdf5
def _array(file: h5py.File, name: str) -> npt.NDArray[Any]:
    return np.asarray(file[name][()])


@_from_hdf5
def _storage(file: h5py.File, name: str) -> tuple[int, int]:
    """How many chunks and bytes of an array lie in the file."""
    dataset = file[name].id
    return dataset.get_num_chunks(), dataset.get_storage_size()


@_from_hdf5
def _is_own_array(file: h5py.File, name: str) -> bool:
    """Whether a name is an array that lies in this very file: HDF5 would follow a link to any other."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return False
    return not file[name].is_virtual and file[name].external is None


@_from_hdf5
def _shape_and_type(file: h5py.File, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape = file[name].shape
    if shape is None:  # HDF5 has arrays without even a scalar in them
        raise ValueError(f"{name} is empty")
    return shape, file[name].dtype


@_from_hdf5
def _names(file: h5py.File) -> list[str]:
    return list(file)


def _parsed(file: h5py.File, name: str) -> Any:
    try:
        return parse_json(_text(file, name))
    except ValueError as error:
        raise _DamageError(f"its {name} is no JSON") from error


def _attributes(file: h5py.File, path: Path, key: str | None) -> Attributes:
    found = _text(file, "format")
    if not found.startswith("landscape-surface/"):
        raise SurfaceError(f"{path} is an HDF5 file but no surface (its format is {found!r}); name another file.")
    if found != FORMAT:
        raise SurfaceError(f"{path} has the format {found}, this version reads {FORMAT}; upgrade this package.")
    spec, provenance = _parsed(file, "spec"), _parsed(file, "provenance")
    stored = _text(file, "key")
    if not isinstance(spec, dict) or not isinstance(provenance, list):
        raise _DamageError("its specification or provenance is of another kind")
    if not all(isinstance(entry, dict) for entry in provenance):
        raise _DamageError("an entry of its provenance is of another kind")
    if digest_json(spec) != stored:
        raise SurfaceError(f"the key of {path} is not that of its content; delete it and compute it again.")
    if key is not None and stored != key:
        raise SurfaceError(
            f"{path} should hold surface {key[:12]} but holds {stored[:12]}; it was renamed: move it away."
        )
    return Attributes(key=stored, family=_text(file, "family"), spec=spec, provenance=tuple(provenance))


def _layout(attributes: Attributes, path: Path) -> tuple[Grid, int]:
    try:
        return layout(attributes.spec)
    except (InputError, OverflowError) as error:
        raise SurfaceError(f"{path} does not describe a surface: {error}") from error


def _verify(file: h5py.File, path: Path, points: tuple[int, ...]) -> int:
    """Compare every dataset's place, shape and type with what the specification asks for; gives back n."""
    names = _names(file)
    for name in names:
        if not _is_own_array(file, name):
            raise SurfaceError(f"{path} holds {name!r}, which is no array of its own; delete it and compute it again.")
    found = {name: _shape_and_type(file, name) for name in names}
    if "example" not in found or len(found["example"][0]) != 1:
        raise _DamageError("it has no list of examples")
    (n,) = found["example"][0]
    # One byte for each point and eight for each example are stored plainly, so no file is smaller than this.
    if math.prod(points) + 8 * n > path.stat().st_size:
        raise SurfaceError(f"{path} declares more than it can hold; delete it and compute it again.")
    for name, (shape, dtype) in _expected(points, n).items():
        if name not in found:
            raise _DamageError(f"it has no {name}")
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


def _surface(file: h5py.File, path: Path, attributes: Attributes, grid: Grid, n: int) -> Surface:
    return Surface(
        key=attributes.key,
        spec=attributes.spec,
        grid=grid,
        direction_ids=_array(file, "direction"),
        example_ids=_array(file, "example"),
        labels=_array(file, "label"),
        status=_array(file, "status"),
        arrays=_StoredArrays(path, attributes.key),
        centre=Measurement(**{name: _array(file, f"centre_{name}") for name in ARRAYS}),
        centre_status=int(_array(file, "centre_status")),
        provenance=attributes.provenance,
        provenance_index=_array(file, "provenance_index"),
        centre_provenance=int(_array(file, "centre_provenance")),
    )


def _verify_values(file: h5py.File, path: Path, surface: Surface) -> None:
    """Compare the small arrays with the specification and with each other, and the large ones with their storage."""
    grid = surface.grid
    status = np.append(surface.status, np.uint8(surface.centre_status))
    sources = np.append(surface.provenance_index, np.int32(surface.centre_provenance))
    stored = int(np.count_nonzero(surface.status))
    room = True
    for name, (dtype, _) in ARRAYS.items():
        chunks, size = _storage(file, name)
        least = stored * len(surface.labels) * np.dtype(dtype).itemsize
        room = room and chunks >= stored and size * _DEFLATE_LIMIT >= least
    sound = (
        np.array_equal(surface.direction_ids, np.arange(len(surface.direction_ids)))
        and np.array_equal(_array(file, "alpha"), grid.alpha)
        and (grid.beta is None or np.array_equal(_array(file, "beta"), grid.beta))
        and bool((status <= NOT_FINITE).all())
        and (surface.centre_status == DONE) == surface.centre.finite
        and bool(((status == MISSING) == (sources == -1)).all())
        and bool(((sources >= -1) & (sources < len(surface.provenance))).all())
    )
    if not (room and sound):
        raise SurfaceError(f"{path} contradicts itself or has lost points; delete it and compute it again.")

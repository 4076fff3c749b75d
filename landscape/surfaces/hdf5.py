"""Arrays and texts in HDF5 files: written from memory, read with distrust. The only importer of h5py."""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import h5py
import numpy as np
import numpy.typing as npt
from h5py import Dataset as Dataset
from h5py import File as File

from landscape.errors import FileError, SurfaceError
from landscape.files import open_regular, reason_of, written_atomically
from landscape.surfaces.superblock import with_checksum

DEFLATE_LIMIT = 1032
"""No deflate stream unpacks to more than this many times its size."""

COMPUTE_AGAIN = "delete it and compute it again"
"""What to do about a damaged file of this package."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""

STORED = re.compile(r"([0-9a-f]{64}|.+-[0-9a-f]{12})\.h5")
"""Names that the cache gives its own surfaces and imported ones."""

P = ParamSpec("P")
T = TypeVar("T")


class DamageError(Exception):
    """What HDF5 raised on reading, or what is not as this package writes it; the message says it shortly."""


def from_hdf5(read: Callable[P, T]) -> Callable[P, T]:
    """Turn whatever `read` raises into a `DamageError`; for functions that call h5py and nothing else.

    On damaged bytes h5py raises nearly anything. Around more than its own calls, such a net would also catch our
    mistakes and blame the file for them.
    """

    @functools.wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DamageError(_reason(error)) from error

    return guarded


def read_text(path: Path, name: str, *, remedy: str = COMPUTE_AGAIN) -> str:
    """A root attribute of any HDF5 file, empty if it has none of this name; errors as `read_plain`."""
    with opened(path, remedy=remedy) as file:
        return text_of(file, name)


def write_plain(path: Path, arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> Path:
    """Write arrays and root attributes, atomically, that are no surface of this package.

    Raises:
        FileError: the file cannot be written.
    """
    with created(path) as file:
        write_texts(file, texts)
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


def read_plain(path: Path, *, remedy: str) -> dict[str, npt.NDArray[Any]]:
    """The numeric arrays at the root of any HDF5 file; `remedy` says what to do about a damaged one.

    Groups, links to elsewhere and arrays of other things than numbers are left out.

    Raises:
        SurfaceError: the file is damaged, no HDF5 file, or declares more than it can hold.
        FileError: there is no such file, or it cannot be read.
    """
    with opened(path, remedy=remedy) as file:
        arrays = {}
        for name in names_in(file):
            if not is_own_array(file, name):
                continue
            shape, dtype = shape_and_type(file, name)
            if math.prod(shape) * dtype.itemsize > path.stat().st_size * DEFLATE_LIMIT:
                raise DamageError(f"{name} declares more than the file can hold")
            if dtype.kind in "fiu":
                arrays[name] = array_of(file, name)
        return arrays


@contextlib.contextmanager
def created(path: Path) -> Iterator[File]:
    """A new file to fill; when the block is left, a reader sees the old file or the new one.

    Raises:
        FileError: the file cannot be written.
    """
    # HDF5 sees memory only: a disk that fills up while it writes to a file can end the process (seen as SIGSEGV), and
    # so can a file object of Python's, when objects of h5py are collected while HDF5 writes to it.
    with h5py.File("memory", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with written_atomically(path) as temporary:
        temporary.write_bytes(with_checksum(image))


def write_texts(file: File, texts: Mapping[str, str]) -> None:
    """Write root attributes."""
    for name, text in texts.items():
        # Of fixed length: strings of variable length lie in a heap without checksums, where one flipped bit can make
        # HDF5 loop for ever.
        file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text.encode())))


def add_array(file: File, name: str, array: npt.NDArray[Any], dimensions: Sequence[str]) -> Dataset:
    """Write an array with checksums in one chunk, its axes named by the scales of these names."""
    dataset = file.create_dataset(name, data=array, **_whole(array.shape))
    attach(file, dataset, dimensions)
    return dataset


def add_scale(file: File, name: str, scale: npt.NDArray[Any]) -> None:
    """Write the labels of a dimension."""
    file.create_dataset(name, data=scale, **_whole(scale.shape)).make_scale(name)


def _whole(shape: tuple[int, ...]) -> dict[str, Any]:
    """How an array is stored that is read as a whole; HDF5 has no chunks of an array with nothing in it."""
    return {} if 0 in shape else {"chunks": shape, "fletcher32": True}


def attach(file: File, dataset: Dataset, dimensions: Sequence[str]) -> None:
    """Name the axes of an array by scales that are there."""
    for axis, dimension in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[dimension])


@contextlib.contextmanager
def opened(path: Path, *, remedy: str = COMPUTE_AGAIN) -> Iterator[File]:
    """Open for reading; a `DamageError` inside the block is a sentence about this file.

    It ends with `remedy`, unless the file is none that was damaged: nobody is told to delete a checkpoint.
    """
    try:
        with open_regular(path) as stream:
            was_surface = stream.read(len(SIGNATURE)) == SIGNATURE or STORED.fullmatch(path.name) is not None
    except FileNotFoundError as error:
        raise FileError(f"{path} is not there; name a surface file (.h5).") from error
    except IsADirectoryError as error:
        raise FileError(f"{path} is a folder; name a surface file (.h5).") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error
    try:
        with _file(path) as file:
            yield file
    except DamageError as error:
        if not was_surface:
            raise SurfaceError(f"{path} is no HDF5 file; give a surface file (.h5).") from error
        raise SurfaceError(f"{path} is damaged or no surface file ({error}); {remedy}.") from error


@from_hdf5
def _file(path: Path) -> File:
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


@from_hdf5
def text_of(file: File, name: str) -> str:
    """A root attribute of fixed length, the only kind that is read; empty if it is absent or of another kind."""
    if name not in file.attrs or file.attrs.get_id(name).dtype.kind != "S":
        return ""
    return bytes(file.attrs[name]).decode()


@from_hdf5
def array_of(file: File, name: str) -> npt.NDArray[Any]:
    return np.asarray(file[name][()])


@from_hdf5
def storage_of(file: File, name: str) -> tuple[int, int]:
    """How many chunks and bytes of an array lie in the file."""
    dataset = file[name].id
    return dataset.get_num_chunks(), dataset.get_storage_size()


@from_hdf5
def is_own_array(file: File, name: str) -> bool:
    """Whether a name is an array that lies in this very file: HDF5 would follow a link to any other."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return False
    return not file[name].is_virtual and file[name].external is None


@from_hdf5
def shape_and_type(file: File, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape = file[name].shape
    if shape is None:  # HDF5 has arrays without even a scalar in them
        raise ValueError(f"{name} is empty")
    return shape, file[name].dtype


@from_hdf5
def names_in(file: File) -> list[str]:
    return list(file)

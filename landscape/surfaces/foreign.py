"""Surfaces of another tool, tomgoldstein/loss-landscape: means without examples, and without an origin.

Its files hold `xcoordinates`, `ycoordinates` in a plane, and means `train_loss`, `train_acc`, `test_loss`, `test_acc`
(accuracies in percent), with -1 where nothing was computed. Model, data, directions and their normalization are at best
names of files. What is made of them here is therefore no `Surface`: no example, no interval, no key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError, SurfaceError
from landscape.files import digest_file
from landscape.surfaces import hdf5
from landscape.surfaces.surface import DONE, MISSING, NOT_FINITE, Grid

FORMAT = "landscape-means/1"

TOOL = "tomgoldstein/loss-landscape"

NAMES = ("train_loss", "train_acc", "test_loss", "test_acc")

NOT_COMPUTED = -1.0
"""What stands in a file of that tool where nothing was computed."""

LARGEST = 1e30
"""Larger numbers, which no figure has axes for, count as not finite: that tool computes in single precision."""

FOLDER = "imported"
"""Where imported surfaces lie, in the cache."""

IMPORT_AGAIN = "delete it and import it again"
"""What to do about a damaged one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignSurface:
    """Means over examples that another tool computed.

    Attributes:
        label: what to call it.
        source: name of the file that it was imported from.
        digest: sha256 of that file.
        grid: the nodes, in units of that tool's directions.
        means: (A[, B]) float64 by the names of `NAMES`, accuracies in percent; NaN where missing.
        status: (A[, B]) uint8 by the same names: 0 missing, 1 done, 2 not finite.
    """

    label: str
    source: str
    digest: str
    grid: Grid
    means: Mapping[str, npt.NDArray[np.float64]]
    status: Mapping[str, npt.NDArray[np.uint8]]


def import_foreign(path: Path, *, label: str | None = None) -> ForeignSurface:
    """Read a surface file of tomgoldstein/loss-landscape.

    Args:
        path: the file.
        label: what to call it; the name of the file by default.

    Raises:
        SurfaceError: it is damaged, no such file, or contradicts itself.
        FileError: it is not there or cannot be read.
    """
    arrays = hdf5.read_plain(path, remedy=f"take it anew from {TOOL}")
    grid = _grid(path, arrays.get("xcoordinates"), arrays.get("ycoordinates"))
    means = {name: _at_nodes(path, name, arrays[name], grid) for name in NAMES if name in arrays}
    if not means:
        raise SurfaceError(f"{path} holds none of {', '.join(NAMES)}; it has {', '.join(arrays) or 'nothing'}.")
    status = {name: _status(values) for name, values in means.items()}
    return ForeignSurface(
        label=label or path.stem,
        source=path.name,
        digest=digest_file(path),
        grid=grid,
        means={name: np.where(status[name] == MISSING, np.nan, values) for name, values in means.items()},
        status=status,
    )


def write_foreign(path: Path, surface: ForeignSurface) -> Path:
    """Write an imported surface; `read_foreign` reads it.

    Raises:
        FileError: the file cannot be written.
    """
    arrays = {"alpha": np.array(surface.grid.alpha)}
    if surface.grid.beta is not None:
        arrays["beta"] = np.array(surface.grid.beta)
    texts = {"format": FORMAT, "tool": TOOL, "label": surface.label, "source": surface.source, "digest": surface.digest}
    for name, values in surface.means.items():
        arrays |= {name: values, f"{name}_status": surface.status[name]}
    return hdf5.write_plain(path, arrays, texts)


def read_foreign(path: Path) -> ForeignSurface | None:
    """An imported surface; None if the file is none.

    Raises:
        SurfaceError: it is damaged, or it has yet to be imported.
        FileError: it is not there or cannot be read.
    """
    remedy = IMPORT_AGAIN if path.absolute().parent.name == FOLDER else hdf5.COMPUTE_AGAIN
    found = hdf5.read_text(path, "format", remedy=remedy)
    if not found and "xcoordinates" in hdf5.read_plain(path, remedy=remedy):
        raise SurfaceError(f"{path} is a surface file of {TOOL}; take it in with `landscape cache import {path}`.")
    if found != FORMAT:
        return None
    arrays = hdf5.read_plain(path, remedy=IMPORT_AGAIN)
    texts = {name: hdf5.read_text(path, name, remedy=IMPORT_AGAIN) for name in ("label", "source", "digest")}
    damaged = SurfaceError(f"{path} is damaged; {IMPORT_AGAIN}.")
    try:
        beta = tuple(arrays["beta"].tolist()) if "beta" in arrays else None
        grid = Grid(alpha=tuple(arrays["alpha"].tolist()), beta=beta)
    except (KeyError, InputError) as error:
        raise damaged from error
    names = [name for name in NAMES if name in arrays and f"{name}_status" in arrays]
    means = {name: arrays[name] for name in names}
    status = {name: arrays[f"{name}_status"] for name in names}
    shapes = {array.shape for array in (*means.values(), *status.values())}
    if shapes != {grid.shape} or any(array.dtype != np.float64 for array in means.values()):
        raise damaged
    return ForeignSurface(**texts, grid=grid, means=means, status=status)


def _grid(path: Path, x: npt.NDArray[np.float64] | None, y: npt.NDArray[np.float64] | None) -> Grid:
    if x is None:
        raise SurfaceError(f"{path} has no xcoordinates; only surface files of {TOOL} can be imported.")
    axes = [axis for axis in (x, y) if axis is not None]
    if any(axis.ndim != 1 or not bool((np.abs(axis) <= LARGEST).all()) for axis in axes):
        raise SurfaceError(
            f"the coordinates of {path} make no grid: they are rows of numbers of at most {LARGEST:g} in size."
        )
    try:
        alpha, beta = (None if axis is None else tuple(float(value) for value in axis) for axis in (x, y))
        return Grid(alpha=alpha or (), beta=beta)
    except InputError as error:
        raise SurfaceError(f"the coordinates of {path} make no grid: {error}") from error


def _at_nodes(path: Path, name: str, values: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.float64]:
    """Values in the order of the grid.

    That tool declares (x, y) and fills the array in the order of a mesh of (y, x). On a square grid this is a
    transposition, which its plots undo; on others it scrambles the rows, which its plots refuse.
    """
    if values.size != np.prod(grid.shape):
        raise SurfaceError(
            f"{name} of {path} has {values.size} values for a grid of {' x '.join(map(str, grid.shape))}."
        )
    flat = values.astype(np.float64).reshape(-1)
    return flat if grid.beta is None else flat.reshape(len(grid.beta), len(grid.alpha)).T.copy()


def _status(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    status = np.where(np.abs(values) <= LARGEST, DONE, NOT_FINITE)
    return np.where(values == NOT_COMPUTED, MISSING, status).astype(np.uint8)

"""Fewer nodes of a plane: measured where the mean loss bends, interpolated elsewhere.

Every 4th node of both axes is measured, counted from that at 0, and both ends. Then, with every 4th and after that with
every 2nd node: a node that is no end bends along an axis by |g - p|, with p the value there of the cubic through its
four nearest neighbours of that level. A cell of four neighbours is in doubt where one of its corners bends by more than
the tolerance along either axis; all nodes of the next finer level in it, its corners among them, are measured. What a
level lacks is interpolated by cubics along alpha, then along beta, through the four nearest nodes of the coarser one.
Where g is smooth, with steps h, a node bends by h^4 g'''' / 6 and a value between two nodes is off by a seventh of
that. What is narrower than four nodes and passes between the first ones is not seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from landscape.surfaces.grid import Grid

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

STRIDES = (4, 2)
"""Every how many nodes a level has; the finest level has all."""

NUM_NEIGHBOURS = 4
"""Nodes of a cubic."""


def asked_nodes(grid: Grid, mean: Floats, known: Mask) -> Mask:
    """The nodes of a plane that a refined grid asks for, as far as what is known says it.

    Once every node that is asked for is known, no other one will be. Means of other nodes decide nothing, so that the
    set is a function of the grid and the measured numbers, whatever was interrupted or shared on the way.

    Args:
        grid: with alpha, beta and a tolerance.
        mean: (A, B) mean losses; NaN where not known or not finite, and what is not finite is in doubt.
        known: (A, B) whether a node was measured.

    Returns:
        (A, B).
    """
    asked = np.zeros(grid.shape, dtype=np.bool_)
    asked[_mesh(grid, STRIDES[0])] = True
    values = mean.copy()
    for stride in STRIDES:
        if (asked & ~known).any():
            break
        for cell in _cells_in_doubt(grid, values, stride):
            inside = (_between(axis, stride, place) for axis, place in zip(_axes(grid), cell, strict=True))
            asked[np.ix_(*inside)] = True
        values = _with_finer_level(grid, values, asked, stride)
    return asked


def filled(grid: Grid, values: Floats, known: Mask) -> Floats:
    """(A, B) values with those of unknown nodes interpolated, level by level, between the extremes of the known.

    NaN only near known nodes that are.

    Args:
        grid: with alpha and beta.
        values: (A, B).
        known: (A, B) which of them to keep; every 4th node is.
    """
    finite = values[known & np.isfinite(values)]
    for stride in STRIDES:
        values = _with_finer_level(grid, values, known, stride)
    return np.clip(values, finite.min(), finite.max()) if finite.size else values


def _cells_in_doubt(grid: Grid, values: Floats, stride: int) -> Indices:
    """(K, 2) row and column of the cells of a level with a corner that bends by more than the tolerance."""
    level, (alpha, beta) = values[_mesh(grid, stride)], _positions(grid, stride)
    tolerance = math.inf if grid.refine is None else grid.refine
    along_alpha, along_beta = _bends(level, alpha), _bends(level.T, beta).T
    steady = (along_alpha <= tolerance) & (along_beta <= tolerance)
    corners = (steady[:-1, :-1], steady[1:, :-1], steady[:-1, 1:], steady[1:, 1:])
    return np.argwhere(~np.logical_and.reduce(corners))


def _bends(values: Floats, positions: Floats) -> Floats:
    """(N, M) distance of each value from the cubic of its neighbours along the first axis; 0 at the ends."""
    bends = np.zeros_like(values)
    for place in range(1, len(positions) - 1):
        others = np.delete(np.arange(len(positions)), place)
        bends[place] = np.abs(values[place] - _cubic(values[others], positions[others], positions[place]))
    return bends


def _with_finer_level(grid: Grid, values: Floats, known: Mask, stride: int) -> Floats:
    """(A, B) values with the unknown nodes of the next finer level interpolated from this one."""
    (alpha, beta), (fine_alpha, fine_beta) = _positions(grid, stride), _positions(grid, stride // 2)
    level, finer, kept = _mesh(grid, stride), _mesh(grid, stride // 2), known.copy()
    kept[level] = True
    along_alpha = np.stack([_cubic(values[level], alpha, at) for at in fine_alpha])
    guess = np.stack([_cubic(along_alpha.T, beta, at) for at in fine_beta]).T
    refilled = values.copy()
    refilled[finer] = np.where(kept[finer], values[finer], guess)
    return refilled


def _cubic(values: Floats, positions: Floats, at: float) -> Floats:
    """(M,) the value at a position of the cubics, in Lagrange's form, through the nearest of (N, M) values."""
    first = int(np.clip(np.searchsorted(positions, at) - NUM_NEIGHBOURS // 2, 0, len(positions) - NUM_NEIGHBOURS))
    near = slice(first, first + NUM_NEIGHBOURS)
    nodes = positions[near]
    others = ~np.eye(NUM_NEIGHBOURS, dtype=np.bool_)
    shares = np.where(others, (at - nodes) / np.where(others, nodes[:, None] - nodes, 1.0), 1.0).prod(axis=1)
    return np.asarray(shares @ values[near])


def _mesh(grid: Grid, stride: int) -> tuple[Indices, ...]:
    return np.ix_(*(_level(axis, stride) for axis in _axes(grid)))


def _positions(grid: Grid, stride: int) -> tuple[Floats, Floats]:
    alpha, beta = _axes(grid)
    return alpha[_level(alpha, stride)], beta[_level(beta, stride)]


def _axes(grid: Grid) -> tuple[Floats, Floats]:
    return np.asarray(grid.alpha, dtype=np.float64), np.asarray(grid.beta, dtype=np.float64)


def _level(axis: Floats, stride: int) -> Indices:
    """Every `stride`-th node, counted from that at 0 if there is one, and both ends."""
    places = np.arange(len(axis))
    counted = places - (int(np.argmin(np.abs(axis))) if 0.0 in axis else 0)
    return np.flatnonzero((counted % stride == 0) | (places == 0) | (places == len(axis) - 1))


def _between(axis: Floats, stride: int, cell: int) -> Indices:
    """The nodes of the next finer level from one end of a cell to the other."""
    first, last = _level(axis, stride)[cell : cell + 2]
    return np.array([place for place in _level(axis, stride // 2) if first <= place <= last], dtype=np.int64)

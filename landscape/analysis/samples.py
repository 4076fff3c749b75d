"""Per-example values of a one-dimensional surface, at its nodes and between them, with unusable points masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import ONE_WAY, kind_of
from landscape.analysis.settings import is_attacked
from landscape.errors import InputError
from landscape.surfaces.surface import DONE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

INTERPOLATION_NODES = 4


@dataclass(frozen=True, kw_only=True)
class DirectionRises:
    """Mean of g(r) - g(0) and g(-r) - g(0), example by example, along the directions that are finite there.

    Attributes:
        direction_ids: (D,) of these directions.
        values: (D, n) rise of each example along each direction.
        robust_accuracy: (D,) share in [0, 1] of adversarial examples right at +-r; NaN if nothing was attacked.
        natural_accuracy: (D,) share in [0, 1] of clean examples right at +-r.
        interpolated: whether +-r are not nodes of the grid.
        num_masked: directions left out because a point that they need is missing or not finite.
    """

    direction_ids: npt.NDArray[np.int64]
    values: Floats
    robust_accuracy: Floats
    natural_accuracy: Floats
    interpolated: bool
    num_masked: int


def centre_values(surface: Surface, quantity: str) -> Floats:
    """(n,) values of `quantity` at the measured centre; NaN if it is missing or not finite.

    Raises:
        InputError: the quantity is unknown.
    """
    values = surface.centre_values(quantity)
    return values if surface.centre_status == DONE else np.full_like(values, np.nan)


def direction_rises(surface: Surface, radius: float, quantity: str) -> DirectionRises | None:
    """The rise of each example along each direction; None if the grid does not reach +-radius.

    None too along a line whose two signs are two different things (`directions.ONE_WAY`).

    Where +-radius are no nodes, each example's curve is interpolated through the four nearest nodes of the grid, the
    measured centre among them (Lagrange; linear in the values, so that means and errors may be taken afterwards).

    Raises:
        InputError: the radius is not positive, the surface is two-dimensional, or the quantity is unknown.
    """
    require_line(surface)
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"a radius is a positive number, got {radius}.")
    if kind_of(surface) in ONE_WAY:
        return None
    nodes = _nodes(surface)
    plus, minus = _weights(nodes, radius), _weights(nodes, -radius)
    if plus is None or minus is None:
        return None
    weights = (plus + minus) / 2
    rises = _weighted_sum(surface, quantity, nodes, weights) - centre_values(surface, quantity)
    robust, natural = (
        1.0 - _weighted_sum(surface, name, nodes, weights).mean(axis=1) for name in ("robust-error", "natural-error")
    )
    finite = np.isfinite(rises).all(axis=1)
    return DirectionRises(
        direction_ids=np.asarray(surface.direction_ids, dtype=np.int64)[finite],
        values=rises[finite],
        robust_accuracy=(robust if is_attacked(surface) else np.full_like(robust, np.nan))[finite],
        natural_accuracy=natural[finite],
        interpolated=not np.isin([radius, -radius], nodes).all(),
        num_masked=int((~finite).sum()),
    )


def why_no_rise(surface: Surface, radius: float) -> str | None:
    """Why the grid of a one-dimensional surface gives no rise(radius), in words; None if it gives one."""
    if (kind := kind_of(surface)) in ONE_WAY:
        return ONE_WAY[kind]
    nodes = _nodes(surface)
    if _weights(nodes, radius) is not None and _weights(nodes, -radius) is not None:
        return None
    return (
        "the nodes lie too far apart" if nodes[0] <= -radius and radius <= nodes[-1] else "the grid does not reach ±r"
    )


def require_line(surface: Surface) -> None:
    """Refuse a surface that is no line.

    Raises:
        InputError: the surface has a second axis, or no direction at all.
    """
    if not len(surface.direction_ids):
        raise InputError(
            "curves need a surface along directions, got an evaluation of undisplaced weights; see landscape evaluate."
        )
    if surface.grid.beta is not None:
        raise InputError("curves and rises need a surface along one direction at a time, got one over a plane.")


def _nodes(surface: Surface) -> Floats:
    """The nodes of the grid and the centre, in order."""
    return np.union1d(np.asarray(surface.grid.alpha, dtype=np.float64), [0.0])


def _weights(nodes: Floats, position: float) -> Floats | None:
    """Weights of the nodes whose sum is the value at `position`.

    None outside the nodes, with too few of them, or where they lie further apart than `position` from the centre: the
    curve between the centre and its first node is not known.
    """
    weights = np.zeros(len(nodes))
    if position in nodes:
        weights[nodes == position] = 1.0
        return weights
    if not nodes[0] < position < nodes[-1] or len(nodes) < INTERPOLATION_NODES:
        return None
    after = int(np.searchsorted(nodes, position))
    if nodes[after] - nodes[after - 1] > abs(position):
        return None
    first = min(max(after - INTERPOLATION_NODES // 2, 0), len(nodes) - INTERPOLATION_NODES)
    for index in range(first, first + INTERPOLATION_NODES):
        others = np.delete(nodes[first : first + INTERPOLATION_NODES], index - first)
        weights[index] = np.prod((position - others) / (nodes[index] - others))
    return weights


def _weighted_sum(surface: Surface, quantity: str, nodes: Floats, weights: Floats) -> Floats:
    """(D, n): sum over the nodes of weight times value; a masked node with weight 0 does not matter."""
    values = np.where((surface.status == DONE)[:, :, None], surface.values(quantity), np.nan)
    column = {alpha: index for index, alpha in enumerate(surface.grid.alpha)}
    total = np.zeros((values.shape[0], values.shape[2]))
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        if weight != 0.0:
            # A grid without a node at 0 borrows the centre, which is the same along every direction.
            total += weight * (values[:, column[node]] if node in column else centre_values(surface, quantity))
    return total

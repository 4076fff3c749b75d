"""Numbers of planes: the mean at every node, its extremes, and how it rises around the centre."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import ONE_WAY, kind_of
from landscape.analysis.samples import centre_values
from landscape.analysis.settings import cosine_of, is_attacked
from landscape.analysis.style import style_curves
from landscape.errors import InputError
from landscape.surfaces.refinement import filled
from landscape.surfaces.surface import MISSING, NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NUM_ANGLES = 360
"""Points of a circle."""

SPLINE_NODES = 4
"""Nodes of each axis that a cubic spline needs."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane of a surface.

    Attributes:
        surface: a surface over planes.
        label: what titles and tables call it.
        number: which plane of the surface; it is spanned by directions 2k and 2k + 1 of the recipe.
    """

    surface: Surface
    label: str
    number: int = 0

    @property
    def directions(self) -> tuple[int, int]:
        """Numbers of the two directions."""
        plane = int(self.surface.direction_ids[self.number])
        return 2 * plane, 2 * plane + 1

    @property
    def cosine(self) -> float | None:
        """Cosine of the two directions as they were used; None if the file does not say it."""
        return cosine_of(self.surface, int(self.surface.direction_ids[self.number]))

    @property
    def measured(self) -> Mask:
        """(A, B) which nodes were measured, finite or not."""
        return np.asarray(self.surface.status[self.number] != MISSING)

    @property
    def interpolated(self) -> Mask:
        """(A, B) which nodes have interpolated numbers: those that a refined plane, once complete, left out."""
        if self.surface.grid.refine is None or not self.surface.complete:
            return np.zeros_like(self.measured)
        return ~self.measured

    def mean(self, quantity: str = "loss") -> Floats:
        """(A, B) means over examples; NaN where a point is missing or not finite. See `interpolated`."""
        values: Floats = self.surface.mean(quantity)[self.number]
        return filled(self.surface.grid, values, self.measured) if self.interpolated.any() else values

    def centre(self, quantity: str = "loss") -> float:
        """The mean at the measured centre; NaN if that is missing or not finite."""
        return float(centre_values(self.surface, quantity).mean())


@dataclass(frozen=True, kw_only=True)
class PlaneSummary:
    """One quantity over a plane; (A, B) arrays are NaN where a point is missing or not finite.

    Attributes:
        alpha, beta: (A,) and (B,) positions along the first and the second direction.
        mean: (A, B) mean over examples.
        robust_accuracy: (A, B) share in [0, 1] of adversarial examples classified correctly; NaN if none were made.
        natural_accuracy: (A, B) share in [0, 1] of clean examples classified correctly.
        centre: the mean at the centre.
        centre_robust_accuracy, centre_natural_accuracy: both accuracies there.
        lowest, highest: of the means; NaN if no node is finite.
        lowest_at, highest_at: (alpha, beta) there; None if no node is finite.
        share_below_centre: share in [0, 1] of the finite nodes with a mean below that of the centre.
        num_points, num_missing, num_not_finite: nodes; the last two are masked.
        num_interpolated: nodes of a refined plane that were not measured.
    """

    alpha: Floats
    beta: Floats
    mean: Floats
    robust_accuracy: Floats
    natural_accuracy: Floats
    centre: float
    centre_robust_accuracy: float
    centre_natural_accuracy: float
    lowest: float
    lowest_at: tuple[float, float] | None
    highest: float
    highest_at: tuple[float, float] | None
    share_below_centre: float
    num_points: int
    num_missing: int
    num_not_finite: int
    num_interpolated: int


@dataclass(frozen=True, kw_only=True)
class CircleRise:
    """g - g(0, 0) on the circle of one radius around the centre, interpolated by cubic splines between nodes.

    Attributes:
        radius: r, in multiples of the two directions.
        value: mean over the circle.
        lowest, highest: on the circle.
        robust_accuracy, natural_accuracy: mean over the circle, share in [0, 1]; the first NaN if nothing was attacked.
    """

    radius: float
    value: float
    lowest: float
    highest: float
    robust_accuracy: float
    natural_accuracy: float


def planes_of(surfaces: Sequence[Surface], labels: Sequence[str] | None = None) -> tuple[Plane, ...]:
    """Every plane of the surfaces, each with a label of its own.

    Raises:
        InputError: no surface, another number of labels, or a surface along lines.
    """
    for surface in surfaces:
        require_plane(surface)
    planes = []
    for curve in style_curves(surfaces, labels):
        count = len(curve.surface.direction_ids)
        for number in range(count):
            label = curve.label if count == 1 else f"{curve.label}, plane {int(curve.surface.direction_ids[number])}"
            planes.append(Plane(surface=curve.surface, label=label, number=number))
    return tuple(planes)


def require_plane(surface: Surface) -> None:
    """Refuse a surface that no contours can be drawn of.

    Raises:
        InputError: the surface has no second axis, or an axis of one node.
    """
    if surface.grid.beta is None:
        raise InputError("contours need a surface over a plane, with alpha and beta, got one along single directions.")
    if min(surface.grid.shape) < 2:
        raise InputError(
            f"contours need at least 2 nodes of alpha and of beta, got {' x '.join(map(str, surface.grid.shape))}."
        )


def summarize_plane(plane: Plane, quantity: str = "loss") -> PlaneSummary:
    """The means of `quantity` over a plane with their extremes and counts of masked points.

    Raises:
        InputError: the surface has no second axis, or the quantity is unknown.
    """
    require_plane(plane.surface)
    alpha, beta = axes_of(plane)
    mean, centre = plane.mean(quantity), plane.centre(quantity)
    finite = np.isfinite(mean)
    status = plane.surface.status[plane.number]
    # What was not attacked has no robust accuracy: its adversarial examples are the clean ones.
    attacked = 1.0 if is_attacked(plane.surface) else np.nan
    interpolated = plane.interpolated
    # No interpolated number lies beyond the measured ones, so extremes are always measured.
    measured = np.where(interpolated, np.nan, mean)
    low, high = (_extreme(measured, largest) for largest in (False, True))
    return PlaneSummary(
        alpha=alpha,
        beta=beta,
        mean=mean,
        robust_accuracy=attacked * (1.0 - plane.mean("robust-error")),
        natural_accuracy=1.0 - plane.mean("natural-error"),
        centre=centre,
        centre_robust_accuracy=attacked * (1.0 - plane.centre("robust-error")),
        centre_natural_accuracy=1.0 - plane.centre("natural-error"),
        lowest=np.nan if low is None else float(mean[low]),
        lowest_at=None if low is None else (float(alpha[low[0]]), float(beta[low[1]])),
        highest=np.nan if high is None else float(mean[high]),
        highest_at=None if high is None else (float(alpha[high[0]]), float(beta[high[1]])),
        share_below_centre=float((mean[finite] < centre).mean()) if finite.any() and math.isfinite(centre) else np.nan,
        num_points=int(status.size),
        num_missing=int((status == MISSING).sum() - interpolated.sum()),
        num_not_finite=int((status == NOT_FINITE).sum()),
        num_interpolated=int(interpolated.sum()),
    )


def axes_of(plane: Plane) -> tuple[Floats, Floats]:
    """(A,) alpha and (B,) beta of a plane."""
    grid = plane.surface.grid
    return np.asarray(grid.alpha, dtype=np.float64), np.asarray(grid.beta, dtype=np.float64)


def circle_rise(plane: Plane, radius: float, quantity: str = "loss") -> CircleRise | None:
    """How `quantity` rises on a circle around the centre; None where `why_no_circle` says why.

    Raises:
        InputError: the surface has no second axis, or the quantity is unknown.
    """
    require_plane(plane.surface)
    if why_no_circle(plane, radius, quantity) is not None:
        return None
    rises = _on_circle(plane, plane.mean(quantity), radius) - plane.centre(quantity)
    robust, natural = (
        float(1.0 - _on_circle(plane, plane.mean(name), radius).mean()) for name in ("robust-error", "natural-error")
    )
    return CircleRise(
        radius=radius,
        value=float(rises.mean()),
        lowest=float(rises.min()),
        highest=float(rises.max()),
        robust_accuracy=robust if is_attacked(plane.surface) else np.nan,
        natural_accuracy=natural,
    )


def why_no_circle(plane: Plane, radius: float, quantity: str = "loss") -> str | None:
    """Why a plane gives no rise on the circle of `radius`, in words; None if it gives one."""
    if (kind := kind_of(plane.surface)) in ONE_WAY:
        return ONE_WAY[kind]
    axes = axes_of(plane)
    if any(nodes[0] > -radius or nodes[-1] < radius for nodes in axes):
        return "the grid does not reach around the circle"
    ranges = [_around(nodes, radius) for nodes in axes]
    if any(found.stop - found.start < SPLINE_NODES for found in ranges):
        return "the nodes lie too far apart"
    if any(np.diff(nodes[found]).max() > radius for nodes, found in zip(axes, ranges, strict=True)):
        return "the nodes lie too far apart"
    if not np.isfinite(plane.mean(quantity)[tuple(ranges)]).all() or not math.isfinite(plane.centre(quantity)):
        return "a point is missing or not finite"
    return None


def _on_circle(plane: Plane, values: Floats, radius: float) -> Floats:
    """(NUM_ANGLES,) values between nodes, by bicubic splines through the nodes around the circle."""
    from scipy.interpolate import RectBivariateSpline  # takes a while to import

    (alpha, beta), angles = axes_of(plane), 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    rows, columns = _around(alpha, radius), _around(beta, radius)
    spline = RectBivariateSpline(alpha[rows], beta[columns], values[rows, columns], kx=3, ky=3)
    # Rounding must not lead out of the nodes.
    a, b = (
        np.clip(radius * wave, nodes[0], nodes[-1]) for wave, nodes in ((np.cos(angles), alpha), (np.sin(angles), beta))
    )
    return np.asarray(spline.ev(a, b), dtype=np.float64)


def _around(nodes: Floats, radius: float) -> slice:
    """The nodes from -radius to radius, and two more on each side where there are any."""
    first = int(np.searchsorted(nodes, -radius, side="right")) - 1
    last = int(np.searchsorted(nodes, radius, side="left"))
    return slice(max(first - 1, 0), min(last + 2, len(nodes)))


def _extreme(mean: Floats, largest: bool) -> tuple[int, int] | None:
    """Index of the lowest or highest finite mean; None if there is none."""
    if not np.isfinite(mean).any():
        return None
    flat = int(np.nanargmax(mean)) if largest else int(np.nanargmin(mean))
    row, column = np.unravel_index(flat, mean.shape)
    return int(row), int(column)

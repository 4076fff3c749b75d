"""The loss surface as a value: a status for every point of a grid, and what was measured there for every example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError
from landscape.names import QUANTITIES
from landscape.protocols import Measurement
from landscape.surfaces.grid import CENTRE, Grid, Point
from landscape.surfaces.refinement import asked_nodes

__all__ = ["CENTRE", "DONE", "MISSING", "NOT_FINITE", "Draft", "Grid", "Point", "Surface", "layout"]

Floats = npt.NDArray[np.float64]

MISSING, DONE, NOT_FINITE = 0, 1, 2
"""Status of a point: not measured; measured; measured, and some loss is NaN or infinite."""

NO_VERDICT = 255
"""What stands in the correctness arrays of missing points, where the loss arrays have NaN."""

ARRAYS: Mapping[str, tuple[type[np.generic], float]] = {
    "adversarial_loss": (np.float32, math.nan),
    "clean_loss": (np.float32, math.nan),
    "adversarial_correct": (np.uint8, NO_VERDICT),
    "clean_correct": (np.uint8, NO_VERDICT),
}
"""The four arrays of a measurement: dtype, and the value that fills missing points."""

_SOURCES = dict(
    zip(QUANTITIES, ("adversarial_loss", "adversarial_correct", "clean_loss", "clean_correct"), strict=True)
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Measurements at D directions, every node of the grid, and the centre, on n examples.

    In the shapes, [, B] is there in a plane only. Missing points hold NaN (losses) and 255 (correctness); points that
    are not finite hold what was measured.

    Attributes:
        key: name of the surface, the sha256 of `spec`.
        spec: everything that determines the numbers, as plain JSON values.
        direction_ids: (D,) int64, which direction of the recipe; in a plane, which plane.
        example_ids: (n,) int64, positions in the split.
        labels: (n,) int64.
        status: (D, A[, B]) uint8, 0 missing, 1 done, 2 not finite.
        arrays: the four arrays of a `Measurement` by name, each (D, A[, B], n); may be read from the file when first
            asked for.
        centre: the measurement of the unperturbed model; filled as a missing point where `centre_status` is 0.
        centre_status: as `status`.
        provenance: how points came to be: versions, device, batch size, one entry for each process.
        provenance_index: (D, A[, B]) int32, the entry of each point, -1 where missing.
        centre_provenance: the entry of the centre, -1 if missing.
    """

    key: str
    spec: Mapping[str, Any]
    grid: Grid
    direction_ids: npt.NDArray[np.int64]
    example_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    arrays: Mapping[str, npt.NDArray[Any]]
    centre: Measurement
    centre_status: int
    provenance: tuple[Mapping[str, Any], ...]
    provenance_index: npt.NDArray[np.int32]
    centre_provenance: int

    @property
    def adversarial_loss(self) -> npt.NDArray[np.float32]:
        """(D, A[, B], n) loss on the adversarial examples."""
        return self.arrays["adversarial_loss"]

    @property
    def clean_loss(self) -> npt.NDArray[np.float32]:
        """(D, A[, B], n) loss on the examples themselves."""
        return self.arrays["clean_loss"]

    @property
    def adversarial_correct(self) -> npt.NDArray[np.uint8]:
        """(D, A[, B], n) draws of noise, mostly 1, in which it is right on adversarial examples; 255 where missing."""
        return self.arrays["adversarial_correct"]

    @property
    def clean_correct(self) -> npt.NDArray[np.uint8]:
        """(D, A[, B], n) draws of noise, mostly 1, in which it is right on the examples; 255 where missing."""
        return self.arrays["clean_correct"]

    @property
    def num_draws(self) -> int:
        """Draws of noise that the numbers are means over; 1 for a model without noise."""
        noise = self.spec.get("noise")
        return int(noise.get("draws", 1)) if isinstance(noise, Mapping) else 1

    @property
    def num_points(self) -> int:
        """D * A [* B] + 1, the centre included."""
        return self.status.size + 1

    @property
    def num_done(self) -> int:
        """How many points are not missing, the centre included."""
        return int(np.count_nonzero(self.status)) + int(self.centre_status != MISSING)

    @property
    def complete(self) -> bool:
        """Whether no point is missing that the grid asks for; a refined one leaves nodes out."""
        if self.num_done == self.num_points or self.grid.refine is None:
            return self.num_done == self.num_points
        return self.done_points().issuperset(self.asked_points())

    @property
    def label(self) -> str:
        """What the surface is of, for people: the label its first process gave it, else the start of its key."""
        return str(self.provenance[0].get("label") or self.key[:12]) if self.provenance else self.key[:12]

    def done_points(self) -> set[Point]:
        """All points that are not missing."""
        done = {tuple(int(part) for part in row) for row in np.argwhere(self.status != MISSING)}
        return done | {CENTRE} if self.centre_status != MISSING else done

    def asked_points(self) -> list[Point]:
        """The centre and the nodes that the grid asks for, in order; of a refined one, as far as it is known yet."""
        if self.grid.refine is None:
            return [CENTRE, *((line, *index) for line in range(len(self.status)) for index in self.grid.indices())]
        known, means = self.status != MISSING, self.mean()
        asked = np.stack([asked_nodes(self.grid, *plane) for plane in zip(means, known, strict=True)])
        return [CENTRE, *(tuple(int(part) for part in row) for row in np.argwhere(asked))]

    def point_status(self, point: Point) -> int:
        """0 missing, 1 done, 2 not finite."""
        return self.centre_status if point == CENTRE else int(self.status[point])

    def measurement(self, point: Point) -> Measurement:
        """What was measured at a point, (n,) each."""
        if point == CENTRE:
            return self.centre
        return Measurement(**{name: self.arrays[name][point] for name in ARRAYS})

    def point_provenance(self, point: Point) -> Mapping[str, Any]:
        """How a point that is not missing came to be."""
        return self.provenance[self.centre_provenance if point == CENTRE else int(self.provenance_index[point])]

    def values(self, quantity: str = "loss") -> Floats:
        """(D, A[, B], n) float64 values of one of `names.QUANTITIES`; NaN at missing points.

        Points that are not finite keep the NaN and infinities that were measured.

        Raises:
            InputError: the quantity is unknown.
        """
        source = _source(quantity)
        return _as_quantity(self.arrays[source], source, self.num_draws)

    def centre_values(self, quantity: str = "loss") -> Floats:
        """(n,) float64 values at the centre; NaN if the centre is missing."""
        source = _source(quantity)
        return _as_quantity(self.centre.arrays()[source], source, self.num_draws)

    def mean(self, quantity: str = "loss") -> Floats:
        """(D, A[, B]) float64 means over examples; NaN where a point is missing or not finite."""
        source = _source(quantity)
        with np.errstate(invalid="ignore", over="ignore"):  # points that are not finite are masked below
            means = np.mean(self.arrays[source], axis=-1, dtype=np.float64)
        means = 1.0 - means / self.num_draws if source.endswith("correct") else means
        return np.where(self.status == DONE, means, np.nan)

    def centre_mean(self, quantity: str = "loss") -> float:
        """Mean over examples at the centre; NaN if it is missing or not finite."""
        values = self.centre_values(quantity)
        return float(np.mean(values)) if self.centre_status == DONE else math.nan

    def accuracy(self) -> Floats:
        """(D, A[, B]) float64 robust accuracy in [0, 1]; NaN where a point is missing or not finite."""
        return 1.0 - self.mean("robust-error")

    def standard_error(self, quantity: str = "loss") -> Floats:
        """(A[, B]) standard error over examples of the mean over directions.

        Each example's values are first averaged over the directions that are finite at the node: the directions share
        their examples, so their errors are not independent. NaN where no direction is, or with fewer than two examples.
        """
        source = _source(quantity)
        usable = self.status == DONE
        total = np.zeros((*self.grid.shape, len(self.example_ids)))
        for line, used in zip(self.arrays[source], usable, strict=True):
            total[used] += _as_quantity(line[used], source, self.num_draws)
        count = usable.sum(axis=0)
        if len(self.example_ids) < 2:
            return np.full(self.grid.shape, np.nan)
        spread = np.std(total, axis=-1, ddof=1) / math.sqrt(len(self.example_ids))
        return np.where(count > 0, spread / np.maximum(count, 1), np.nan)


class Draft:
    """A surface that is being put together in memory, point by point."""

    def __init__(
        self,
        *,
        key: str,
        spec: Mapping[str, Any],
        example_ids: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
    ) -> None:
        grid, num_directions = layout(spec)
        shape = (num_directions, *grid.shape)
        n = len(example_ids)
        centre = Measurement(**{name: np.full(n, fill, dtype) for name, (dtype, fill) in ARRAYS.items()})
        self._arrays = {name: np.full((*shape, n), fill, dtype) for name, (dtype, fill) in ARRAYS.items()}
        self._parts: dict[str, Any] = {"key": key, "spec": spec, "grid": grid, "labels": labels}
        self._parts |= {"direction_ids": np.arange(num_directions, dtype=np.int64), "example_ids": example_ids}
        self._parts |= {"status": np.zeros(shape, np.uint8), "provenance_index": np.full(shape, -1, np.int32)}
        self._parts |= {"centre": centre, "centre_status": MISSING, "centre_provenance": -1}
        self._provenance: list[Mapping[str, Any]] = []

    def add_provenance(self, entry: Mapping[str, Any]) -> int:
        """The number of `entry`, which `put` takes; equal entries share one."""
        if entry not in self._provenance:
            self._provenance.append(entry)
        return self._provenance.index(entry)

    def put(self, point: Point, measurement: Measurement, provenance: int) -> None:
        """Set a point. The first measurement of a point is final: later ones leave it as it is."""
        if self.has(point):
            return
        status = DONE if measurement.finite else NOT_FINITE
        if point == CENTRE:
            self._parts |= {"centre": measurement, "centre_status": status, "centre_provenance": provenance}
            return
        for name, array in measurement.arrays().items():
            self._arrays[name][point] = array
        self._parts["status"][point] = status
        self._parts["provenance_index"][point] = provenance

    def has(self, point: Point) -> bool:
        """Whether a point is set."""
        status = self._parts["centre_status"] if point == CENTRE else self._parts["status"][point]
        return bool(status != MISSING)

    def surface(self) -> Surface:
        """What is there so far; it shares its arrays with the draft."""
        return Surface(**self._parts, arrays=self._arrays, provenance=tuple(self._provenance))


def layout(spec: Mapping[str, Any]) -> tuple[Grid, int]:
    """The grid and the number of directions that a specification names; 0 where the centre alone is measured.

    Raises:
        InputError: `grid` or `num_directions` is absent or makes no sense.
    """
    try:
        grid, num_directions = Grid.from_spec(spec["grid"]), spec["num_directions"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"a surface's specification needs a grid and num_directions, got {error!r}.") from error
    if not isinstance(num_directions, int) or isinstance(num_directions, bool) or num_directions < 0:
        raise InputError(f"a surface has a whole number of directions, 0 or more, got {num_directions!r}.")
    return grid, num_directions


def _source(quantity: str) -> str:
    if quantity not in _SOURCES:
        raise InputError(f"a quantity is one of {', '.join(QUANTITIES)}, got {quantity!r}.")
    return _SOURCES[quantity]


def _as_quantity(array: npt.NDArray[Any], source: str, num_draws: int) -> Floats:
    values = array.astype(np.float64)
    if source.endswith("loss"):
        return values
    return np.where(array == NO_VERDICT, np.nan, 1.0 - values / num_draws)

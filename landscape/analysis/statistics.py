"""Numbers of a one-dimensional surface: its curve with spread and errors, its rise, and the difference of two rises.

rise(r) is the mean over directions and both signs of g(+-r) - g(0), where g(0) is the measured centre. Each statement
about a rise names its r: at r = 1 an adversarially trained network has lost nearly all of its robust accuracy, and the
loss there mostly measures the size of the logits.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import is_sample
from landscape.analysis.pairing import differing_directions, differing_examples
from landscape.analysis.samples import DirectionRises, centre_values, direction_rises, require_line
from landscape.analysis.settings import is_attacked
from landscape.surfaces.surface import MISSING, NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

RADII = (0.1, 0.25, 0.5, 1.0)

LEVEL = 0.95

MIN_DIRECTIONS = 3
"""With fewer directions the spread between them is not known well enough for an interval."""


@dataclass(frozen=True, kw_only=True)
class CurveSummary:
    """One quantity along alpha; every array is (A,) and NaN where nothing was measured.

    Attributes:
        mean: mean over directions and examples.
        standard_error_examples: standard error over examples of the mean over directions.
        spread_directions: standard deviation over directions of the mean over examples.
        low, high: 95 % t-interval over directions of the mean, for these examples; NaN below three directions.
        robust_accuracy: share in [0, 1] of adversarial examples classified correctly; NaN if nothing was attacked.
        natural_accuracy: share in [0, 1] of clean examples classified correctly.
        num_directions: directions that were measured and are finite at each alpha.
        centre: the quantity at the centre.
        centre_robust_accuracy, centre_natural_accuracy: both accuracies there.
        num_points, num_missing, num_not_finite: of the directions times alphas; the last two are masked.
    """

    alpha: Floats
    mean: Floats
    standard_error_examples: Floats
    spread_directions: Floats
    low: Floats
    high: Floats
    robust_accuracy: Floats
    natural_accuracy: Floats
    num_directions: npt.NDArray[np.int64]
    centre: float
    centre_robust_accuracy: float
    centre_natural_accuracy: float
    num_points: int
    num_missing: int
    num_not_finite: int


@dataclass(frozen=True, kw_only=True)
class Rise:
    """rise(r) of one surface.

    Attributes:
        radius: r, in multiples of the normalized direction.
        value: mean over directions, both signs and examples of g(+-r) - g(0); NaN if no direction is finite.
        standard_error_directions: standard error over directions; NaN for one, or for no random sample of them.
        standard_error_examples: standard error over examples; NaN for one example.
        variation_directions: coefficient of variation over directions, the standard deviation over directions of the
            rise along each, as a share of its absolute mean: how well one direction repeats another (the AWP paper's
            Fig. 5); NaN for one direction, or for no random sample of them.
        robust_accuracy: share in [0, 1] of adversarial examples classified correctly at +-r; NaN if there are none.
        natural_accuracy: share in [0, 1] of clean examples classified correctly at +-r.
        interpolated: whether +-r are not nodes of the grid.
        num_directions, num_examples: that the value is a mean of.
        num_masked: directions left out because a point that they need is missing or not finite.
    """

    radius: float
    value: float
    standard_error_directions: float
    standard_error_examples: float
    variation_directions: float
    robust_accuracy: float
    natural_accuracy: float
    interpolated: bool
    num_directions: int
    num_examples: int
    num_masked: int


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """rise(r) of surface a minus rise(r) of surface b.

    Attributes:
        radius: r, in multiples of the normalized direction.
        value: the difference; NaN if no direction is finite.
        low, high: interval of the value; None below three directions or two examples, and for a value that is NaN.
        level: confidence level of the interval.
        standard_error_directions, standard_error_examples: of the value.
        num_directions, num_examples: of the difference; where unpaired, the smaller of the two numbers.
        paired_directions: both surfaces were displaced along the same directions.
        paired_examples: both surfaces were measured on the same examples from the same random starts.
        unpaired_because: what differs, in words; empty when both are paired.
        interpolated: whether +-r are not nodes of both grids.
        num_masked: directions of a and b left out because a point that they need is missing or not finite.
        sampled: whether the directions of both are a random sample; others have no interval.
    """

    radius: float
    value: float
    low: float | None
    high: float | None
    level: float
    standard_error_directions: float
    standard_error_examples: float
    num_directions: int
    num_examples: int
    paired_directions: bool
    paired_examples: bool
    unpaired_because: tuple[str, ...]
    interpolated: bool
    num_masked: int
    sampled: bool = True

    @property
    def paired(self) -> bool:
        """Whether directions, examples and random starts are the same for both."""
        return self.paired_directions and self.paired_examples

    @property
    def shown(self) -> bool:
        """Whether there is an interval and it leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarize_curve(surface: Surface, quantity: str = "loss") -> CurveSummary:
    """The curve of `quantity` with its spread, errors and counts of masked points.

    Raises:
        InputError: the surface is two-dimensional, or the quantity is unknown.
    """
    require_line(surface)
    by_direction = surface.mean(quantity)
    num_directions = np.isfinite(by_direction).sum(axis=0)
    mean, spread = _mean(by_direction, axis=0), _deviation(by_direction, axis=0)
    half = t_quantile(num_directions) * spread / np.sqrt(np.maximum(num_directions, 1))
    # Directions that are no sample have no interval.
    half = np.where((num_directions >= MIN_DIRECTIONS) & is_sample(surface), half, np.nan)
    # What was not attacked has no robust accuracy: its adversarial examples are the clean ones.
    attacked = 1.0 if is_attacked(surface) else np.nan
    return CurveSummary(
        alpha=np.asarray(surface.grid.alpha, dtype=np.float64),
        mean=mean,
        standard_error_examples=surface.standard_error(quantity),
        spread_directions=spread,
        low=mean - half,
        high=mean + half,
        robust_accuracy=attacked * _mean(surface.accuracy(), axis=0),
        natural_accuracy=1.0 - _mean(surface.mean("natural-error"), axis=0),
        num_directions=num_directions,
        centre=float(centre_values(surface, quantity).mean()),
        centre_robust_accuracy=float(attacked * (1.0 - centre_values(surface, "robust-error").mean())),
        centre_natural_accuracy=float(1.0 - centre_values(surface, "natural-error").mean()),
        num_points=int(surface.status.size),
        num_missing=int((surface.status == MISSING).sum()),
        num_not_finite=int((surface.status == NOT_FINITE).sum()),
    )


def rise(surface: Surface, radius: float, quantity: str = "loss") -> Rise | None:
    """rise(radius) of `quantity`; None if the grid does not reach +-radius.

    Where +-radius are no nodes, each curve is interpolated through the four nearest nodes (`samples.direction_rises`).

    Raises:
        InputError: the radius is not positive, the surface is two-dimensional, or the quantity is unknown.
    """
    rises = direction_rises(surface, radius, quantity)
    if rises is None:
        return None
    sampled = is_sample(surface)
    return Rise(
        radius=radius,
        value=_total_mean(rises.values),
        standard_error_directions=_standard_error(rises.values, axis=0) if sampled else math.nan,
        standard_error_examples=_standard_error(rises.values, axis=1),
        variation_directions=_variation(rises.values) if sampled else math.nan,
        robust_accuracy=_total_mean(rises.robust_accuracy),
        natural_accuracy=_total_mean(rises.natural_accuracy),
        interpolated=rises.interpolated,
        num_directions=rises.values.shape[0],
        num_examples=rises.values.shape[1],
        num_masked=rises.num_masked,
    )


def paired_difference(a: Surface, b: Surface, radius: float, quantity: str = "loss") -> PairedDifference | None:
    """rise(radius) of `a` minus that of `b`, with its 95 % interval; None if a grid does not reach +-radius.

    With d[j, i] the difference along direction j on example i, the interval is

        mean +- t(D - 1) * sqrt(SE_directions^2 + SE_examples^2),
        SE_directions = sd over j of mean_i d / sqrt(D),   SE_examples = sd over i of mean_j d / sqrt(n),

    because directions and examples are both samples (crossed random effects): resampling one of the two alone covers
    far less than it promises. Directions that are not the same (another shape of parameters, another recipe) are taken
    as independent samples, SE^2 = SE_a^2 + SE_b^2 with t of the smaller D; and so are examples that are not the same.

    Raises:
        InputError: the radius is not positive, a surface is two-dimensional, or the quantity is unknown.
    """
    first, second = direction_rises(a, radius, quantity), direction_rises(b, radius, quantity)
    if first is None or second is None:
        return None
    other_directions, other_examples = differing_directions(a, b), differing_examples(a, b)
    x, y = (first.values, second.values) if other_directions else common_directions(first, second)
    value, half, error_directions, error_examples = estimate_difference(
        x, y, paired_directions=not other_directions, paired_examples=not other_examples
    )
    sampled = is_sample(a) and is_sample(b)
    half = half if sampled else None
    return PairedDifference(
        radius=radius,
        value=value,
        low=None if half is None else value - half,
        high=None if half is None else value + half,
        level=LEVEL,
        standard_error_directions=error_directions,
        standard_error_examples=error_examples,
        num_directions=min(len(x), len(y)),
        num_examples=min(x.shape[1], y.shape[1]),
        paired_directions=not other_directions,
        paired_examples=not other_examples,
        unpaired_because=(*other_directions, *other_examples),
        interpolated=first.interpolated or second.interpolated,
        num_masked=first.num_masked + second.num_masked,
        sampled=sampled,
    )


def estimate_difference(
    a: Floats, b: Floats, *, paired_directions: bool = True, paired_examples: bool = True
) -> tuple[float, float | None, float, float]:
    """Mean of `a` minus mean of `b`, half its 95 % interval, and its standard errors over directions and examples.

    Args:
        a: (D, n) rises along each direction, of each example.
        b: (E, m) likewise.
        paired_directions: whether the rows of both are the same directions.
        paired_examples: whether the columns of both are the same examples.

    Returns:
        Value, half width (None below three directions or for an unknown error), both standard errors.
    """
    error_directions = _error_of_difference(a, b, axis=0, paired=paired_directions)
    error_examples = _error_of_difference(a, b, axis=1, paired=paired_examples)
    num_directions = min(len(a), len(b))
    half = float(t_quantile(num_directions)) * float(np.hypot(error_directions, error_examples))
    known = num_directions >= MIN_DIRECTIONS and np.isfinite(half)
    return _total_mean(a) - _total_mean(b), half if known else None, error_directions, error_examples


def t_quantile(num_directions: int | npt.NDArray[Any]) -> Floats:
    """Two-sided 95 % quantile of Student's t with D - 1 degrees of freedom; NaN for one direction."""
    # scipy.stats has it too, but takes half a second to import.
    from scipy.special import stdtrit

    freedom = np.asarray(num_directions, dtype=np.float64) - 1.0
    return np.asarray(stdtrit(np.where(freedom > 0, freedom, np.nan), 0.5 + LEVEL / 2), dtype=np.float64)


def common_directions(a: DirectionRises, b: DirectionRises) -> tuple[Floats, Floats]:
    """The values of both along the directions that are finite in both, in the same order."""
    _, in_a, in_b = np.intersect1d(a.direction_ids, b.direction_ids, assume_unique=True, return_indices=True)
    return a.values[in_a], b.values[in_b]


def _error_of_difference(a: Floats, b: Floats, *, axis: int, paired: bool) -> float:
    """Standard error over one axis of the difference of two (D, n) arrays; the other axis is averaged first."""
    if paired:
        difference = _mean(a, axis=1 - axis) - _mean(b, axis=1 - axis)
        return _standard_error(difference[:, None], axis=0)
    return float(np.hypot(_standard_error(a, axis=axis), _standard_error(b, axis=axis)))


def _standard_error(values: Floats, *, axis: int) -> float:
    """Standard error over one axis of a (D, n) array whose other axis is averaged first; NaN below two."""
    averaged = _mean(values, axis=1 - axis)
    return float(_deviation(averaged, axis=0) / np.sqrt(len(averaged))) if averaged.size else np.nan


def _variation(values: Floats) -> float:
    """Standard deviation over the rows of their means, as a share of the absolute mean of all; NaN below two rows."""
    if len(values) < 2 or not (mean := abs(_total_mean(values))):
        return np.nan
    return float(_deviation(_mean(values, axis=1), axis=0)) / mean


def _mean(values: Floats, *, axis: int) -> Floats:
    """Mean that leaves out NaN; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis), dtype=np.float64)


def _deviation(values: Floats, *, axis: int) -> Floats:
    """Standard deviation (n - 1) that leaves out NaN; NaN where fewer than two are left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanstd(values, axis=axis, ddof=1), dtype=np.float64)


def _total_mean(values: Floats) -> float:
    return float(values.mean()) if values.size else np.nan

"""How flatness and the robust generalization gap go together over checkpoints, with intervals over runs.

The checkpoints of one run are not independent: they share its start, its data order and its course. So the unit that
is resampled is the run (a cluster bootstrap), and coefficients are told apart by what they compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape.analysis.coefficients import COEFFICIENTS, Floats, partial
from landscape.errors import InputError
from landscape.randomness import Stream, uniform

LEVEL = 0.95

MIN_RUNS = 8
"""With fewer runs a resample of runs says too little about other runs for an interval."""

MIN_POINTS = 3
"""Two points always lie on a line."""

NUM_CONTROLS = 2
"""Each control takes a degree of freedom: a partial coefficient needs so many points more."""

POOLED, WITHIN, FINAL, PARTIAL = "pooled", "within runs", "final checkpoints", "partial"

VARIANTS = (POOLED, WITHIN, FINAL, PARTIAL)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One checkpoint.

    Attributes:
        run: what it shares with the other checkpoints of one training, for example the run folder's name.
        epoch: finished epochs.
        name: what figures call it.
        method: how it was trained, for example `at-awp`; None if that is not known.
        flatness: a number of flatness, for example rise(0.5); larger is sharper.
        gap: robust accuracy on train minus test examples, a share in [-1, 1].
        train_robust_loss: adversarial loss on train examples, nats.
        is_final: whether it is the last checkpoint of its run.
    """

    run: str
    epoch: int
    name: str
    method: str | None
    flatness: float
    gap: float
    train_robust_loss: float
    is_final: bool


@dataclass(frozen=True, kw_only=True)
class Association:
    """One coefficient of flatness with the gap.

    Attributes:
        variant: one of `VARIANTS`.
        coefficient: one of `coefficients.COEFFICIENTS`.
        value: in [-1, 1]; NaN where it is not defined.
        low, high: its interval over runs; None below `MIN_RUNS` runs and for a value that is NaN.
        num_points, num_runs: that it is of.
        num_degenerate: resamples left out because the coefficient is not defined there.
    """

    variant: str
    coefficient: str
    value: float
    low: float | None
    high: float | None
    num_points: int
    num_runs: int
    num_degenerate: int


@dataclass(frozen=True, kw_only=True)
class Associations:
    """All coefficients of one set of checkpoints.

    Attributes:
        rows: every coefficient of every variant.
        num_points, num_runs: that were given and are finite.
        num_left_out: points with a number that is not finite.
        constant_controls: controls of the partial coefficients that are the same at every point.
        level: confidence level of the intervals.
        resamples, seed: of the bootstrap.
    """

    rows: tuple[Association, ...]
    num_points: int
    num_runs: int
    num_left_out: int
    constant_controls: tuple[str, ...]
    level: float
    resamples: int
    seed: int

    def row(self, variant: str, coefficient: str) -> Association:
        """The row of a variant and a coefficient, both by name."""
        return next(one for one in self.rows if (one.variant, one.coefficient) == (variant, coefficient))


def associations(points: Sequence[Point], *, resamples: int = 2000, seed: int = 0) -> Associations:
    """Pearson's, Spearman's and Kendall's coefficients of flatness with the gap, in four variants.

    - pooled: over all checkpoints.
    - within runs: the mean over runs of the coefficient over the checkpoints of one run; each run with at least three
      checkpoints counts once, whatever its length.
    - final checkpoints: over the last checkpoint of each run.
    - partial: over all checkpoints, given the train robust loss and the epoch, so what is left after both
      (`coefficients.partial`); it needs two checkpoints more.

    Args:
        points: at least three checkpoints, each once.
        resamples: of the bootstrap, at least 1.
        seed: of the bootstrap.

    Raises:
        InputError: too few points, one checkpoint twice, a run with two last checkpoints, or no resample.
    """
    if resamples < 1:
        raise InputError(f"a bootstrap takes at least 1 resample, got {resamples}.")
    _require_once(points)
    # In an order of their own, so that the caller's changes no resample.
    used = sorted(filter(is_finite, points), key=lambda point: (point.run, point.epoch, point.name))
    if len(used) < MIN_POINTS:
        raise InputError(
            f"an association needs at least {MIN_POINTS} checkpoints with finite numbers, got {len(used)}; name more."
        )
    runs = sorted({point.run for point in used})
    values = np.array([[p.flatness, p.gap, p.train_robust_loss, p.epoch] for p in used], dtype=np.float64).T
    member = np.array([runs.index(point.run) for point in used])
    final = np.array([point.is_final for point in used])
    copies = np.concatenate([np.ones((1, len(runs))), _resampled(len(runs), resamples, seed)])
    rows = []
    for coefficient in COEFFICIENTS:
        variants = _variants(coefficient, values, member, final, copies)
        rows += [_association(name, coefficient, *found) for name, found in variants.items()]
    return Associations(
        rows=tuple(sorted(rows, key=lambda row: VARIANTS.index(row.variant))),
        num_points=len(used),
        num_runs=len(runs),
        num_left_out=len(points) - len(used),
        constant_controls=tuple(
            name
            for name, numbers in zip(("train robust loss", "epoch"), values[2:], strict=True)
            if np.ptp(numbers) == 0
        ),
        level=LEVEL,
        resamples=resamples,
        seed=seed,
    )


_Found = tuple[Floats, int, int]
"""A coefficient of the sample and of every resample, and the number of its points and runs."""


def _variants(
    coefficient: str, values: Floats, member: npt.NDArray[np.int64], final: npt.NDArray[np.bool_], copies: Floats
) -> dict[str, _Found]:
    """All variants of one coefficient.

    Args:
        coefficient: its name.
        values: (4, n) flatness, gap, train robust loss and epoch.
        member: (n,) the run of each point.
        final: (n,) whether it is the last of its run.
        copies: (1 + resamples, R) of each run in each sample; the first is the sample itself.
    """
    of = COEFFICIENTS[coefficient]
    weights = copies[:, member]
    matrix = of(values, weights)
    finals = int(final.sum())
    last = of(values[:2, final], weights[:, final])[:, 0, 1] if finals >= MIN_POINTS else np.full(len(copies), np.nan)
    runs = [values[:2, member == run] for run in range(copies.shape[1])]
    each = np.array(
        [of(one, np.ones((1, one.shape[1])))[0, 0, 1] if one.shape[1] >= MIN_POINTS else np.nan for one in runs]
    )
    has = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        within = (copies[:, has] @ each[has]) / copies[:, has].sum(axis=1)
    num_runs = copies.shape[1]
    return {
        POOLED: (_of_enough(matrix[:, 0, 1], weights), len(member), num_runs),
        WITHIN: (within, int(has[member].sum()), int(has.sum())),
        FINAL: (_of_enough(last, weights[:, final]), finals, finals),
        PARTIAL: (_of_enough(partial(matrix), weights, MIN_POINTS + NUM_CONTROLS), len(member), num_runs),
    }


def _of_enough(found: Floats, weights: Floats, enough: int = MIN_POINTS) -> Floats:
    """NaN where a sample has too few different points."""
    return np.where((weights > 0).sum(axis=1) >= enough, found, np.nan)


def _association(variant: str, coefficient: str, found: Floats, num_points: int, num_runs: int) -> Association:
    value, resampled = float(found[0]), found[1:]
    known = resampled[np.isfinite(resampled)]
    low = high = None
    if num_runs >= MIN_RUNS and math.isfinite(value) and len(known):
        low, high = interval(known, num_runs)
    return Association(
        variant=variant,
        coefficient=coefficient,
        value=value,
        low=low,
        high=high,
        num_points=num_points,
        num_runs=num_runs,
        num_degenerate=len(resampled) - len(known),
    )


def interval(resampled: Floats, num_runs: int) -> tuple[float, float]:
    """The 95 % interval of a cluster bootstrap: quantiles, taken further out because runs are few.

    A plain percentile interval is too narrow by about sqrt((R - 1) / R) and takes a normal quantile where Student's
    belongs; so the share that is cut off on each side is Phi(sqrt(R / (R - 1)) t_{R-1}(0.025)) rather than 0.025
    (Hesterberg 2015, "What teachers should know about the bootstrap", section 3.3: the expanded percentile interval).

    In simulations of 8 and 16 runs of 9 checkpoints, autocorrelated, of correlation 0, 0.6 and, skewed, 0.9, it held
    the true value in 94 to 100 % of the samples, pooled, partial and between final checkpoints, but in 86 to 96 %
    within runs; plain percentiles in 91 to 97 % and in 78 to 92 %. So within runs it is somewhat too narrow.

    Args:
        resampled: the coefficient in each resample, finite.
        num_runs: R, at least 2.
    """
    from scipy.special import ndtr, stdtrit

    tail = float(ndtr(math.sqrt(num_runs / (num_runs - 1)) * stdtrit(num_runs - 1, (1 - LEVEL) / 2)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(num_runs: int, resamples: int, seed: int) -> Floats:
    """(resamples, R): how often each run was drawn in R draws with replacement."""
    draws = uniform(resamples * num_runs, seed=seed, stream=Stream.BOOTSTRAP).reshape(resamples, num_runs)
    chosen = (draws * num_runs).astype(np.int64) + num_runs * np.arange(resamples)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=resamples * num_runs)
    return counts.reshape(resamples, num_runs).astype(np.float64)


def is_finite(point: Point) -> bool:
    """Whether all numbers of a point are; others are left out."""
    return all(map(math.isfinite, (point.flatness, point.gap, point.train_robust_loss)))


def _require_once(points: Sequence[Point]) -> None:
    """Refuse what would count twice."""
    seen: set[tuple[str, int, str]] = set()
    ended: set[str] = set()
    for point in points:
        if (point.run, point.epoch, point.name) in seen:
            raise InputError(f"each checkpoint counts once, got {point.name} of {point.run} twice; leave one out.")
        if point.is_final and point.run in ended:
            raise InputError(f"a run has one last checkpoint, got two for {point.run}; give them names of their own.")
        seen.add((point.run, point.epoch, point.name))
        ended |= {point.run} if point.is_final else set()

"""Measures of flatness of one checkpoint, each with its standard error, from the surfaces that they were measured on.

Every measure is a mean over a table of samples: what was drawn (directions, draws of weights, probes) times examples.
The standard error is sqrt(SE_draws^2 + SE_examples^2) of the axes that are samples, as in the paired difference of two
rises; which axes these are is said for each measure in `DEFINITIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.analysis.pairing import differing_directions, differing_examples
from landscape.analysis.statistics import MIN_DIRECTIONS, t_quantile

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

WINDOW = 0.25
"""The parabola of the curvature is laid through the nodes |alpha| <= WINDOW."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a measure is.

    Attributes:
        formula: in words and symbols.
        source: where it is from.
        drawn: what is drawn, in the plural; empty where nothing is.
        over_examples: whether the standard error counts examples.
    """

    formula: str
    source: str
    drawn: str
    over_examples: bool


DEFINITIONS: Mapping[str, Definition] = {
    "rise": Definition(
        formula="rise(r) = mean over directions d and both signs of g(±r) − g(0)",
        source="AWP (Wu et al. 2020), Algorithm 1; average-case flatness of Stutz et al. 2021",
        drawn="directions",
        over_examples=True,
    ),
    "worst-case": Definition(
        formula="worst-case(γ) = g(w + v) − g(w) at the end of the ascent, ||v_l|| = γ ||w_l|| in every layer; a lower "
        "bound of the maximum, on the examples that v was found for",
        source="AWP (Wu et al. 2020), Eq. 8-10; worst-case flatness of Stutz et al. 2021",
        drawn="",
        over_examples=True,
    ),
    "curvature": Definition(
        formula=f"curvature = 2 c of the least-squares parabola a + b α + c α² through the nodes |α| <= {WINDOW:g}, "
        "mean over directions",
        source="finite-window d²g/dα² of the curve attacked anew at every α",
        drawn="directions",
        over_examples=True,
    ),
    "eigenvalue": Definition(
        formula="eigenvalue = largest eigenvalue of d²L/dw² on examples fixed at the centre, all parameters; does not "
        "see the kinks of ReLUs; no error is estimated",
        source="Lanczos on Hessian-vector products",
        drawn="",
        over_examples=False,
    ),
    "trace": Definition(
        formula="trace = mean over random signs v of vᵀ H v, H = d²L/dw² on examples fixed at the centre, all "
        "parameters; the error is that of the probes",
        source="Hutchinson 1989",
        drawn="probes",
        over_examples=False,
    ),
    "pac-bayes": Definition(
        formula="pac-bayes(a) = E_u[g(w + u)] − g(w), u_l Gaussian of size a ||w_l||, both signs of every draw; of the "
        "0-1 loss (percentage points) and of the cross-entropy",
        source="AWP (Wu et al. 2020), Eq. 12",
        drawn="draws",
        over_examples=True,
    ),
}
"""Every kind of measure by its name."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one checkpoint.

    Attributes:
        name: for example `rise(0.5)`.
        kind: one of `DEFINITIONS`.
        unit: of value and error as they are; errors of classification are shares, shown in percentage points.
        surface: what it was measured on.
        samples: (D, n) of which the value is the mean; (D, 1) where examples are no sample; NaN-free.
        robust_accuracy: share in [0, 1] at the displaced weights; NaN where that makes no sense.
        interpolated: whether a node was missing and neighbours stood in for it.
        note: what a reader has to know beside the number; empty for nothing.
    """

    name: str
    kind: str
    unit: str
    surface: Surface = field(repr=False, compare=False)
    samples: Floats = field(repr=False, compare=False)
    robust_accuracy: float = math.nan
    interpolated: bool = False
    note: str = ""

    @property
    def definition(self) -> Definition:
        """What it is."""
        return DEFINITIONS[self.kind]

    @property
    def value(self) -> float:
        """The number; NaN if nothing finite was measured."""
        return float(self.samples.mean()) if self.samples.size else math.nan

    @property
    def num_draws(self) -> int:
        """Directions, draws or probes that the value is a mean of; 1 where nothing is drawn."""
        return len(self.samples)

    @property
    def standard_error(self) -> float:
        """sqrt(SE_draws^2 + SE_examples^2) of the axes that are samples; NaN where one is unknown or none is."""
        return _error(_errors(self.samples, self.definition), self.definition)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A measure of one checkpoint minus the same of another.

    Attributes:
        name: of the measure.
        value: the difference.
        standard_error: of it; NaN where it is unknown.
        low, high: 95 % interval, with t of the smaller number of draws; None below three draws or without any.
        paired: whether both were measured on the same draws, and on the same examples where these count.
    """

    name: str
    value: float
    standard_error: float
    low: float | None
    high: float | None
    paired: bool


def difference(a: Measure, b: Measure) -> Difference:
    """Measure `a` minus measure `b` of another checkpoint, paired where draws and examples are the same."""
    same_draws = not a.definition.drawn or _same_draws(a, b)
    same_examples = not a.definition.over_examples or not differing_examples(a.surface, b.surface)
    paired = same_draws and same_examples and a.samples.shape == b.samples.shape
    if paired:
        errors = _errors(a.samples - b.samples, a.definition)
    else:
        errors = [
            math.hypot(*pair)
            for pair in zip(_errors(a.samples, a.definition), _errors(b.samples, b.definition), strict=True)
        ]
    error, draws = _error(errors, a.definition), min(a.num_draws, b.num_draws)
    value = a.value - b.value
    known = bool(a.definition.drawn) and draws >= MIN_DIRECTIONS and math.isfinite(error)
    half = float(t_quantile(draws)) * error if known else None
    return Difference(
        name=a.name,
        value=value,
        standard_error=error,
        low=None if half is None else value - half,
        high=None if half is None else value + half,
        paired=paired,
    )


def _same_draws(a: Measure, b: Measure) -> bool:
    """Whether two measures of one name were measured along the same draws."""
    if a.kind != "trace":
        return not differing_directions(a.surface, b.surface)
    # The recipe of probes names the model, whose shape alone determines them.
    specs = [one.surface.spec for one in (a, b)]
    probes = [(spec["directions"]["probes"], spec["attack"].get("seed"), spec["parameter_shapes"]) for spec in specs]
    return probes[0] == probes[1]


def _errors(samples: Floats, definition: Definition) -> list[float]:
    """Standard errors over draws and over examples; 0 for an axis that is no sample, NaN for a single one."""
    return [
        _error_over(samples, axis) if counts else 0.0
        for axis, counts in enumerate((bool(definition.drawn), definition.over_examples))
    ]


def _error_over(samples: Floats, axis: int) -> float:
    """Standard error over one axis of (D, n) samples whose other axis is averaged first; NaN below two."""
    if samples.size == 0 or samples.shape[axis] < 2:
        return math.nan
    averaged = samples.mean(axis=1 - axis)
    return float(averaged.std(ddof=1) / math.sqrt(len(averaged)))


def _error(errors: Sequence[float], definition: Definition) -> float:
    """All axes together; NaN where none is a sample."""
    return math.hypot(*errors) if definition.drawn or definition.over_examples else math.nan

"""Contour levels, which are also the steps of the colours and the height of the reliefs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.analysis.wording import QuantityWords

Floats = npt.NDArray[np.float64]

Beyond = Literal["neither", "min", "max", "both"]
"""On which sides values leave the levels, in matplotlib's words."""

Wanted = str | tuple[float, ...]
"""`auto`, `paper`, `log`, or the levels themselves."""

PAPER = tuple(round(0.1 + 0.5 * step, 1) for step in range(20))
"""0.1, 0.6, ..., 9.6: the levels in Fig. 6 of Wu et al. (2020), which are those of Li et al.'s tool."""

FEWEST_OF_PAPER = 8
"""Values that fewer of the paper's levels cross leave most of its colours empty."""

FEWEST_CROSSED = 4
"""Fewer levels of tens of percent within the values tell too little."""

ROUND_STEPS = 12
"""Round levels have at most so many steps."""

FEW_DECADES = 4
"""Up to here logarithmic levels are 1, 2 and 5 times powers of ten, beyond 1 and 3 times."""

MOST_DECADES = 6
"""Smaller values lie below the first logarithmic level: differences next to the centre may be as small as rounding."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Levels of one picture, in the unit that is shown.

    Attributes:
        lines: where contour lines lie, increasing.
        lowest, highest: bounds that no value can leave; infinite where there is none.
        logarithmic: whether heights are logarithms.
        origin: where the lines come from, in words.
    """

    lines: tuple[float, ...]
    lowest: float
    highest: float
    logarithmic: bool
    origin: str

    @property
    def edges(self) -> tuple[float, ...]:
        """Ends of the colours: the lines, and the bounds where they are finite."""
        below = [self.lowest] if -math.inf < self.lowest < self.lines[0] else []
        above = [self.highest] if self.lines[-1] < self.highest < math.inf else []
        return (*below, *self.lines, *above)

    def beyond(self, values: Sequence[Floats]) -> Beyond:
        """On which sides finite values leave the edges: `neither`, `min`, `max` or `both`."""
        found = _finite(values)
        below, above = bool((found < self.edges[0]).any()), bool((found > self.edges[-1]).any())
        if below:
            return "both" if above else "min"
        return "max" if above else "neither"

    def height(self, values: Floats) -> Floats:
        """How high values stand: themselves or their logarithms, cut off at the last edge; NaN stays NaN."""
        cut = np.minimum(values, self.edges[-1])
        return np.log10(np.maximum(cut, self.lines[0])) if self.logarithmic else np.asarray(cut)


def choose_levels(values: Sequence[Floats], words: QuantityWords, wanted: Wanted = "auto") -> Levels:
    """The levels for all panels of a picture.

    `auto` takes those of the paper that the values of a loss reach, where these are at least eight, every 10 % for an
    error, and round steps otherwise.

    Args:
        values: everything that is drawn, in the shown unit; what is not finite does not count.
        words: the quantity.
        wanted: `auto`, `paper`, `log` (1, 2, 5 or 1, 3 times powers of ten) or the levels.

    Raises:
        InputError: the paper's levels for an error, logarithms of what may be negative, or no levels.
    """
    require_levels_fit(wanted, error=words.unit == "%")
    found = _finite(values)
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    if isinstance(wanted, tuple):
        lines, origin = _checked(wanted), "as asked for"
    elif wanted == "paper" or (
        wanted == "auto" and words.unit != "%" and _crossed(PAPER, low, high) >= FEWEST_OF_PAPER
    ):
        lines = PAPER if wanted == "paper" else _reached(PAPER, high)
        origin = "as in Fig. 6 of Wu et al. 2020" + ("" if lines == PAPER else ", as far as values reach")
    elif wanted == "log":
        lines, origin = _logarithmic(found), "heights are logarithms"
    elif words.unit == "%" and _crossed(_PERCENT, low, high) >= FEWEST_CROSSED:
        lines, origin = _PERCENT, "every 10 %"
    else:
        lines, origin = _round(low, high), "round steps, by the values"
    return Levels(
        lines=lines,
        lowest=words.scale * words.lowest,
        highest=words.scale * words.highest,
        logarithmic=wanted == "log",
        origin=origin,
    )


def require_levels_fit(wanted: Wanted, *, error: bool) -> None:
    """Refuse the paper's levels, which are of a loss, for an error in percent.

    Raises:
        InputError: they are asked for.
    """
    if wanted == "paper" and error:
        raise InputError("the paper's levels are of a loss, not of an error in percent; leave out --levels paper.")


_PERCENT = tuple(float(level) for level in range(10, 100, 10))


def _finite(values: Sequence[Floats]) -> Floats:
    joined = np.concatenate([np.ravel(part) for part in values]) if len(values) else np.empty(0)
    return np.asarray(joined[np.isfinite(joined)], dtype=np.float64)


def _crossed(lines: Sequence[float], low: float, high: float) -> int:
    return sum(low < line < high for line in lines)


def _reached(lines: Sequence[float], high: float) -> tuple[float, ...]:
    """The levels up to the first one that no value exceeds."""
    above = sum(line < high for line in lines)
    return tuple(lines[: above + 1])


def _checked(lines: tuple[float, ...]) -> tuple[float, ...]:
    increasing = all(low < high for low, high in zip(lines, lines[1:], strict=False))
    if len(lines) < 2 or not all(map(math.isfinite, lines)) or not increasing:
        raise InputError(f"levels are at least two increasing numbers such as 0.1,0.5,1,5, got {lines}.")
    return tuple(float(line) for line in lines)


def _round(low: float, high: float) -> tuple[float, ...]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten strictly between the ends, at most `ROUND_STEPS` of them."""
    middle, width = (low + high) / 2, high - low
    if width <= 1e-9 * max(abs(middle), 1e-9):  # a flat surface has no contours, but its colours need two ends
        low, high = middle - 0.5, middle + 0.5
    power = 10.0 ** math.floor(math.log10((high - low) / ROUND_STEPS))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (power * factor) <= ROUND_STEPS)
    first, last = math.floor(low / step) + 1, math.ceil(high / step) - 1
    digits = max(0, 2 - math.floor(math.log10(step)))
    return tuple(round(step * count, digits) for count in range(first, last + 1))


def _logarithmic(found: Floats) -> tuple[float, ...]:
    if (found < 0).any():
        raise InputError("logarithmic levels need values of at least 0, and some are negative; leave out --levels log.")
    positive = found[found > 0]
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (0.1, 10.0)
    low = max(low, high / 10**MOST_DECADES)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high <= 10**FEW_DECADES * low else (1, 3)
    lines = [float(f"{factor}e{decade}") for decade in decades for factor in factors]
    inside = tuple(line for line in lines if low <= line <= high)
    return inside if len(inside) >= 2 else (lines[0], lines[-1])

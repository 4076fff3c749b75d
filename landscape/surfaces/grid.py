"""Where a surface is measured: the nodes of a line or a plane, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any, Self

from landscape.errors import InputError

Point = tuple[int, ...]
"""Where a model was measured: (direction, alpha index[, beta index]), or CENTRE."""

CENTRE: Point = (-1,)
"""The unperturbed model; always measured, also when the grid has no node at 0."""

LARGEST_GRID = 1_000_000
"""Nodes of a grid, and points of a surface. At 10 ms for each it takes three hours, and a list of ten times as many a
gigabyte; more is a slip of the hand."""

FEWEST_TO_REFINE = 17
"""Nodes of each axis of which every 4th ones are a node and the four of a cubic."""


@dataclass(frozen=True)
class Grid:
    """The nodes of a line or of a plane, strictly increasing and finite.

    Attributes:
        alpha: positions along the first direction, in units of the (normalized) direction.
        beta: positions along the second direction; None for a line.
        refine: measure a plane only where the mean loss bends by more than this, see `refinement`; in units of the
            loss. None measures all nodes.

    Raises:
        InputError: an axis is empty, not finite or not increasing, or the grid cannot be refined.
    """

    alpha: tuple[float, ...]
    beta: tuple[float, ...] | None = None
    refine: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _checked_axis("alpha", self.alpha))
        object.__setattr__(self, "beta", None if self.beta is None else _checked_axis("beta", self.beta))
        if self.refine is not None:
            object.__setattr__(self, "refine", _checked_tolerance(self.refine, self.shape))

    @classmethod
    def line(cls, start: float | str | Fraction, stop: float | str | Fraction, num: int) -> Self:
        """The line of `num` equally spaced nodes from `start` to `stop`; see `line_nodes`."""
        return cls(alpha=line_nodes(start, stop, num))

    @classmethod
    def parse(cls, alpha: str, beta: str | None = None) -> Self:
        """The grid of one or two texts FROM:TO:NUM, for example `-1:1:21`.

        Raises:
            InputError: a text has another form, its numbers do not make a line, or the grid has too many nodes.
        """
        axes = [_parse_axis(text) for text in (alpha, beta) if text is not None]
        require_countable(math.prod(num for _, _, num in axes))
        nodes = [line_nodes(*axis) for axis in axes]
        return cls(alpha=nodes[0], beta=None if beta is None else nodes[1])

    @classmethod
    def from_spec(cls, axes: Mapping[str, Any]) -> Self:
        """The inverse of `to_spec`."""
        beta = axes["beta"]
        return cls(alpha=tuple(axes["alpha"]), beta=None if beta is None else tuple(beta), refine=axes.get("refine"))

    def to_spec(self) -> dict[str, Any]:
        """The grid as plain JSON values, as it stands in a surface's specification."""
        axes = {"alpha": list(self.alpha), "beta": None if self.beta is None else list(self.beta)}
        return axes if self.refine is None else {**axes, "refine": self.refine}

    def refined(self, tolerance: float) -> Self:
        """The grid with a tolerance.

        Raises:
            InputError: it is a line or too small, or the tolerance is not above 0.
        """
        return replace(self, refine=tolerance)

    @property
    def shape(self) -> tuple[int, ...]:
        """(A,) for a line, (A, B) for a plane."""
        return (len(self.alpha),) if self.beta is None else (len(self.alpha), len(self.beta))

    def directions_of(self, line: int) -> tuple[int, ...]:
        """Which directions of a recipe line or plane number `line` runs along."""
        return (line,) if self.beta is None else (2 * line, 2 * line + 1)

    def indices(self) -> Iterator[tuple[int, ...]]:
        """All index tuples, the last axis fastest."""
        return product(*(range(size) for size in self.shape))

    def node(self, index: tuple[int, ...]) -> tuple[float, ...]:
        """(alpha,) or (alpha, beta) at an index tuple."""
        axes = (self.alpha,) if self.beta is None else (self.alpha, self.beta)
        return tuple(axis[i] for axis, i in zip(axes, index, strict=True))


def line_nodes(start: float | str | Fraction, stop: float | str | Fraction, num: int) -> tuple[float, ...]:
    """`num` equally spaced nodes from `start` to `stop`, each the float nearest to its exact rational value.

    Numbers are read as the decimals that they are written as, so equal nodes of different grids are equal floats, and 0
    is exactly 0.

    Raises:
        InputError: the ends are no finite numbers, or they do not lie in order, or `num` does not fit them or is too
            large.
    """
    require_countable(num)
    try:
        first, last = (Fraction(str(end)) for end in (start, stop))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"a line has two finite ends such as -1 and 1, got {start} and {stop}.") from error
    if num < 1 or (num == 1) != (first == last) or first > last:
        raise InputError(f"a line needs FROM below TO and at least 2 nodes, got {start}:{stop}:{num}.")
    if num == 1:
        return (float(first),)
    try:
        return tuple(float((first * (num - 1 - i) + last * i) / (num - 1)) for i in range(num))
    except OverflowError as error:
        raise InputError(f"a line has two finite ends such as -1 and 1, got {start} and {stop}.") from error


def require_countable(num_nodes: int, num_lines: int = 1) -> None:
    """Refuse more nodes than a grid may have, before any list of them is made.

    Raises:
        InputError: `num_nodes` of each line or plane, times `num_lines`, are more than `LARGEST_GRID`.
    """
    if num_nodes * num_lines > LARGEST_GRID:
        along, fewer = "", ""
        if num_lines > 1:
            along, fewer = f" along {num_lines:,} lines or planes", ", or ask for fewer directions"
        got = f"{num_nodes:,}{along}; write a smaller NUM in FROM:TO:NUM{fewer}"
        raise InputError(f"a surface has at most {LARGEST_GRID:,} nodes, got {got}.")


def _parse_axis(text: str) -> tuple[str, str, int]:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].strip().isdecimal():
        raise InputError(f"a line of nodes is written FROM:TO:NUM such as -1:1:21, got {text!r}.")
    return parts[0], parts[1], int(parts[2])


def _checked_tolerance(tolerance: float, shape: tuple[int, ...]) -> float:
    if len(shape) < 2 or min(shape) < FEWEST_TO_REFINE:
        fewest, got = f"{FEWEST_TO_REFINE} x {FEWEST_TO_REFINE}", " x ".join(map(str, shape))
        kind = "a line of" if len(shape) < 2 else "one of"
        raise InputError(f"refinement needs a plane of at least {fewest} nodes, got {kind} {got}; leave it out.")
    if not isinstance(tolerance, int | float) or not 0 < tolerance < math.inf:
        raise InputError(f"a plane is refined where it bends by more than a finite number above 0, got {tolerance!r}.")
    return float(tolerance)


def _checked_axis(name: str, nodes: tuple[float, ...]) -> tuple[float, ...]:
    axis = tuple(float(node) + 0.0 for node in nodes)  # + 0.0 turns -0 into 0, which has another text and another key
    if not axis or not all(math.isfinite(node) for node in axis):
        raise InputError(f"{name} needs at least one node, all of them finite, got {list(nodes)}.")
    if any(left >= right for left, right in zip(axis, axis[1:], strict=False)):
        raise InputError(f"the nodes of {name} must increase, got {list(nodes)}.")
    return axis

"""Groups of the examples of a surface, by their loss at the centre, their class, or whether the model is right there.

A group is a view: the same surface with some of its examples. So every number of a curve is a number of a group too,
and no second attack is needed. With k = index of the group, LSC(p, q) of Yu et al. 2022 (Eq. 7) are the examples whose
adversarial loss at the centre lies between p and q; here in [p, q), so that every example is in exactly one group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.settings import split_of
from landscape.errors import InputError
from landscape.names import GROUPINGS
from landscape.protocols import Measurement
from landscape.surfaces.surface import DONE, MISSING, NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""The six groups of Yu et al. 2022."""

REST, NO_NUMBER = -1, -2
"""Groups by loss: examples whose loss lies outside the edges; examples whose loss is NaN or infinite."""

MIN_MEMBERS = 20
"""Smaller groups are drawn grey, and nothing is claimed of them."""


def loss_groups(losses: npt.ArrayLike, edges: Sequence[float] = EDGES) -> npt.NDArray[np.int64]:
    """The group of each example: k where edges[k] <= loss < edges[k + 1] (LSC of Yu et al. 2022, Eq. 7, half-open).

    Args:
        losses: (n,) of any finite or other numbers; compared with the edges in double precision.
        edges: G + 1 finite, increasing numbers.

    Returns:
        (n,) the index of the group, 0 to G - 1; -1 (`REST`) below the first edge and from the last one on; -2
        (`NO_NUMBER`) where the loss is NaN or infinite.

    Raises:
        InputError: edges that make no groups.
    """
    _check_edges(edges)
    values = np.asarray(losses, dtype=np.float64)
    found = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right") - 1
    found[found == len(edges) - 1] = REST
    return np.where(np.isfinite(values), found, NO_NUMBER).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How examples are grouped.

    Attributes:
        by: `loss` at the centre, `class` (the label), or `correct` (whether the model is right at the centre).
        edges: of the groups by loss.

    Raises:
        InputError: another word, or edges that make no groups.
    """

    by: str = "loss"
    edges: tuple[float, ...] = EDGES

    def __post_init__(self) -> None:
        if self.by not in GROUPINGS:
            raise InputError(f"examples are grouped by one of {', '.join(GROUPINGS)}, got {self.by!r}.")
        _check_edges(self.edges)

    def name(self, index: int) -> str:
        """What a group is called."""
        if self.by == "class":
            return f"class {index}"
        if self.by == "correct":
            return ("correct", "wrong")[index]
        if index == NO_NUMBER:
            return "loss not finite"
        if index == REST:
            return f"rest: outside [{self.edges[0]:g}, {self.edges[-1]:g})"
        return f"[{self.edges[index]:g}, {self.edges[index + 1]:g})"

    def indices(self, surface: Surface) -> npt.NDArray[np.int64]:
        """(n,) the group of each example of a surface; (n,) labels where they are grouped by class.

        Raises:
            InputError: the centre of the surface was not measured.
        """
        if surface.centre_status == MISSING:
            raise InputError(f"groups need the centre of {surface.label}, which is not measured yet; compute it first.")
        if self.by == "class":
            return np.asarray(surface.labels, dtype=np.int64)
        if self.by == "correct":
            return np.where(surface.centre.adversarial_correct == surface.num_draws, 0, 1).astype(np.int64)
        return loss_groups(surface.centre_values("loss"), self.edges)


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Examples of a surface that belong together; never empty.

    Attributes:
        index: which group of its grouping.
        name: what it is called.
        surface: the surface with the members alone.
        num_of: examples of the whole surface.
    """

    index: int
    name: str
    surface: Surface
    num_of: int

    @property
    def size(self) -> int:
        """How many members it has."""
        return len(self.surface.example_ids)

    @property
    def share(self) -> float:
        """Members among the examples of the whole surface, in (0, 1]."""
        return self.size / self.num_of

    @property
    def few(self) -> bool:
        """Whether it has too few members for any claim."""
        return self.size < MIN_MEMBERS


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedSurface:
    """A surface with its groups.

    Attributes:
        surface: all examples.
        title: what panels and tables call the checkpoint.
        groups: those that have members, in order; the rest and the losses that are not finite come last.
    """

    surface: Surface
    title: str
    groups: tuple[Group, ...]

    @property
    def split(self) -> str:
        """The split that the examples are from."""
        return split_of(self.surface) or "split not recorded"

    @property
    def label(self) -> str:
        """Checkpoint and split."""
        return f"{self.title} ({self.split})"

    def group(self, index: int) -> Group | None:
        """The group with this index; None if it is empty."""
        return next((group for group in self.groups if group.index == index), None)


def group_examples(surface: Surface, grouping: Grouping | None = None, *, title: str | None = None) -> GroupedSurface:
    """The groups of a surface's examples, from what was stored at its centre.

    Args:
        surface: of any grid.
        grouping: by loss with the edges of Yu et al. 2022 by default.
        title: what to call the checkpoint; the surface's own label by default.

    Raises:
        InputError: the centre was not measured.
    """
    chosen = grouping or Grouping()
    indices = chosen.indices(surface)
    groups = tuple(
        Group(
            index=index,
            name=chosen.name(index),
            surface=take_examples(surface, np.flatnonzero(indices == index)),
            num_of=len(indices),
        )
        for index in ordered(indices.tolist())
    )
    return GroupedSurface(surface=surface, title=title or surface.label, groups=groups)


def ordered(indices: Iterable[int]) -> list[int]:
    """The different indices of groups in the order of tables and legends: REST and NO_NUMBER behind the others."""
    return sorted(set(indices), key=lambda index: (index < 0, abs(index)))


def take_examples(surface: Surface, rows: npt.NDArray[np.intp]) -> Surface:
    """The same surface with some of its examples, (m,) positions among its n.

    A point counts as not finite only where a loss of one of these examples is: a broken example leaves other groups
    as they are. Key and spec are those of the whole.
    """
    arrays = {name: surface.arrays[name][..., rows] for name in surface.arrays}
    finite = np.isfinite(arrays["adversarial_loss"]).all(axis=-1) & np.isfinite(arrays["clean_loss"]).all(axis=-1)
    known: Any = np.where(finite, DONE, NOT_FINITE)
    centre = Measurement(**{name: array[rows] for name, array in surface.centre.arrays().items()})
    centre_status = surface.centre_status
    if centre_status != MISSING:
        centre_status = DONE if centre.finite else NOT_FINITE
    return replace(
        surface,
        example_ids=surface.example_ids[rows],
        labels=surface.labels[rows],
        arrays=arrays,
        status=np.where(surface.status == MISSING, MISSING, known).astype(np.uint8),
        centre=centre,
        centre_status=centre_status,
    )


def _check_edges(edges: Sequence[float]) -> None:
    increasing = all(left < right for left, right in pairwise(edges))
    if len(edges) < 2 or not increasing or not all(math.isfinite(edge) for edge in edges):
        shown = ", ".join(f"{edge:g}" for edge in edges)
        raise InputError(f"the edges of groups are at least 2 finite, increasing numbers, got {shown or 'none'}.")

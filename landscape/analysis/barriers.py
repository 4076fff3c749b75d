"""How high the loss is between two checkpoints, above the straight line from one's to the other's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landscape.analysis.directions import TOWARDS, kind_of
from landscape.analysis.samples import centre_values, require_line
from landscape.analysis.wording import number, quantity_words
from landscape.surfaces.surface import DONE

if TYPE_CHECKING:
    from landscape.analysis.style import Curve
    from landscape.surfaces.surface import Surface


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """The largest g(t) - [(1 - t) g(0) + t g(1)] over the nodes 0 < t < 1 (Frankle et al. 2020); may be negative.

    Attributes:
        position: t.
        value: mean over examples.
        standard_error_examples: standard error of that mean at this t; NaN for one example.
    """

    position: float
    value: float
    standard_error_examples: float


def barrier(surface: Surface, quantity: str = "loss") -> Barrier | None:
    """The barrier on a line towards another checkpoint; None for other surfaces and without finite nodes up to t = 1.

    Raises:
        InputError: the surface is over a plane, or the quantity is unknown.
    """
    require_line(surface)
    nodes = np.asarray(surface.grid.alpha, dtype=np.float64)
    done = surface.status[0] == DONE
    between = np.flatnonzero(done & (nodes > 0) & (nodes < 1))
    end = np.flatnonzero(done & (nodes == 1))
    if kind_of(surface) != TOWARDS or surface.centre_status != DONE or not between.size or not end.size:
        return None
    values, t = surface.values(quantity)[0], nodes[between][:, None]
    above = values[between] - (1 - t) * centre_values(surface, quantity) - t * values[end[0]]
    highest = int(above.mean(axis=1).argmax())
    spread = above[highest].std(ddof=1) if above.shape[1] > 1 else np.nan
    return Barrier(
        position=float(nodes[between][highest]),
        value=float(above[highest].mean()),
        standard_error_examples=float(spread / np.sqrt(above.shape[1])),
    )


def barrier_sentences(curves: Sequence[Curve], quantity: str = "loss") -> list[str]:
    """One sentence for each line towards another checkpoint."""
    sentences = []
    for curve in curves:
        if (found := barrier(curve.surface, quantity)) is not None:
            words = quantity_words(quantity, [curve.surface])
            error = number(found.standard_error_examples, words)
            sentences.append(
                f"{curve.label}: the barrier in {words.title}, the largest g(t) − [(1 − t) g(0) + t g(1)] at nodes, "
                f"is {number(found.value, words)} (SE examples {error}) {words.unit_of_differences} at t = "
                f"{found.position:g}."
            )
    return sentences

"""The control of attacks on the fly: how far examples that were made once, at the centre, underestimate the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import is_sample
from landscape.analysis.pairing import differing_directions, differing_examples, differing_measures, same_weights
from landscape.analysis.settings import measured_as
from landscape.analysis.statistics import (
    RADII,
    PairedDifference,
    Rise,
    estimate_difference,
    paired_difference,
    rise,
)
from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.wording import ABSENT, QuantityWords, counted, number, quantity_words
from landscape.surfaces.surface import DONE

if TYPE_CHECKING:
    from landscape.analysis.style import Curve
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

MAIN_RADIUS = 0.5
"""The r of the sentence; at r = 1 the loss mostly measures the size of the logits."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Two curves of the same weights, directions, examples and starts that differ in when the examples were made.

    Attributes:
        label: what both are curves of.
        on_the_fly: attacked anew at every alpha.
        fixed: on the examples of the centre.
    """

    label: str
    on_the_fly: Curve
    fixed: Curve

    def difference(self, radius: float, quantity: str) -> PairedDifference | None:
        """rise(radius) on the fly minus that on fixed examples; None if the grid does not give it.

        Both have the same g(0), so this is also the mean difference of the two losses at +-radius.
        """
        return paired_difference(self.on_the_fly.surface, self.fixed.surface, radius, quantity)


@dataclass(frozen=True, kw_only=True)
class GapCurve:
    """On the fly minus fixed along alpha; every array is (A,).

    Attributes:
        mean: over directions and examples; NaN where no direction is finite in both.
        low, high: 95 % interval at each alpha over directions and examples; NaN where there is none.
    """

    alpha: Floats
    mean: Floats
    low: Floats
    high: Floats


def find_controls(curves: Sequence[Curve], quantity: str = "loss") -> list[Control]:
    """The pairs among curves that differ in nothing but on the fly and fixed; none for natural quantities."""
    if quantity.startswith("natural"):
        return []
    fresh = [curve for curve in curves if measured_as(curve.surface) == "on the fly"]
    fixed = [curve for curve in curves if measured_as(curve.surface) == "fixed"]
    return [
        Control(label=_common_label(first.label), on_the_fly=first, fixed=second)
        for first in fresh
        for second in fixed
        if _are_pair(first.surface, second.surface)
    ]


def gap_curve(control: Control, quantity: str = "loss") -> GapCurve:
    """On the fly minus fixed at every alpha, with the interval of `statistics.estimate_difference`.

    Directions count where they are finite in both; there is no interval below three of them, or where directions are no
    random sample.
    """
    first, second = control.on_the_fly.surface, control.fixed.surface
    _, in_first, in_second = np.intersect1d(first.direction_ids, second.direction_ids, return_indices=True)
    ready = (first.status[in_first] == DONE) & (second.status[in_second] == DONE)
    a, b = first.values(quantity)[in_first], second.values(quantity)[in_second]
    found = [estimate_difference(a[kept, node], b[kept, node])[:2] for node, kept in enumerate(ready.T)]
    mean = np.array([value for value, _ in found])
    half = np.array([np.nan if width is None or not is_sample(first) else width for _, width in found])
    alpha = np.asarray(first.grid.alpha, dtype=np.float64)
    return GapCurve(alpha=alpha, mean=mean, low=mean - half, high=mean + half)


def control_table(controls: Sequence[Control], quantity: str = "loss") -> str:
    """rise(r) on the fly and on fixed examples, and their difference with its interval; empty without a row."""
    words = quantity_words(quantity, [control.on_the_fly.surface for control in controls])
    rows = [
        [control.label, f"{difference.radius:g}", *_cells(first, second, difference, words)]
        for control in controls
        for first, second, difference in _rises(control, quantity)
    ]
    if not rows:
        return ""
    unit = words.unit_of_differences if words.unit == "%" else words.unit
    return "\n".join(
        [
            f"What fixed examples miss: rise(r) on the fly minus fixed; {words.title} ({unit})",
            aligned(["", "r", "on the fly", "fixed", "gap", "low", "high"], rows, left=1),
            "low, high: 95 % interval of the gap, paired over directions and examples.",
        ]
    )


def control_sentences(controls: Sequence[Control], quantity: str = "loss") -> list[str]:
    """What fixed examples miss at the main radius, or the nearest that the grid gives; one sentence for each pair."""
    words = quantity_words(quantity, [control.on_the_fly.surface for control in controls]) if controls else None
    sentences = []
    for control in controls:
        found = sorted(_rises(control, quantity), key=lambda one: abs(one[2].radius - MAIN_RADIUS))
        if found and words is not None:
            sentences.append(_sentence(control.label, *found[0], words))
    return sentences


def is_said(pair: tuple[Curve, Curve], controls: Sequence[Control], quantity: str = "loss") -> bool:
    """Whether the sentence of a control says already how two curves differ."""
    return any(
        set(map(id, pair)) == {id(control.on_the_fly), id(control.fixed)} and _rises(control, quantity)
        for control in controls
    )


def control_numbers(controls: Sequence[Control], quantity: str = "loss") -> list[dict[str, Any]]:
    """The gaps as plain JSON values: along alpha and at each radius, with the sentence."""
    return [
        {
            "label": control.label,
            "on_the_fly": control.on_the_fly.surface.key,
            "fixed": control.fixed.surface.key,
            "gap": plain_values(asdict(gap_curve(control, quantity))),
            "rises": [
                {
                    "on_the_fly": plain_values(first.value),
                    "fixed": plain_values(second.value),
                    **plain_values(asdict(difference)),
                    "shown": difference.shown,
                }
                for first, second, difference in _rises(control, quantity)
            ],
            "sentence": next(iter(control_sentences([control], quantity)), None),
        }
        for control in controls
    ]


def _are_pair(first: Surface, second: Surface) -> bool:
    return (
        same_weights(first, second)
        and differing_measures(first, second) == ("objective",)
        and not differing_directions(first, second)
        and not differing_examples(first, second)
        and first.grid.alpha == second.grid.alpha
    )


def _common_label(label: str) -> str:
    """The label of a curve without the words that tell the two of a pair apart."""
    for said, left in ((" (on the fly)", ""), (", on the fly", ""), ("(on the fly, ", "(")):
        label = label.replace(said, left)
    return label


def _rises(control: Control, quantity: str) -> list[tuple[Rise, Rise, PairedDifference]]:
    """Both rises and their difference at every radius that the grid gives."""
    found = [
        (
            rise(control.on_the_fly.surface, radius, quantity),
            rise(control.fixed.surface, radius, quantity),
            control.difference(radius, quantity),
        )
        for radius in RADII
    ]
    return [
        (first, second, difference)
        for first, second, difference in found
        if first is not None and second is not None and difference is not None
    ]


def _cells(first: Rise, second: Rise, difference: PairedDifference, words: QuantityWords) -> list[str]:
    around = "~" if difference.interpolated else ""
    ends = [ABSENT if end is None else number(end, words) for end in (difference.low, difference.high)]
    return [*(around + number(value, words) for value in (first.value, second.value, difference.value)), *ends]


def _sentence(label: str, first: Rise, second: Rise, difference: PairedDifference, words: QuantityWords) -> str:
    at = f"the rise at r = {difference.radius:g}"
    unit = f" {words.unit_of_differences}" if words.unit == "%" else ""
    if difference.low is None or difference.high is None:
        size, around = number(difference.value, words), ""
        gap = f"{label}: fixed and on the fly differ in {at} by {size}{unit}, without an interval"
        return f"{gap} (it takes at least 3 random directions and 2 examples)."
    half, sign = (difference.high - difference.low) / 2, -1.0 if difference.value < 0 else 1.0
    ends = sorted(sign * end for end in (difference.low, difference.high))
    around = "~" if difference.interpolated else ""
    size = f"{around}{number(abs(difference.value), words, half)}{unit}"
    interval = f"[{', '.join(number(end, words, half) for end in ends)}]"
    basis = (
        f"(95 %, paired over {counted(difference.num_directions, 'direction')}, "
        f"{counted(difference.num_examples, 'example')})"
    )
    if not difference.shown:
        return f"{label}: no gap between fixed and on the fly is shown in {at}: {size} {interval} {basis}."
    verb = "underestimates" if difference.value > 0 else "overestimates"
    values = f"{number(second.value, words, half)} instead of {number(first.value, words, half)}"
    return f"{label}: fixed {verb} {at} by {size} {interval} {basis}, {values}."

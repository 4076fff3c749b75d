"""Numbers of curves as aligned text, as sentences that claim no more than they show, and as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from landscape.analysis.captions import QuantityWords, masked_sentences, quantity_words
from landscape.analysis.pairing import differing_measures
from landscape.analysis.settings import split_of
from landscape.analysis.statistics import (
    MIN_DIRECTIONS,
    RADII,
    CurveSummary,
    PairedDifference,
    Rise,
    paired_difference,
    rise,
    summarize_curve,
)
from landscape.analysis.style import Curve

MAIN_RADIUS = 0.5
"""The r of the sentence about two checkpoints; at r = 1 the loss mostly measures the size of the logits."""

ABSENT = "-"


def curve_table(curve: Curve, quantity: str = "loss") -> str:
    """One row for each alpha: mean, standard error over examples, spread over directions, robust accuracy.

    Raises:
        InputError: the surface is over a plane, or the quantity is unknown.
    """
    summary, words = summarize_curve(curve.surface, quantity), quantity_words(quantity, [curve.surface])
    header = ["alpha", f"mean {words.title} ({words.unit})", "SE examples", "SD directions", "robust accuracy"]
    rows = [
        [
            f"{alpha:g}",
            _number(mean, words),
            _number(error, words),
            _number(spread, words),
            _percent(accuracy),
        ]
        for alpha, mean, error, spread, accuracy in zip(
            summary.alpha,
            summary.mean,
            summary.standard_error_examples,
            summary.spread_directions,
            summary.robust_accuracy,
            strict=True,
        )
    ]
    centre = (
        f"{curve.label}: {words.title} g(0) = {_number(summary.centre, words)}{_unit(words)}, "
        f"robust accuracy {_percent(summary.centre_robust_accuracy)}, "
        f"natural accuracy {_percent(summary.centre_natural_accuracy)} at the centre"
    )
    return "\n".join([centre, aligned(header, rows), *masked_sentences([curve.surface], [curve.label])])


def rise_table(curves: Sequence[Curve], quantity: str = "loss") -> str:
    """rise(r) of every curve at every radius of `RADII`, with its errors and the robust accuracy there.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown.
    """
    words = quantity_words(quantity, [curve.surface for curve in curves])
    unit = "% points" if words.unit == "%" else words.unit
    header = ["", "r", "rise(r)", "SE directions", "SE examples", "robust accuracy"]
    rows, found = [], []
    for curve in curves:
        for radius in RADII:
            number = rise(curve.surface, radius, quantity)
            rows.append([curve.label, f"{radius:g}", *_rise_cells(number, words)])
            found.append((curve.label, number))
    title = f"rise(r) = mean over directions and both signs of g(±r) − g(0); {words.title} ({unit})"
    return "\n".join([title, aligned(header, rows, left=1), *_rise_footnotes(found)])


def comparison_sentences(curves: Sequence[Curve], quantity: str = "loss") -> list[str]:
    """What the curves show about two checkpoints: one sentence for each pair of `compared_pairs`, with its interval."""
    return [compare(a, b, quantity) for a, b in compared_pairs(curves)]


def compared_pairs(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """The two curves of every split that holds exactly two; more checkpoints are shown, not compared."""
    by_split: dict[str | None, list[Curve]] = {}
    for curve in curves:
        by_split.setdefault(split_of(curve.surface), []).append(curve)
    return [(found[0], found[1]) for found in by_split.values() if len(found) == 2]


def compare(a: Curve, b: Curve, quantity: str = "loss") -> str:
    """Which of two curves is flatter, at which radius, by how much; or that no difference is shown, and why.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown.
    """
    words = quantity_words(quantity, [a.surface, b.surface])
    difference = _main_difference(a, b, quantity)
    if difference is None:
        return f"{a.label} and {b.label} are not compared: no radius of {_list(RADII)} lies in both grids."
    sentence = _verdict(a.label, b.label, difference, words)
    notes = []
    if difference.interpolated:
        notes.append("~ interpolated between nodes of the grid")
    if difference.unpaired_because:
        notes.append(" and ".join(difference.unpaired_because))
    if other := differing_measures(a.surface, b.surface):
        notes.append(f"measured differently ({_list(other)}), so the weights are not the only difference")
    if difference.num_masked:
        notes.append(f"{difference.num_masked} curves left out because of points that are missing or not finite")
    return " ".join([sentence, *(f"Note: {note}." for note in notes)])


def numbers(curves: Sequence[Curve], quantity: str = "loss") -> dict[str, Any]:
    """Everything that the tables hold as plain JSON values, unrounded; None where a number is absent.

    Errors and accuracies are shares in [0, 1].

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown.
    """
    pairs = compared_pairs(curves)
    return {
        "quantity": quantity,
        "curves": [_curve_numbers(curve, quantity) for curve in curves],
        "differences": [
            {"a": a.label, "b": b.label, **_plain(asdict(found)), "paired": found.paired, "shown": found.shown}
            for a, b in pairs
            for radius in RADII
            if (found := paired_difference(a.surface, b.surface, radius, quantity)) is not None
        ],
        "sentences": [compare(a, b, quantity) for a, b in pairs],
    }


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """A table in columns two spaces apart: the first `left` columns flush left, numbers flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _main_difference(a: Curve, b: Curve, quantity: str) -> PairedDifference | None:
    """The difference at the main radius; else at the nearest of the others that both grids reach."""
    for radius in sorted(RADII, key=lambda radius: abs(radius - MAIN_RADIUS)):
        difference = paired_difference(a.surface, b.surface, radius, quantity)
        if difference is not None:
            return difference
    return None


def _verdict(a: str, b: str, difference: PairedDifference, words: QuantityWords) -> str:
    flatter, sharper = (b, a) if difference.value > 0 else (a, b)
    at = f"{'' if words.title.endswith('loss') else f'in {words.title} '}at r = {difference.radius:g}"
    size = ("~" if difference.interpolated else "") + _number(abs(difference.value), words, _half_width(difference))
    if difference.low is None or difference.high is None:
        return (
            f"No difference is shown between {a} and {b} {at}: the rises differ by {size}{_unit(words)}, but there is "
            f"no interval with {difference.num_directions} directions and {difference.num_examples} examples "
            f"(at least {MIN_DIRECTIONS} and 2 are needed)."
        )
    # The interval of sharper minus flatter, whichever of them is a.
    ends = sorted(math.copysign(1.0, difference.value) * end for end in (difference.low, difference.high))
    interval = f"[{', '.join(_number(end, words, _half_width(difference)) for end in ends)}]{_unit(words)}"
    basis = f"({100 * difference.level:g} %, {_basis(difference)})"
    if difference.shown:
        return f"{flatter} is flatter than {sharper} {at} by {size} {interval} {basis}."
    return (
        f"No difference is shown between {a} and {b} {at}: {sharper} rises by {size} more than {flatter}, "
        f"and the interval {interval} includes 0 {basis}."
    )


def _basis(difference: PairedDifference) -> str:
    directions, examples = f"{difference.num_directions} directions", f"{difference.num_examples} examples"
    if difference.paired:
        return f"paired over {directions}, {examples}"
    return (
        f"{'paired' if difference.paired_directions else 'unpaired'} over {directions}, "
        f"{'paired' if difference.paired_examples else 'unpaired'} over {examples}"
    )


def _rise_cells(number: Rise | None, words: QuantityWords) -> list[str]:
    if number is None:
        return [ABSENT] * 4
    mark = "*" if number.num_masked else ""
    return [
        ("~" if number.interpolated else "") + _number(number.value, words) + mark,
        _number(number.standard_error_directions, words),
        _number(number.standard_error_examples, words),
        ("~" if number.interpolated else "") + _percent(number.robust_accuracy),
    ]


def _rise_footnotes(found: Sequence[tuple[str, Rise | None]]) -> list[str]:
    notes = []
    if any(number is None for _, number in found):
        notes.append(f"{ABSENT} the grid does not reach ±r, or has too few nodes around it.")
    if any(number is not None and number.interpolated for _, number in found):
        notes.append("~ ±r are no nodes of the grid: each curve is interpolated through its four nearest nodes.")
    for label in dict.fromkeys(label for label, _ in found):
        counts = {number.radius: number.num_masked for name, number in found if number is not None and name == label}
        masked = [f"{count} at r = {radius:g}" for radius, count in counts.items() if count]
        if masked:
            notes.append(f"* {label}: directions left out (a point is missing or not finite): {', '.join(masked)}.")
    return notes


def _curve_numbers(curve: Curve, quantity: str) -> dict[str, Any]:
    summary: CurveSummary = summarize_curve(curve.surface, quantity)
    return {
        "label": curve.label,
        "key": curve.surface.key,
        "spec": dict(curve.surface.spec),
        **_plain(asdict(summary)),
        "rises": [
            _plain(asdict(number)) for radius in RADII if (number := rise(curve.surface, radius, quantity)) is not None
        ],
    }


def _plain(value: Any) -> Any:
    """Plain JSON values of nested dataclass fields; NaN and infinities become None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float, words: QuantityWords, half_width: float | None = None) -> str:
    """A number with the digits of its quantity, or with two digits of the half width of its interval."""
    if not math.isfinite(value):
        return ABSENT
    digits = words.digits
    if half_width:
        digits = max(0, 1 - math.floor(math.log10(words.scale * half_width)))
    return f"{words.scale * value:.{digits}f}"


def _half_width(difference: PairedDifference) -> float | None:
    return None if difference.low is None or difference.high is None else (difference.high - difference.low) / 2


def _unit(words: QuantityWords) -> str:
    return f" {words.unit}" if words.unit == "%" else ""


def _percent(share: float) -> str:
    # Interpolation may leave [0, 1] by a hair.
    return f"{100 * min(max(share, 0.0), 1.0):.1f} %" if math.isfinite(share) else ABSENT


def _list(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)

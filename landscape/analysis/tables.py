"""Numbers of curves as aligned text and as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from landscape.analysis.barriers import barrier
from landscape.analysis.captions import masked_sentences, settings_line
from landscape.analysis.columns import in_columns
from landscape.analysis.comparison import compare, compared_pairs, differ_in_loss
from landscape.analysis.directions import ONE_WAY, findings_of, is_sample, kind_of, symbol_of
from landscape.analysis.samples import why_no_rise
from landscape.analysis.statistics import RADII, CurveSummary, Rise, paired_difference, rise, summarize_curve
from landscape.analysis.wording import (
    ABSENT,
    QuantityWords,
    listed,
    number,
    percent,
    quantity_words,
    takes_natural_accuracy,
)

if TYPE_CHECKING:
    from landscape.analysis.style import Curve

CURVE_COLUMNS = "SE examples: standard error over examples of the mean over directions; SD directions: over directions."

ONE_DIRECTION = "SE examples: standard error over examples."
"""Of columns without a spread over directions."""

RISE_COLUMNS = (
    "SE directions: standard error over directions of the mean over examples; SE examples: the other way round.\n"
    "CV directions: standard deviation of rise(r) from one direction to another, as a share of rise(r)."
)


def curve_tables(curves: Sequence[Curve], quantity: str = "loss") -> str:
    """The table of every curve, and below them once what their columns are.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    columns = CURVE_COLUMNS if any(_has_spread(curve) for curve in curves) else ONE_DIRECTION
    return "\n\n".join(curve_table(curve, quantity) for curve in curves) + f"\n{columns}"


def curve_table(curve: Curve, quantity: str = "loss") -> str:
    """One row for each alpha: mean, standard error over examples, spread over directions if any, accuracy.

    Raises:
        InputError: the surface is over a plane, or the quantity is unknown or was not measured.
    """
    summary, words = summarize_curve(curve.surface, quantity), quantity_words(quantity, [curve.surface])
    natural = takes_natural_accuracy(quantity, curve.surface)
    header = [
        "t" if symbol_of([curve.surface]) == "t" else "alpha",
        f"mean {words.title} ({words.unit})",
        "SE examples",
    ]
    columns = [summary.mean, summary.standard_error_examples]
    if _has_spread(curve):
        header.append("SD directions")
        columns.append(summary.spread_directions)
    accuracies = summary.natural_accuracy if natural else summary.robust_accuracy
    rows = [
        [f"{alpha:g}", *(number(column[index], words) for column in columns), percent(accuracies[index])]
        for index, alpha in enumerate(summary.alpha)
    ]
    table = aligned([*header, f"{'natural' if natural else 'robust'} accuracy"], rows)
    return "\n".join([_centre(curve, summary, words), table, *masked_sentences([curve.surface], [curve.label])])


def rise_table(curves: Sequence[Curve], quantity: str = "loss") -> str:
    """rise(r) of every curve at the radii of `RADII` that its grid gives, with its errors and the accuracy there.

    Empty where no curve has rises, because each runs one way.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [curve.surface for curve in curves])
    if all(kind_of(curve.surface) in ONE_WAY for curve in curves):
        return ""
    natural = [takes_natural_accuracy(quantity, curve.surface) for curve in curves]
    accuracy = "accuracy" if len(set(natural)) > 1 else f"{'natural' if all(natural) else 'robust'} accuracy"
    found = [
        (curve, number_of)
        for curve in curves
        for radius in RADII
        if (number_of := rise(curve.surface, radius, quantity)) is not None
    ]
    rows = [[curve.label, f"{one.radius:g}", *_rise_cells(curve, one, words, quantity)] for curve, one in found]
    unit = words.unit_of_differences if words.unit == "%" else words.unit
    lines = [f"rise(r) = mean over directions and both signs of g(±r) − g(0); {words.title} ({unit})"]
    if rows:
        header = ["", "r", "rise(r)", "SE directions", "SE examples", "CV directions", accuracy]
        lines += [aligned(header, rows, left=1), RISE_COLUMNS]
    if accuracy == "accuracy":
        clean = [curve.label for curve, alone in zip(curves, natural, strict=True) if alone]
        lines.append(f"accuracy: natural for {', '.join(clean)}, where nothing was attacked; robust for the others.")
    return "\n".join([*lines, *_rise_footnotes(curves, found)])


def numbers(curves: Sequence[Curve], quantity: str = "loss") -> dict[str, Any]:
    """Everything that the tables hold as plain JSON values, unrounded; None where a number is absent.

    Errors and accuracies are shares in [0, 1]. Where nothing was attacked, the robust ones are None.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    pairs = compared_pairs(curves)
    return {
        "quantity": quantity,
        "title": quantity_words(quantity, [curve.surface for curve in curves]).title,
        "settings": settings_line([curve.surface for curve in curves], [curve.label for curve in curves]),
        "curves": [_curve_numbers(curve, quantity) for curve in curves],
        "differences": [
            {"a": a.label, "b": b.label, **plain_values(asdict(found)), "paired": found.paired, "shown": found.shown}
            for a, b in pairs
            if not differ_in_loss(a, b, quantity)
            for radius in RADII
            if (found := paired_difference(a.surface, b.surface, radius, quantity)) is not None
        ],
        "sentences": [compare(a, b, quantity) for a, b in pairs],
    }


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """A table in columns two spaces apart: the first `left` columns flush left, numbers flush right."""
    return in_columns([header, *rows], left=left)


def _has_spread(curve: Curve) -> bool:
    """Whether a curve is a mean over directions."""
    return len(curve.surface.direction_ids) > 1


def _centre(curve: Curve, summary: CurveSummary, words: QuantityWords) -> str:
    """What the undisplaced model does, on one line."""
    unit = f" {words.unit}" if words.unit == "%" else ""
    parts = [f"{curve.label}: {words.title} g(0) = {number(summary.centre, words)}{unit}"]
    if math.isfinite(summary.centre_robust_accuracy):
        parts.append(f"robust accuracy {percent(summary.centre_robust_accuracy)}")
    where = "t = 0" if symbol_of([curve.surface]) == "t" else "the centre"
    return ", ".join([*parts, f"natural accuracy {percent(summary.centre_natural_accuracy)} at {where}"])


def _rise_cells(curve: Curve, found: Rise, words: QuantityWords, quantity: str) -> list[str]:
    natural = takes_natural_accuracy(quantity, curve.surface)
    around, mark = "~" if found.interpolated else "", "*" if found.num_masked else ""
    return [
        around + number(found.value, words) + mark,
        number(found.standard_error_directions, words),
        number(found.standard_error_examples, words),
        f"{100 * found.variation_directions:.1f} %" if math.isfinite(found.variation_directions) else ABSENT,
        around + percent(found.natural_accuracy if natural else found.robust_accuracy),
    ]


def _rise_footnotes(curves: Sequence[Curve], found: Sequence[tuple[Curve, Rise]]) -> list[str]:
    notes = _absent_radii(curves)
    if any(one.interpolated for _, one in found):
        notes.append("~ ±r are no nodes of the grid: each curve is interpolated through its four nearest nodes.")
    chosen = [curve for curve, _ in found if len(curve.surface.direction_ids) > 1 and not is_sample(curve.surface)]
    if chosen:
        labels = listed(list(dict.fromkeys(curve.label for curve in chosen)))
        notes.append(
            f"{labels}: the directions are no random sample; means and SD directions are over these "
            "very ones, and SE and CV directions are not given."
        )
    for label in dict.fromkeys(curve.label for curve, _ in found):
        counts = {one.radius: one.num_masked for curve, one in found if curve.label == label}
        masked = [f"{count} at r = {radius:g}" for radius, count in counts.items() if count]
        if masked:
            notes.append(f"* {label}: directions left out (a point is missing or not finite): {', '.join(masked)}.")
    return notes


def _absent_radii(curves: Sequence[Curve]) -> list[str]:
    """One sentence for all rows that the grids of the same curves cannot give for the same reason."""
    radii: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for radius in RADII:
        reasons: dict[str, list[str]] = {}
        for curve in curves:
            if reason := why_no_rise(curve.surface, radius):
                reasons.setdefault(reason, []).append(curve.label)
        for reason, labels in reasons.items():
            radii.setdefault((reason, tuple(labels)), []).append(radius)
    return [
        f"No row for r = {listed(absent)}{'' if len(labels) == len(curves) else f' of {listed(labels)}'}: {reason}."
        for (reason, labels), absent in radii.items()
    ]


def _curve_numbers(curve: Curve, quantity: str) -> dict[str, Any]:
    summary: CurveSummary = summarize_curve(curve.surface, quantity)
    return {
        "label": curve.label,
        "key": curve.surface.key,
        "spec": dict(curve.surface.spec),
        **plain_values(asdict(summary)),
        **_about_directions(curve, quantity),
        "rises": [
            plain_values(asdict(found))
            for radius in RADII
            if (found := rise(curve.surface, radius, quantity)) is not None
        ],
    }


def _about_directions(curve: Curve, quantity: str) -> dict[str, Any]:
    """What was found out about directions, and the barrier between two checkpoints; absent where there is nothing."""
    findings, found = findings_of(curve.surface), barrier(curve.surface, quantity)
    return {
        **({"directions": plain_values(dict(findings))} if findings else {}),
        **({"barrier": plain_values(asdict(found))} if found else {}),
    }


def plain_values(value: Any) -> Any:
    """Plain JSON values of nested dataclass fields; NaN and infinities become None."""
    if isinstance(value, dict):
        return {key: plain_values(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(part) for part in value]
    if hasattr(value, "tolist"):
        return plain_values(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value

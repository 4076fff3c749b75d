"""Flatness beside the robust generalization gap: the points of an association, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from landscape.analysis.association import MIN_POINTS, VARIANTS, Associations, Point, associations, is_finite
from landscape.analysis.association_table import association_numbers, association_table, coefficient_cell
from landscape.analysis.flatness_table import Flatness, measure_names, plus_minus
from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.wording import ABSENT, POINTS, percent

MAIN = "rise(0.5)"
"""The measure that the picture and the whole table are of, where it was measured."""

SHORT = "Spearman"
"""The coefficient of the short table of all measures."""


def points_of(rows: Sequence[Flatness], name: str) -> list[Point]:
    """One point for each checkpoint that has the measure and a gap; an epoch of a run counts once.

    The best of a run is left out of its series: it is there because its test accuracy was high, so its gap is small by
    selection. The last of a run is the latest of its epochs among the rows.
    """
    once: dict[tuple[str, int], Flatness] = {}
    for row in rows:
        if row.gap is not None and row.measure(name) is not None and not row.selected:
            once.setdefault((row.run or row.label, row.epoch or 0), row)
    last = {run: max(epoch for other, epoch in once if other == run) for run, _ in once}
    return [
        Point(
            run=run,
            epoch=epoch,
            name=row.label,
            method=row.method,
            flatness=measure.value,
            gap=row.gap.value,
            train_robust_loss=row.gap.train_loss,
            is_final=epoch == last[run],
        )
        for (run, epoch), row in once.items()
        if (measure := row.measure(name)) is not None and row.gap is not None
    ]


def main_measure(rows: Sequence[Flatness]) -> str:
    """rise(0.5), or the first measure where that is missing."""
    names = measure_names(rows)
    return MAIN if MAIN in names else names[0]


def why_no_association(rows: Sequence[Flatness]) -> str | None:
    """Why there are no coefficients, in a sentence that says which rows do not count; None if there are some."""
    main = main_measure(rows)
    points = points_of(rows, main)
    finite, selected = sum(map(is_finite, points)), sum(row.selected for row in rows)
    if finite >= MIN_POINTS:
        return None
    left_out = [
        f"{count} {why}"
        for count, why in (
            (selected, "chosen as best of a run, whose gap is selected too"),
            (len(rows) - selected - len(points), "named twice"),
            (len(points) - finite, "with a number that is not finite"),
        )
        if count
    ]
    but = f" (left out: {', '.join(left_out)})" if left_out else ""
    return (
        f"No association of {main} with the gap, and no figure: it takes at least {MIN_POINTS} checkpoints, and of "
        f"the {len(rows)} above {finite} {'counts' if finite == 1 else 'count'}{but}; name more, or more epochs."
    )


def associated(rows: Sequence[Flatness], *, seed: int = 0) -> dict[str, Associations]:
    """The coefficients of every measure with the gap, the main one first.

    Others that were measured for fewer checkpoints than the main one, or are finite for fewer than three, are left out.

    Raises:
        InputError: fewer than three checkpoints have finite numbers of the main measure.
    """
    main = main_measure(rows)
    found = {main: associations(points_of(rows, main), seed=seed)}
    for name in measure_names(rows):
        points = points_of(rows, name)
        if name != main and len(points) >= found[main].num_points and sum(map(is_finite, points)) >= MIN_POINTS:
            found[name] = associations(points, seed=seed)
    return found


def gap_table(rows: Sequence[Flatness]) -> str:
    """Robust accuracy on both splits and the gap of every checkpoint."""
    cells = [
        [row.label, percent(gap.train_accuracy), percent(gap.test_accuracy), _gap_cell(row)]
        for row in rows
        if (gap := row.gap) is not None
    ]
    header = ["", "robust train", "robust test", "gap ± SE"]
    return f"robust generalization gap ({POINTS}), train minus test\n{aligned(header, cells, left=1)}"


def association_text(rows: Sequence[Flatness], found: dict[str, Associations]) -> str:
    """The whole table of the main measure, and a line for each of the others."""
    selected = sum(row.selected for row in rows)
    (main, first), *others = found.items()
    blocks = [association_table(first, flatness=main)]
    if selected:
        blocks[0] += (
            f"\nThe best of each run ({selected} in all) is left out: chosen by accuracy, its gap is selected too."
        )
    if others:
        lines = [
            [name, *(coefficient_cell(one.row(variant, SHORT)) for variant in VARIANTS)]
            for name, one in [(main, first), *others]
        ]
        blocks.append(f"{SHORT}'s coefficient of each measure with the gap\n{aligned(['', *VARIANTS], lines, left=1)}")
    return "\n\n".join(blocks)


def association_json(rows: Sequence[Flatness], found: dict[str, Associations]) -> dict[str, Any]:
    """The points and coefficients of every measure as plain JSON values."""
    return {
        name: {**association_numbers(one), "points": plain_values([vars(point) for point in points_of(rows, name)])}
        for name, one in found.items()
    }


def association_caption(found: Associations) -> str:
    """The coefficients of all checkpoints together and within runs, in a sentence for the figure."""
    said = [
        f"{coefficient} {coefficient_cell(found.row(VARIANTS[0], coefficient))}"
        for coefficient in dict.fromkeys(row.coefficient for row in found.rows)
    ]
    within = coefficient_cell(found.row(VARIANTS[1], SHORT))
    intervals = (
        f" ({100 * found.level:g} % intervals over runs)" if any(row.low is not None for row in found.rows) else ""
    )
    return f"All checkpoints: {', '.join(said)}; {VARIANTS[1]}: {SHORT} {within}{intervals}."


def _gap_cell(row: Flatness) -> str:
    return ABSENT if row.gap is None else plus_minus(100 * row.gap.value, 100 * row.gap.standard_error)

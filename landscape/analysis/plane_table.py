"""Numbers of planes as aligned text and as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from landscape.analysis.captions import masked_sentences, settings_line
from landscape.analysis.planes import CircleRise, PlaneSummary, circle_rise, summarize_plane, why_no_circle
from landscape.analysis.statistics import RADII
from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.wording import ABSENT, listed, number, percent, quantity_words, takes_natural_accuracy

if TYPE_CHECKING:
    from landscape.analysis.planes import Plane
    from landscape.analysis.wording import QuantityWords

ONE_PAIR = (
    "Each plane shows one pair of directions: no interval belongs to it. To say which of two checkpoints is flatter, "
    "compare them along many directions with plot-1d."
)


def plane_text(planes: Sequence[Plane], quantity: str = "loss") -> str:
    """Settings, the extremes of every plane, its rises on circles, and what was masked.

    Raises:
        InputError: a surface is not over planes, or the quantity is unknown or was not measured.
    """
    surfaces, labels = [plane.surface for plane in planes], [plane.label for plane in planes]
    masked = [line for plane in planes for line in masked_sentences([plane.surface], [plane.label])]
    blocks = [
        settings_line(surfaces, labels),
        "\n".join([extremes_table(planes, quantity), *dict.fromkeys(masked)]),
        circle_table(planes, quantity),
        ONE_PAIR if len(planes) > 1 else "",
    ]
    return "\n\n".join(block for block in blocks if block)


def extremes_table(planes: Sequence[Plane], quantity: str = "loss") -> str:
    """One row for each plane: g(0, 0), the lowest and the highest node, the accuracy at the centre, and the cosine.

    Raises:
        InputError: a surface is not over planes, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [plane.surface for plane in planes])
    header = [
        "",
        "g(0, 0)",
        "lowest",
        "at (α, β)",
        "highest",
        "at (α, β)",
        "below g(0, 0)",
        *_accuracies(planes, quantity),
    ]
    rows = [_extremes(plane, summarize_plane(plane, quantity), words, quantity) for plane in planes]
    title = f"{words.title} g(α, β) ({words.unit}) at the nodes; accuracy at the centre; cosine of the two directions"
    return f"{title}\n{aligned([*header, 'cosine'], rows, left=1)}"


def circle_table(planes: Sequence[Plane], quantity: str = "loss") -> str:
    """How every plane rises on circles around its centre, at the radii of `RADII` that its grid gives.

    Raises:
        InputError: a surface is not over planes, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [plane.surface for plane in planes])
    rows = [
        [plane.label, f"{found.radius:g}", *_circle(plane, found, words, quantity)]
        for plane in planes
        for radius in RADII
        if (found := circle_rise(plane, radius, quantity)) is not None
    ]
    unit = words.unit_of_differences if words.unit == "%" else words.unit
    lines = [f"g − g(0, 0) on circles of radius r, by cubic splines between nodes; {words.title} ({unit})"]
    if rows:
        lines.append(aligned(["", "r", "mean", "lowest", "highest", *_accuracies(planes, quantity)], rows, left=1))
    resting = _resting_on_interpolation(planes, quantity) if rows else []
    return "\n".join([*lines, *resting, *_absent(planes, quantity)])


def plane_numbers(planes: Sequence[Plane], quantity: str = "loss") -> dict[str, Any]:
    """Everything that the tables hold as plain JSON values, unrounded; None where a number is absent.

    Errors and accuracies are shares in [0, 1]; `mean[i][j]` is at (alpha[i], beta[j]). A refined plane also says which
    nodes are `measured`; the numbers of the others are interpolated.

    Raises:
        InputError: a surface is not over planes, or the quantity is unknown or was not measured.
    """
    surfaces, labels = [plane.surface for plane in planes], [plane.label for plane in planes]
    return {
        "quantity": quantity,
        "title": quantity_words(quantity, surfaces).title,
        "settings": settings_line(surfaces, labels),
        "planes": [
            {
                "label": plane.label,
                "key": plane.surface.key,
                "spec": dict(plane.surface.spec),
                "directions": list(plane.directions),
                "cosine": plane.cosine,
                **plain_values(asdict(summarize_plane(plane, quantity))),
                **({} if plane.surface.grid.refine is None else {"measured": plane.measured.tolist()}),
                "circles": [
                    plain_values(asdict(found))
                    for radius in RADII
                    if (found := circle_rise(plane, radius, quantity)) is not None
                ],
            }
            for plane in planes
        ],
    }


def _extremes(plane: Plane, found: PlaneSummary, words: QuantityWords, quantity: str) -> list[str]:
    natural = takes_natural_accuracy(quantity, plane.surface)
    return [
        plane.label,
        number(found.centre, words),
        number(found.lowest, words),
        _place(found.lowest_at),
        number(found.highest, words),
        _place(found.highest_at),
        percent(found.share_below_centre),
        percent(found.centre_natural_accuracy if natural else found.centre_robust_accuracy),
        ABSENT if plane.cosine is None else f"{plane.cosine:.2g}",
    ]


def _circle(plane: Plane, found: CircleRise, words: QuantityWords, quantity: str) -> list[str]:
    natural = takes_natural_accuracy(quantity, plane.surface)
    accuracy = found.natural_accuracy if natural else found.robust_accuracy
    return [
        *(f"~{number(value, words)}" for value in (found.value, found.lowest, found.highest)),
        f"~{percent(accuracy)}",
    ]


def _accuracies(planes: Sequence[Plane], quantity: str) -> list[str]:
    """The heading of the column of accuracies."""
    natural = {takes_natural_accuracy(quantity, plane.surface) for plane in planes}
    return ["accuracy" if len(natural) > 1 else f"{'natural' if natural == {True} else 'robust'} accuracy"]


def _place(at: tuple[float, float] | None) -> str:
    return ABSENT if at is None else f"({at[0]:g}, {at[1]:g})"


def _resting_on_interpolation(planes: Sequence[Plane], quantity: str) -> list[str]:
    """One sentence where circles lead over nodes that were not measured."""
    refined = [plane for plane in planes if plane.interpolated.any()]
    if not refined:
        return []
    largest = max(plane.surface.grid.refine or 0.0 for plane in refined)
    of = "" if len(refined) == len(planes) else f" of {listed([plane.label for plane in refined])}"
    # The tolerance is of the measured loss and says nothing about other quantities.
    doubt = f": those that are not large against the tolerance of {largest:g} say little" if quantity == "loss" else ""
    return [f"Rises{of} rest on interpolated nodes too{doubt}."]


def _absent(planes: Sequence[Plane], quantity: str) -> list[str]:
    """One sentence for all radii that the same planes do not give for the same reason."""
    radii: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for radius in RADII:
        reasons: dict[str, list[str]] = {}
        for plane in planes:
            if reason := why_no_circle(plane, radius, quantity):
                reasons.setdefault(reason, []).append(plane.label)
        for reason, labels in reasons.items():
            radii.setdefault((reason, tuple(labels)), []).append(radius)
    return [
        f"No row for r = {listed(absent)}{'' if len(labels) == len(planes) else f' of {listed(labels)}'}: {reason}."
        for (reason, labels), absent in radii.items()
    ]

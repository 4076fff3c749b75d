"""Numbers of groups as aligned text and as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from landscape.analysis.captions import settings_line
from landscape.analysis.group_differences import EACH_ALONE, claim, group_differences, split_pair
from landscape.analysis.groups import MIN_MEMBERS, GroupedSurface, Grouping
from landscape.analysis.samples import why_no_rise
from landscape.analysis.statistics import RADII, Rise, rise, summarize_curve
from landscape.analysis.tables import aligned, plain_values
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
    from landscape.surfaces.surface import Surface

Columns = Sequence[Sequence[GroupedSurface]]
"""The grouped surfaces of each checkpoint, one for each split."""

GROUP_COLUMNS = (
    "g(0): mean at the centre; rise(r): mean over directions, both signs and members of g(±r) − g(0); acc: {accuracy} "
    "accuracy at ±r. SE directions: standard error of the rise before it over directions; SE examples: over members."
)


def group_tables(checkpoints: Columns, quantity: str = "loss") -> str:
    """The table of every surface, and below them once what their columns are.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    surfaces = [grouped.surface for splits in checkpoints for grouped in splits]
    natural = all(takes_natural_accuracy(quantity, surface) for surface in surfaces)
    notes = [GROUP_COLUMNS.format(accuracy="natural" if natural else "robust"), *_notes(checkpoints)]
    tables = [group_table(grouped, quantity) for splits in checkpoints for grouped in splits]
    return "\n\n".join(tables) + "\n" + "\n".join(notes)


def group_table(grouped: GroupedSurface, quantity: str = "loss") -> str:
    """One row for each group, and one for all examples: size, share, values at the centre, rises.

    Raises:
        InputError: the surface is over a plane, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [grouped.surface])
    radii = [radius for radius in RADII if why_no_rise(grouped.surface, radius) is None]
    header = ["group", "examples", "share", "g(0)", "acc(0)"]
    for radius in radii:
        header += [f"rise({radius:g})", *(["SE directions", "SE examples"] if radius == 0.5 else []), "acc"]
    named = [(f"{group.name}{' *' if group.few else ''}", group.surface) for group in grouped.groups]
    total = len(grouped.surface.example_ids)
    rows = []
    for name, surface in [*named, ("all", grouped.surface)]:
        count = len(surface.example_ids)
        row = [name, str(count), percent(count / total), *_centre_cells(surface, words, quantity)]
        for radius in radii:
            row += _rise_cells(rise(surface, radius, quantity), surface, words, quantity)
        rows.append(row)
    absent = [radius for radius in RADII if radius not in radii]
    why = [f"No rise at r = {listed(absent)}: {why_no_rise(grouped.surface, absent[0])}."] if absent else []
    title = f"{grouped.label}: {words.title} ({words.unit})"
    return "\n".join([title, aligned(header, rows, left=1), *why])


def difference_table(checkpoints: Columns, quantity: str = "loss") -> str:
    """Train minus test of every group; empty where no checkpoint was measured on both splits.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [grouped.surface for splits in checkpoints for grouped in splits])
    rows, radius = [], 0.0
    for splits in checkpoints:
        for found in group_differences(splits, quantity=quantity):
            radius = found.radius
            half = None if found.low is None or found.high is None else (found.high - found.low) / 2
            ends = [number(end, words, half) for end in (found.low, found.high) if end is not None]
            rows.append(
                [
                    splits[0].title,
                    found.name,
                    f"{found.num_train}, {found.num_test}",
                    f"{number(found.train_centre, words)}, {number(found.test_centre, words)}",
                    f"{number(found.train, words)}, {number(found.test, words)}",
                    number(found.value, words, half),
                    f"[{', '.join(ends)}]" if ends else ABSENT,
                    number(found.standard_error_directions, words),
                    number(found.standard_error_examples, words),
                ]
            )
    if not rows:
        return ""
    header = ["train, test:", "group", "examples", "g(0)", f"rise({radius:g})", "train − test", "95 % interval"]
    table = aligned([*header, "SE directions", "SE examples"], rows, left=2)
    return f"{table}\n{ABSENT}: fewer than {MIN_MEMBERS} examples in a group, or fewer than 3 directions."


def claims(checkpoints: Columns, quantity: str = "loss") -> list[str]:
    """What train minus test shows, one sentence for each checkpoint on both splits, and how far to trust them."""
    said = [sentence for splits in checkpoints if (sentence := claim(splits, quantity)) is not None]
    return [*said, EACH_ALONE] if said else []


def group_numbers(checkpoints: Columns, grouping: Grouping, quantity: str = "loss") -> dict[str, Any]:
    """Everything that tables and figure show as plain JSON values, unrounded; None where a number is absent.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    every = [grouped for splits in checkpoints for grouped in splits]
    surfaces = [grouped.surface for grouped in every]
    return {
        "quantity": quantity,
        "title": quantity_words(quantity, surfaces).title,
        "by": grouping.by,
        "edges": list(grouping.edges) if grouping.by == "loss" else None,
        "min_members": MIN_MEMBERS,
        "settings": settings_line(surfaces, [grouped.label for grouped in every]),
        "panels": [_surface_numbers(grouped, quantity) for grouped in every],
        "differences": [
            {"label": splits[0].title, **plain_values(asdict(found)), "shown": found.shown}
            for splits in checkpoints
            for radius in (RADII if split_pair(splits) else ())
            for found in group_differences(splits, radius, quantity)
        ],
        "sentences": claims(checkpoints, quantity),
    }


def _surface_numbers(grouped: GroupedSurface, quantity: str) -> dict[str, Any]:
    return {
        "label": grouped.title,
        "split": grouped.split,
        "key": grouped.surface.key,
        "spec": dict(grouped.surface.spec),
        "all": _curve_numbers(grouped.surface, quantity),
        "groups": [
            {
                "index": group.index,
                "name": group.name,
                "size": group.size,
                "share": group.share,
                "few": group.few,
                "example_ids": plain_values(group.surface.example_ids),
                **_curve_numbers(group.surface, quantity),
            }
            for group in grouped.groups
        ],
    }


def _curve_numbers(surface: Surface, quantity: str) -> dict[str, Any]:
    rises = [rise(surface, radius, quantity) for radius in RADII]
    return {
        **plain_values(asdict(summarize_curve(surface, quantity))),
        "rises": [plain_values(asdict(found)) for found in rises if found is not None],
    }


def _centre_cells(surface: Surface, words: QuantityWords, quantity: str) -> list[str]:
    natural = takes_natural_accuracy(quantity, surface)
    error = surface.centre_mean("natural-error" if natural else "robust-error")
    return [number(surface.centre_mean(quantity), words), percent(1.0 - error)]


def _rise_cells(found: Rise | None, surface: Surface, words: QuantityWords, quantity: str) -> list[str]:
    if found is None:
        return [ABSENT, ABSENT]
    natural = takes_natural_accuracy(quantity, surface)
    around, mark = "~" if found.interpolated else "", "†" if found.num_masked else ""
    errors = [found.standard_error_directions, found.standard_error_examples] if found.radius == 0.5 else []
    accuracy = found.natural_accuracy if natural else found.robust_accuracy
    return [
        around + number(found.value, words) + mark,
        *(number(error, words) for error in errors),
        around + percent(accuracy),
    ]


def _notes(checkpoints: Columns) -> list[str]:
    groups = [group for splits in checkpoints for grouped in splits for group in grouped.groups]
    rises = [rise(group.surface, radius) for group in groups for radius in RADII]
    notes = []
    if any(one is not None and one.interpolated for one in rises):
        notes.append("~ ±r are no nodes of the grid: each curve is interpolated through its four nearest nodes.")
    if any(one is not None and one.num_masked for one in rises):
        notes.append("† directions are left out, where a point is missing or a loss of a member is not finite.")
    if any(group.few for group in groups):
        notes.append(
            f"* fewer than {MIN_MEMBERS} examples: drawn grey, nothing is claimed of it; more examples may fill it."
        )
    return notes

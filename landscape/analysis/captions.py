"""What stands around a picture: axis labels in the field's terms, and a caption that says every setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from landscape.analysis.directions import axis_label, has_named_directions, is_sample, marks_of, symbol_of
from landscape.analysis.settings import describe_settings, measured_as, normalization_of, split_of
from landscape.analysis.statistics import MIN_DIRECTIONS, summarize_curve
from landscape.analysis.style import compares_splits
from landscape.analysis.warm_starts import BIAS, largest_bias
from landscape.analysis.wording import quantity_words
from landscape.surfaces.surface import DONE, MISSING, NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

MOST_NAMED = 4
"""Curves that a caption names one by one for a setting in which they differ from others."""

UNSAID = {"Noise": "none", "Refinement": "none", BIAS: "none"}
"""What holds, by topic, for surfaces whose settings do not speak of it; "all" for other topics."""


FEW_CURVES = 3
"""More curves than these are drawn without directions and bands: their bands would cover one another."""


def alpha_label(surfaces: Sequence[Surface]) -> str:
    """Label of the horizontal axis."""
    if (label := axis_label(surfaces)) is not None:
        return label
    norms = {normalization_of(surface) for surface in surfaces}
    kinds = {"filter": "filter-normalized ", "layer": "layer-normalized ", "none": "Gaussian "}
    kind = kinds.get(norms.pop() or "", "normalized ") if len(norms) == 1 else "normalized "
    return f"α (multiples of the {kind}direction)"


def value_label(quantity: str, surfaces: Sequence[Surface], *, centred: bool = False) -> str:
    """Label of the vertical axis."""
    words, symbol = quantity_words(quantity, surfaces), symbol_of(surfaces)
    if centred:
        return f"{words.title} g({symbol}) − g(0) ({words.unit_of_differences})"
    return f"{words.title} g({symbol}) ({words.unit})"


def curves_caption(surfaces: Sequence[Surface], labels: Sequence[str], quantity: str = "loss") -> str:
    """Caption of a figure of curves: what lines and bands are, then every setting."""
    return f"{_drawn(surfaces, labels, quantity)} {settings_caption(surfaces, labels)}"


def series_caption(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """Caption of a series: means only."""
    splits = "; solid: train, dashed: test" if len({split_of(surface) for surface in surfaces}) > 1 else ""
    lines = f"Lines: {averaged(surfaces)}, one for each epoch{splits}."
    return f"{lines} {settings_caption(surfaces, labels)}"


def averaged(surfaces: Sequence[Surface]) -> str:
    """What the means of curves are over; a single direction is no mean."""
    if all(len(surface.direction_ids) == 1 for surface in surfaces):
        return "means over examples, along one direction"
    return "means over directions and examples"


def settings_caption(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """Every setting, each said once where the surfaces agree, and the number of masked points."""
    return " ".join([settings_line(surfaces, labels), *masked_sentences(surfaces, labels)])


def settings_line(surfaces: Sequence[Surface], labels: Sequence[str], *, attack: str | None = None) -> str:
    """Every setting, each said once where the surfaces agree; `attack` in the place of what would be said of it."""
    described = [describe_settings(surface) for surface in surfaces]
    topics = dict.fromkeys(topic for settings in described for topic in settings)
    splits, ways = [split_of(surface) for surface in surfaces], [measured_as(surface) for surface in surfaces]
    sentences = []
    for topic in topics:
        values = [settings.get(topic, UNSAID.get(topic, "all")) for settings in described]
        longest = max(values, key=len)
        if topic == "Attack" and attack is not None:
            said = attack
        elif topic == "Examples" and len(set(values)) == len(set(splits)):
            said = "; ".join(dict.fromkeys(values))  # labels or lines say which curve is of which split
        elif topic == "Seeds" and all(longest.startswith(value) for value in values):
            said = longest  # where nothing was attacked, one seed is enough
        elif topic == BIAS and len(set(values)) > MOST_NAMED:
            said = largest_bias(surfaces, labels)
        elif topic == "Attack" and len(set(values)) == len(set(ways)):
            said = _agreed(values, ways)
        else:
            said = _agreed(values, labels)
        sentences.append(f"{topic}: {said}.")
    return " ".join(sentences)


def masked_sentences(surfaces: Sequence[Surface], labels: Sequence[str]) -> list[str]:
    """One sentence for each surface with points that cannot be drawn; none if there are none."""
    sentences = []
    for surface, label in zip(surfaces, labels, strict=True):
        # What a refined plane left out is not masked but interpolated, which its settings say.
        missing = 0 if surface.complete else int((surface.status == MISSING).sum())
        bad = int((surface.status == NOT_FINITE).sum())
        if missing or bad:
            counts = " and ".join(
                f"{count} {what}" for count, what in ((bad, "not finite"), (missing, "not computed yet")) if count
            )
            sentences.append(f"Masked in {label}: of {surface.status.size} points {counts}.")
        if surface.centre_status != DONE:
            sentences.append(f"The centre of {label} is missing or not finite.")
    return sentences


def _agreed(values: Sequence[str], labels: Sequence[str]) -> str:
    """One value if all are equal, else each value with the labels that have it."""
    owners: dict[str, list[str]] = {}
    for value, label in zip(values, labels, strict=True):
        named = owners.setdefault(value, [])
        named += [label] if label not in named else []
    if len(owners) == 1:
        return values[0]
    return "; ".join(f"{value} [{_enumerated(who)}]" for value, who in owners.items())


def _enumerated(labels: Sequence[str]) -> str:
    if len(labels) > MOST_NAMED:
        return f"{labels[0]} and {len(labels) - 1} more"
    return ", ".join(labels)


def _drawn(surfaces: Sequence[Surface], labels: Sequence[str], quantity: str) -> str:
    """What lines and bands are."""
    if all(len(surface.direction_ids) == 1 for surface in surfaces):
        return f"{_drawn_singly(surfaces)}, for these examples."
    if len(surfaces) > FEW_CURVES:
        return (
            "Lines: means over directions, for these examples. "
            f"Single directions and 95 % bands are not drawn for more than {FEW_CURVES} curves."
        )
    if not any(is_sample(surface) for surface in surfaces):
        return f"{_drawn_alone(surfaces)}, for these examples."
    few = [
        label
        for surface, label in zip(surfaces, labels, strict=True)
        if len(surface.direction_ids) < MIN_DIRECTIONS or not is_sample(surface)
    ]
    lines = "Thin lines: one direction each; thick: their mean; band: 95 % t-interval of that mean over directions"
    if few:
        kind = "" if all(is_sample(surface) for surface in surfaces) else "random "
        lines += f" (none with fewer than {MIN_DIRECTIONS} {kind}directions: {', '.join(few)})"
    if _leaves_range(surfaces, quantity):
        lines += ", cut off where no value can lie"
    return f"{lines}, for these examples."


def _drawn_alone(surfaces: Sequence[Surface]) -> str:
    """What lines and marks are where no direction is a random one."""
    each = "one direction each"
    if len(surfaces) > 1 and any(has_named_directions(surface) for surface in surfaces):
        paler = ", paler for the second of a colour" if compares_splits(surfaces) else ""
        each += f" (colours: as the thick lines{paler}; dashes: which direction)"
    thin = f"Thin lines: {each}; thick: the mean over these very directions, which are no random sample"
    return f"{thin}{_drawn_marks(surfaces)}"


def _drawn_singly(surfaces: Sequence[Surface]) -> str:
    """What lines and marks are where every surface has one direction, so that nothing is averaged over directions."""
    lines = "Line: along one direction" if len(surfaces) == 1 else "Lines: along one direction each"
    band = ", so without a band" if any(is_sample(surface) for surface in surfaces) else ""
    return f"{lines}{band}{_drawn_marks(surfaces)}"


def _drawn_marks(surfaces: Sequence[Surface]) -> str:
    if not any(marks_of(surface) for surface in surfaces):
        return ""
    return "; diamonds: other checkpoints, each with the value measured at its own weights"


def _leaves_range(surfaces: Sequence[Surface], quantity: str) -> bool:
    """Whether some band goes beyond the values that its quantity can have."""
    words = quantity_words(quantity, surfaces)
    summaries = [summarize_curve(surface, quantity) for surface in surfaces]
    return any((found.low < words.lowest).any() or (found.high > words.highest).any() for found in summaries)

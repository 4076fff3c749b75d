"""What stands around a picture: axis labels in the field's terms, and a caption that says every setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.analysis.settings import describe_settings, normalization_of, objective_of
from landscape.analysis.statistics import MIN_DIRECTIONS
from landscape.errors import InputError
from landscape.names import QUANTITIES
from landscape.surfaces.surface import DONE, MISSING, NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

LOSSES = {
    "cross-entropy": "cross-entropy, nats",
    "margin": "margin",
    "ce-normalised": "cross-entropy of normalised logits, nats",
}

MOST_NAMED = 4
"""Curves that a caption names one by one for a setting in which they differ from others."""


@dataclass(frozen=True, kw_only=True)
class QuantityWords:
    """How one quantity is written.

    Attributes:
        title: its name, for example `adversarial loss`.
        unit: what its numbers are, for example `cross-entropy, nats`.
        scale: factor from stored to shown numbers; 100 for errors in percent.
        digits: digits after the point in tables.
    """

    title: str
    unit: str
    scale: float
    digits: int


def quantity_words(quantity: str, surfaces: Sequence[Surface]) -> QuantityWords:
    """The words for a quantity of these surfaces.

    Raises:
        InputError: the quantity is unknown.
    """
    if quantity not in QUANTITIES:
        raise InputError(f"a quantity is one of {', '.join(QUANTITIES)}, got {quantity!r}.")
    if quantity.endswith("error"):
        return QuantityWords(title=quantity.replace("-", " "), unit="%", scale=100.0, digits=2)
    losses = {str(surface.spec.get("loss", "cross-entropy")) for surface in surfaces}
    unit = " or ".join(sorted(LOSSES.get(loss, loss) for loss in losses)) or LOSSES["cross-entropy"]
    clean = quantity == "natural-loss" or all(_without_attack(surface) for surface in surfaces)
    return QuantityWords(title="natural loss" if clean else "adversarial loss", unit=unit, scale=1.0, digits=4)


def alpha_label(surfaces: Sequence[Surface]) -> str:
    """Label of the horizontal axis."""
    norms = {normalization_of(surface) for surface in surfaces}
    kinds = {"filter": "filter-normalized ", "layer": "layer-normalized ", "none": "Gaussian "}
    kind = kinds.get(norms.pop() or "", "normalized ") if len(norms) == 1 else "normalized "
    return f"α (multiples of the {kind}direction)"


def value_label(quantity: str, surfaces: Sequence[Surface], *, centred: bool = False) -> str:
    """Label of the vertical axis."""
    words = quantity_words(quantity, surfaces)
    if centred:
        unit = "% points" if words.unit == "%" else words.unit.rpartition(", ")[2]
        return f"{words.title} g(α) − g(0) ({unit})"
    return f"{words.title} g(α) ({words.unit})"


def curves_caption(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """Caption of a figure with every direction: what lines and bands are, then every setting."""
    few = [
        label for surface, label in zip(surfaces, labels, strict=True) if len(surface.direction_ids) < MIN_DIRECTIONS
    ]
    lines = "Thin lines: one direction each; thick: their mean; band: 95 % t-interval of that mean over directions"
    if few:
        lines += f" (none with fewer than {MIN_DIRECTIONS} directions: {', '.join(few)})"
    return f"{lines}, for these examples. {settings_caption(surfaces, labels)}"


def series_caption(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """Caption of a series: means only."""
    return f"Lines: means over directions and examples, one for each epoch. {settings_caption(surfaces, labels)}"


def settings_caption(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """Every setting, each said once where the surfaces agree, and the number of masked points."""
    described = [describe_settings(surface) for surface in surfaces]
    topics = list(dict.fromkeys(topic for settings in described for topic in settings))
    sentences = [
        f"{topic}: {_agreed([settings.get(topic, 'all') for settings in described], labels)}." for topic in topics
    ]
    return " ".join([*sentences, *masked_sentences(surfaces, labels)])


def masked_sentences(surfaces: Sequence[Surface], labels: Sequence[str]) -> list[str]:
    """One sentence for each surface with points that cannot be drawn; none if there are none."""
    sentences = []
    for surface, label in zip(surfaces, labels, strict=True):
        missing, bad = int((surface.status == MISSING).sum()), int((surface.status == NOT_FINITE).sum())
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
        owners.setdefault(value, []).append(label)
    if len(owners) == 1:
        return values[0]
    return "; ".join(f"{value} [{_enumerated(who)}]" for value, who in owners.items())


def _enumerated(labels: Sequence[str]) -> str:
    if len(labels) > MOST_NAMED:
        return f"{labels[0]} and {len(labels) - 1} more"
    return ", ".join(labels)


def _without_attack(surface: Surface) -> bool:
    attack = surface.spec.get("attack")
    return objective_of(surface) == "clean" or (isinstance(attack, dict) and attack.get("name") == "none")

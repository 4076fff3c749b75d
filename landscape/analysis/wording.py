"""How quantities and numbers are written, in tables, sentences and captions alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.analysis.loss_words import losses_of
from landscape.analysis.settings import is_attacked
from landscape.errors import InputError
from landscape.names import QUANTITIES

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

POINTS = "percentage points"

ABSENT = "-"


@dataclass(frozen=True, kw_only=True)
class QuantityWords:
    """How one quantity is written.

    Attributes:
        title: its name, for example `adversarial loss`.
        unit: what its numbers are, for example `cross-entropy, nats`.
        scale: factor from stored to shown numbers; 100 for errors in percent.
        digits: digits after the point in tables.
        lowest, highest: the range of stored numbers; infinite where there is no bound.
        unit_of_differences: what differences of its numbers are, in short: `percentage points` or `nats`.
    """

    title: str
    unit: str
    scale: float
    digits: int
    lowest: float
    highest: float
    unit_of_differences: str


def quantity_words(quantity: str, surfaces: Sequence[Surface]) -> QuantityWords:
    """The words for a quantity of these surfaces; what was not attacked is called natural.

    Raises:
        InputError: the quantity is unknown, or it is the robust error of a surface that was not attacked.
    """
    if quantity not in QUANTITIES:
        raise InputError(f"a quantity is one of {', '.join(QUANTITIES)}, got {quantity!r}.")
    attacked = {is_attacked(surface) for surface in surfaces}
    if quantity.endswith("error"):
        if quantity == "robust-error" and False in attacked:
            names = ", ".join(dict.fromkeys(surface.label for surface in surfaces if not is_attacked(surface)))
            raise InputError(
                f"robust-error needs an attack, but nothing was attacked in {names}; take natural-error instead."
            )
        title = quantity.replace("-", " ")
        return QuantityWords(
            title=title, unit="%", scale=100.0, digits=2, lowest=0.0, highest=1.0, unit_of_differences=POINTS
        )
    losses = losses_of(surfaces)
    if quantity == "natural-loss" or attacked == {False}:
        title = "natural loss"
    else:
        title = "loss" if False in attacked else "adversarial loss"
    return QuantityWords(
        title=title,
        unit=" or ".join(words.title for words in losses),
        scale=1.0,
        digits=4,
        lowest=min((words.lowest for words in losses), default=0.0),
        highest=math.inf,
        unit_of_differences=" or ".join(dict.fromkeys(words.unit for words in losses)),
    )


def takes_natural_accuracy(quantity: str, surface: Surface) -> bool:
    """Whether the accuracy that belongs beside a quantity is the natural one, not the robust one."""
    return quantity.startswith("natural") or not is_attacked(surface)


def number(value: float, words: QuantityWords, half_width: float | None = None) -> str:
    """A number with the digits of its quantity, or with two digits of the half width of its interval."""
    if not math.isfinite(value):
        return ABSENT
    digits = words.digits
    if half_width:
        digits = max(0, 1 - math.floor(math.log10(words.scale * half_width)))
    return f"{words.scale * value:.{digits}f}"


def percent(share: float) -> str:
    """A share in [0, 1] in percent; interpolated ones may leave that range by a hair."""
    return f"{100 * min(max(share, 0.0), 1.0):.1f} %" if math.isfinite(share) else ABSENT


def counted(count: int, noun: str) -> str:
    """`1 direction`, `2 directions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(values: Sequence[Any]) -> str:
    """Values one after another, numbers in their shortest form."""
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)

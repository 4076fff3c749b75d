"""The measured losses in words: what tables, axes and captions call them, and in which unit they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface


@dataclass(frozen=True, kw_only=True)
class LossWords:
    """How one measured loss is written.

    Attributes:
        name: its name, for example `cross-entropy`.
        unit: of its numbers, `nats` or `logits`.
        meaning: what a reader has to know beside the name; empty for nothing.
        lowest: the smallest value it can have; minus infinity where there is no bound.
    """

    name: str
    unit: str = "nats"
    meaning: str = ""
    lowest: float = 0.0

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}"

    @property
    def is_ascended(self) -> bool:
        """Whether it is the loss that attacks ascend."""
        return self.name == "cross-entropy"


LOSSES: Mapping[str, LossWords] = {
    "cross-entropy": LossWords(name="cross-entropy"),
    "margin": LossWords(
        name="margin",
        unit="logits",
        meaning="the largest other logit minus the label's, positive where wrong",
        lowest=-math.inf,
    ),
    "ce-normalised": LossWords(
        name="cross-entropy of normalised logits", meaning="logits divided by their mean norm at the centre"
    ),
}


def loss_words(surface: Surface) -> LossWords:
    """The words for the loss of a surface; of one that this function does not know, what the file says."""
    setting = surface.spec.get("loss", "cross-entropy")
    if isinstance(setting, Mapping):
        return _objective_words(setting)
    if setting == "ce-normalised" and (norms := _logit_norms(surface)):
        known = LOSSES[setting]
        return LossWords(name=known.name, meaning=f"{known.meaning}, {' or '.join(norms)}")
    return LOSSES.get(str(setting)) or LossWords(name=str(setting), unit="unit not recorded", lowest=-math.inf)


def losses_of(surfaces: Sequence[Surface]) -> list[LossWords]:
    """The losses of surfaces, each once, in their order."""
    found = [loss_words(surface) for surface in surfaces]
    return list({words.title: words for words in found}.values())


def _objective_words(setting: Mapping[str, Any]) -> LossWords:
    """Training objectives with their weights."""
    name = setting.get("name")
    if name == "trades":
        return LossWords(name=f"TRADES objective with β = {_number(setting.get('beta'))}")
    if name == "joint":
        return LossWords(name="mean of clean and adversarial cross-entropy")
    if name == "mart":
        # Its constants let it fall below 0 by 1e-4.
        return LossWords(name=f"MART objective with λ = {_number(setting.get('lambda'))}", lowest=-math.inf)
    others = [f"{key} {_number(value)}" for key, value in setting.items() if key != "name"]
    return LossWords(name=" ".join([str(name), *others]), unit="unit not recorded", lowest=-math.inf)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _logit_norms(surface: Surface) -> list[str]:
    """The norms by which the processes of a surface divided; they differ by rounding at most."""
    found = [entry.get("logit_norm") for entry in surface.provenance]
    return list(dict.fromkeys(f"{norm:.4g}" for norm in found if isinstance(norm, int | float)))

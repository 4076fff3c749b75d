"""Two curves in one sentence that claims no more than they show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from landscape.analysis.directions import ONE_WAY, kind_of
from landscape.analysis.loss_words import loss_words
from landscape.analysis.pairing import differing_measures, same_weights
from landscape.analysis.settings import (
    attacks_apart,
    describe_attack,
    describe_batchnorm,
    describe_noise,
    describe_objective,
    measured_as,
    split_of,
)
from landscape.analysis.statistics import MIN_DIRECTIONS, RADII, PairedDifference, paired_difference
from landscape.analysis.wording import QuantityWords, counted, listed, number, quantity_words

if TYPE_CHECKING:
    from landscape.analysis.style import Curve
    from landscape.surfaces.surface import Surface

MAIN_RADIUS = 0.5
"""The r of the sentence about two checkpoints; at r = 1 the loss mostly measures the size of the logits."""


def comparison_sentences(curves: Sequence[Curve], quantity: str = "loss") -> list[str]:
    """What the curves show about two checkpoints: one sentence for each pair of `compared_pairs`, with its interval."""
    return [compare(a, b, quantity) for a, b in compared_pairs(curves)]


def compared_pairs(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """The two curves of every split that holds exactly two; more checkpoints are shown, not compared.

    Of a split that holds more, the two that were measured on the fly, fixed or without an attack; and where these are
    more, the two that were attacked in one way, as one epsilon.
    """
    pairs = []
    signed = [curve for curve in curves if kind_of(curve.surface) not in ONE_WAY]  # others have no rises
    for split in dict.fromkeys(split_of(curve.surface) for curve in signed):
        found = [curve for curve in signed if split_of(curve.surface) == split]
        groups = [found]
        for way_of in (_way, _attack):
            groups = [part for group in groups for part in ([group] if len(group) == 2 else _parted(group, way_of))]
        pairs += [(group[0], group[1]) for group in groups if len(group) == 2]
    return pairs


def _way(curve: Curve) -> str:
    return measured_as(curve.surface)


def _attack(curve: Curve) -> str:
    return describe_attack(curve.surface.spec)


def _parted(curves: Sequence[Curve], key: Callable[[Curve], str]) -> list[list[Curve]]:
    """Groups of curves that have one key, in the order of their first ones."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(key(curve), []).append(curve)
    return list(groups.values())


def compare(a: Curve, b: Curve, quantity: str = "loss") -> str:
    """Which of two curves is flatter, at which radius, by how much; or that no difference is shown, and why.

    Only checkpoints that were measured in the same way are called flatter. Curves of the same weights are never: the
    sentence says what else differs. Rises of different losses are not compared at all.

    Raises:
        InputError: a surface is over a plane, or the quantity is unknown or was not measured.
    """
    words = quantity_words(quantity, [a.surface, b.surface])
    if differ_in_loss(a, b, quantity):
        losses = " / ".join(loss_words(curve.surface).title for curve in (a, b))
        return f"{a.label} and {b.label} are not compared: their losses are different ones ({losses})."
    difference = _main_difference(a, b, quantity)
    same, measures = same_weights(a.surface, b.surface), _measures_in_words(a.surface, b.surface)
    sentences = []
    if same:
        how = f"measured differently: {'; '.join(measures)}" if measures else ""
        if not measures and (difference is None or difference.paired):
            return f"{a.label} and {b.label} are the same weights, measured in the same way: there is no difference."
        sentences.append(f"{a.label} and {b.label} are the same weights{', ' if how else ''}{how}.")
    if difference is None:
        sentences.append(f"{a.label} and {b.label} are not compared: no radius of {listed(RADII)} lies in both grids.")
        return " ".join(sentences)
    sentences.append(_verdict(a.label, b.label, difference, words, flatter=not same and not measures))
    if measures and not same:
        sentences.append(f"Note: they were measured differently: {'; '.join(measures)}.")
    return " ".join([*sentences, *(f"Note: {note}." for note in _notes(difference))])


def differ_in_loss(a: Curve, b: Curve, quantity: str) -> bool:
    """Whether the numbers of a quantity are of two different losses, so that their difference means nothing."""
    losses = [curve.surface.spec.get("loss", "cross-entropy") for curve in (a, b)]
    return quantity.endswith("loss") and losses[0] != losses[1]


def _main_difference(a: Curve, b: Curve, quantity: str) -> PairedDifference | None:
    """The difference at the main radius; else at the nearest of the others that both grids reach."""
    for radius in sorted(RADII, key=lambda radius: abs(radius - MAIN_RADIUS)):
        difference = paired_difference(a.surface, b.surface, radius, quantity)
        if difference is not None:
            return difference
    return None


def _measures_in_words(a: Surface, b: Surface) -> list[str]:
    """How two measurements differ, for example `attack (PGD-10 / PGD-20)`; not which examples and directions.

    Where the losses differ, only errors are compared, which do not depend on them.
    """
    names = [name for name in differing_measures(a, b) if name != "loss"]
    words = []
    for name in names:
        if name == "objective":
            words.append(f"objective ({describe_objective(a)} / {describe_objective(b)})")
        elif name == "attack":
            # Without an attack the objective has said it already.
            if "objective" not in names or "natural" not in (measured_as(a), measured_as(b)):
                apart = attacks_apart([a, b])
                full = [describe_attack(a.spec), describe_attack(b.spec)]
                words.append(f"attack ({' / '.join(apart if all(apart) else full)})")
        elif name == "batchnorm":
            words.append(f"BatchNorm ({describe_batchnorm(a.spec)} / {describe_batchnorm(b.spec)})")
        elif name == "noise":
            words.append(f"noise ({describe_noise(a.spec)} / {describe_noise(b.spec)})")
        else:
            words.append(f"{name} ({a.spec.get(name)} / {b.spec.get(name)})")
    return words


def _verdict(a: str, b: str, difference: PairedDifference, words: QuantityWords, *, flatter: bool) -> str:
    low, high = (b, a) if difference.value > 0 else (a, b)
    at = f"{_subject(words)}at r = {difference.radius:g}"
    unit = f" {words.unit_of_differences}" if words.unit == "%" else ""
    half = _half_width(difference)
    size = ("~" if difference.interpolated else "") + number(abs(difference.value), words, half)
    if difference.low is None or difference.high is None:
        known = (
            f"there is no interval with {_size_of(difference)} (at least {MIN_DIRECTIONS} and 2 are needed)"
            if difference.sampled
            else "directions that are no random sample have no interval"
        )
        return f"No difference is shown between {a} and {b} {at}: the rises differ by {size}{unit}, but {known}."
    # The interval of the steeper minus the flatter, whichever of them is a.
    ends = sorted(math.copysign(1.0, difference.value) * end for end in (difference.low, difference.high))
    interval = f"[{', '.join(number(end, words, half) for end in ends)}]{unit}"
    basis = f"({100 * difference.level:g} %, {_basis(difference)})"
    if not difference.shown:
        return (
            f"No difference is shown between {a} and {b} {at}: {high} rises by {size}{unit} more than {low}, "
            f"and the interval {interval} includes 0 {basis}."
        )
    if flatter:
        return f"{low} is flatter than {high} {at} by {size} {interval} {basis}."
    return f"{high} rises by {size} {interval} more than {low} {at} {basis}."


def _subject(words: QuantityWords) -> str:
    """What rises, where it is not the cross-entropy on adversarial examples."""
    if words.unit in ("%", "cross-entropy, nats"):
        return "" if words.title in ("loss", "adversarial loss") else f"in {words.title} "
    return f"in {words.title} ({words.unit}) "


def _notes(difference: PairedDifference) -> list[str]:
    notes = []
    if difference.interpolated:
        notes.append("~ interpolated between nodes of the grid")
    if difference.unpaired_because:
        notes.append(" and ".join(difference.unpaired_because))
    if difference.num_masked:
        left_out = counted(difference.num_masked, "curve")
        notes.append(f"{left_out} left out because of points that are missing or not finite")
    return notes


def _basis(difference: PairedDifference) -> str:
    if difference.paired:
        return f"paired over {_size_of(difference, ', ')}"
    return (
        f"{'paired' if difference.paired_directions else 'unpaired'} over "
        f"{counted(difference.num_directions, 'direction')}, "
        f"{'paired' if difference.paired_examples else 'unpaired'} over {counted(difference.num_examples, 'example')}"
    )


def _size_of(difference: PairedDifference, between: str = " and ") -> str:
    return between.join((counted(difference.num_directions, "direction"), counted(difference.num_examples, "example")))


def _half_width(difference: PairedDifference) -> float | None:
    return None if difference.low is None or difference.high is None else (difference.high - difference.low) / 2

"""What makes robust accuracies doubtful: signs that an attack, or the evaluation, does not do what it should."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.robustness import NATURAL, Evaluated, by_method
from landscape.analysis.settings import epsilon_of
from landscape.surfaces.surface import NOT_FINITE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

LEAST_EXAMPLES, LEAST_SHARE = 2, 0.005
"""How many examples a stronger attack may miss that another one finds: max(2, 0.5 %)."""

MARGIN_POINTS = 0.02
"""How much less the margin attack may find than PGD."""

GREY = 0.5
"""L-inf radius in which every image can become the same grey one: no model can be right more often than by chance."""

BLACK_BOX = ("spsa", "square", "transfer")


def doubts(evaluated: Sequence[Evaluated]) -> list[str]:
    """Sentences about all evaluations; none where nothing is wrong."""
    found = [sentence for entry in evaluated for sentence in _of_one(entry)]
    return list(dict.fromkeys([*found, *_rising(evaluated)]))


def repeated_seeds(evaluated: Sequence[Evaluated]) -> list[str]:
    """Sentences about runs of one method whose spread is not over seeds: several of them have the same."""
    found = []
    for split in dict.fromkeys(entry.split for entry in evaluated):
        for title, members in by_method([entry for entry in evaluated if entry.split == split]).items():
            seeds = [entry.seed for entry in members]
            for seed in sorted({seed for seed in seeds if seed is not None and seeds.count(seed) > 1}):
                labels = ", ".join(entry.label for entry in members if entry.seed == seed)
                found.append(
                    f"{title}: {labels} have the one seed {seed}, so their spread is that of other settings; name runs "
                    "that differ in the seed alone."
                )
    return list(dict.fromkeys(found))


def allowance(count: int) -> float:
    """max(2, 0.5 %) of so many examples."""
    return max(LEAST_EXAMPLES, LEAST_SHARE * count)


def _of_one(entry: Evaluated) -> Iterator[str]:
    yield from _broken(entry)
    yield from _weaker(entry)
    yield from _missed(entry)
    yield from _masked(entry)
    yield from _above_chance(entry)


def _broken(entry: Evaluated) -> Iterator[str]:
    where = _where(entry)
    classes, counts = np.unique(entry.labels, return_counts=True)
    if len(classes) == 1:
        yield f"{where}: all {len(entry.labels)} examples are of one class, {classes[0]}; accuracy says little."
    for name, surface in entry.surfaces.items():
        if surface.centre_status == NOT_FINITE:
            losses = surface.centre.adversarial_loss, surface.centre.clean_loss
            bad = int((~np.isfinite(losses).all(axis=0)).sum())
            yield f"{where}, {name}: losses of {bad} examples are no finite numbers; what is no number counts as wrong."
    natural = entry.correct(NATURAL)
    for label in classes if len(classes) > 1 else ():
        if np.array_equal(natural == 1.0, entry.labels == label):
            yield (
                f"{where}: the model is right on exactly the {counts[classes == label][0]} examples of class {label}; "
                "it answers the same whatever it is shown, and what it withstands is no robustness."
            )
    if not natural.any():
        yield f"{where}: the model is right on none of the examples; do data set, labels and normalization fit it?"


def _weaker(entry: Evaluated) -> Iterator[str]:
    """Attacks that leave more than a simpler one of the same ball."""
    for stronger, weaker, room in _ordered(entry.surfaces):
        more = float((entry.correct(stronger) - entry.correct(weaker)).sum())
        if more > max(room * len(entry.labels), allowance(len(entry.labels))):
            yield (
                f"{_where(entry)}: {stronger} is weaker than {weaker}, which finds {more:g} examples more; is its step "
                "too large or too small, or is the gradient masked?"
            )


def _missed(entry: Evaluated) -> Iterator[str]:
    for name, surface in entry.surfaces.items():
        if _settings(surface).get("name") != "autoattack":
            continue
        others = [other for other in entry.surfaces if other != name and _same_ball(surface, entry.surfaces[other])]
        found = np.min([entry.correct(other) for other in others], axis=0) if others else np.ones(len(entry.labels))
        missed = float(np.maximum(entry.correct(name) - found, 0.0).sum())
        if missed > allowance(len(entry.labels)):
            yield (
                f"{_where(entry)}: {name} missed {missed:g} examples that another attack found; do not take it for the "
                "worst case."
            )


def _masked(entry: Evaluated) -> Iterator[str]:
    """Attacks without gradients that find more than all those with them."""
    white = [name for name, surface in entry.surfaces.items() if _is_white(surface)]
    for name, surface in entry.surfaces.items():
        rivals = [rival for rival in white if _same_ball(surface, entry.surfaces[rival])]
        if _settings(surface).get("name") not in BLACK_BOX or not rivals:
            continue
        best = min(rivals, key=lambda rival: entry.accuracy(rival).value)
        more = float((entry.correct(best) - entry.correct(name)).sum())
        if more > allowance(len(entry.labels)):
            yield (
                f"{_where(entry)}: {name}, which sees no gradient, finds {more:g} examples more than {best}; gradients "
                "may be masked."
            )


def _above_chance(entry: Evaluated) -> Iterator[str]:
    for name, surface in entry.surfaces.items():
        settings, accuracy = _settings(surface), entry.accuracy(name)
        if settings.get("norm") != "linf" or not (epsilon_of(surface) or 0.0) >= GREY or not _is_white(surface):
            continue
        chance = float(np.unique(entry.labels, return_counts=True)[1].max()) / len(entry.labels)
        if accuracy.value > chance + 2 * np.nan_to_num(accuracy.standard_error):
            yield (
                f"{_where(entry)}: {100 * accuracy.value:.1f} % under {name} with ε = {epsilon_of(surface):g}, where "
                f"every image can be made the same grey one and {100 * chance:.1f} % is chance; the attack fails."
            )


def _rising(evaluated: Sequence[Evaluated]) -> Iterator[str]:
    """Accuracies that rise with epsilon, of the same model, split and attack."""
    series: dict[tuple[str, ...], list[tuple[float, Evaluated, str]]] = {}
    for entry in evaluated:
        for name, surface in entry.surfaces.items():
            epsilon = epsilon_of(surface)
            if epsilon is not None:
                model = str(surface.spec.get("weights")), str(_settings(surface).get("norm"))
                series.setdefault((*model, entry.split, name), []).append((epsilon, entry, name))
    for found in series.values():
        found.sort(key=lambda item: item[0])
        for (small, low, name), (large, high, _) in zip(found, found[1:], strict=False):
            more = float(high.correct(name).sum() - low.correct(name).sum())
            if small < large and more > allowance(len(low.labels)):
                yield (
                    f"{_where(low)}, {name}: {more:g} examples more are right at ε = {large:g} than at {small:g}; a "
                    "larger ball cannot be safer, so the attack fails there."
                )


def _ordered(surfaces: Mapping[str, Surface]) -> Iterator[tuple[str, str, float]]:
    """Pairs (stronger, weaker) of attacks, with the share of examples by which the order may be wrong."""
    for first, one in surfaces.items():
        for second, other in surfaces.items():
            a, b = _settings(one), _settings(other)
            if first == second or not _same_ball(one, other):
                continue
            # Who averages over noise does not know the draw that classifies, and may find less with more steps.
            if a.get("name") == b.get("name") == "pgd" and a.get("averaged_over") == b.get("averaged_over"):
                same_loss = a.get("loss") == b.get("loss")
                fewer = b.get("num_steps", 0) < a.get("num_steps", 0)
                if same_loss and fewer and b.get("num_restarts", 1) <= a.get("num_restarts", 1):
                    yield first, second, 0.0
                elif (
                    a.get("loss") is not None and b.get("loss") is None and b.get("num_steps") <= a.get("num_steps", 0)
                ):
                    yield first, second, MARGIN_POINTS


def _is_white(surface: Surface) -> bool:
    return _settings(surface).get("name") not in (*BLACK_BOX, "none")


def _same_ball(one: Surface, other: Surface) -> bool:
    a, b = _settings(one), _settings(other)
    return a.get("norm") == b.get("norm") and math.isclose(epsilon_of(one) or 0.0, epsilon_of(other) or 0.0)


def _settings(surface: Surface) -> Mapping[str, Any]:
    found = surface.spec.get("attack")
    return found if isinstance(found, Mapping) else {}


def _where(entry: Evaluated) -> str:
    return f"{entry.label} ({entry.split})"

"""Verdicts on what `surfaces.trust` measured: does this landscape deserve trust, and if not, what to do."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from landscape.analysis.masking import NOISE, masking_signs, share_error
from landscape.analysis.wording import counted, listed, percent
from landscape.surfaces.evidence import (
    DirectionNorms,
    Effort,
    Evidence,
    Mode,
    Strength,
    Twin,
    loss_error,
    mean_loss,
    natural_accuracy,
    robust_accuracy,
)

PASS, WARN, FAIL, ABSENT = "pass", "warn", "fail", "n/a"

_SEVERITY = (ABSENT, PASS, WARN, FAIL)

RELATIVE = 1e-3
"""Mean losses of two correct ways of computing agree to this share of the loss, or to `ERRORS` standard errors."""

ERRORS = 0.01

GROSS_ERRORS = 0.1
"""Differences above this many standard errors are no rounding any more."""

NORM_DEVIATION = 1e-5
"""Largest deviation of a norm that single precision explains."""

LOGIT_DEVIATIONS = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""Largest difference of logits, as a share of the largest, that the arithmetic explains."""

SLIGHT_GAIN, LARGE_GAIN = 0.05, 0.25
"""A stronger attack raises the loss by this share of the curve's height: the curve is a little, or much, too low.

In relation to the height, since at the centre of a robust model the loss is so small that any share of it is nothing.
"""


WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one check found.

    Attributes:
        name: the check.
        status: `pass`, `warn`, `fail` or `n/a` (not applicable).
        found: what was measured, in words.
        advice: what to do; empty where nothing is to be done.
    """

    name: str
    status: str
    found: str
    advice: str = ""


def judge(evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict for each check, in the order of the documentation."""
    return (
        judge_rescaling(evidence),
        judge_repeats(evidence),
        judge_efforts(evidence.efforts),
        judge_node_0(evidence),
        judge_directions(evidence.directions),
        judge_mode(evidence.mode, evidence.precision),
        judge_accuracy(evidence),
        judge_masking(evidence),
    )


def worst_of(verdicts: Iterable[Verdict]) -> str:
    """The gravest status among verdicts."""
    return max((verdict.status for verdict in verdicts), key=_SEVERITY.index, default=ABSENT)


def judge_rescaling(evidence: Evidence) -> Verdict:
    """Weights rescaled without changing the function leave the normalized curve in place."""
    name = "rescaling"
    if not evidence.rescalings:
        return Verdict(name=name, status=ABSENT, found=f"Not applicable: {evidence.no_rescaling}.")
    parts = [(f"{counted(len(one.places), 'layer')} {one.how}", _worst(one.twins)) for one in evidence.rescalings]
    found = "; ".join(f"{changed}: the ends of the curve move by {_gap(twin)}" for changed, twin in parts)
    status = max((_agreement(twin) for _, twin in parts), key=_SEVERITY.index)
    return Verdict(
        name=name,
        status=status,
        found=f"{found}.",
        advice="" if status == PASS else "The curve depends on the scale of the weights; use --direction-norm filter.",
    )


def judge_repeats(evidence: Evidence) -> Verdict:
    """Two runs give the same bits on a CPU, and the same numbers but for a hundredth of their error on CUDA."""
    name, worst = "repeatability", _worst(evidence.repeats)
    if all(twin.same_bits for twin in evidence.repeats):
        return Verdict(name=name, status=PASS, found=f"Two runs give the same bits at {_places(evidence.repeats)}.")
    found = f"Two runs differ by up to {_gap(worst)}, at {worst.where}."
    if evidence.device != "cpu":
        if _in_errors(worst) <= ERRORS:
            return Verdict(name=name, status=PASS, found=found)
        advice = "Set torch.use_deterministic_algorithms(True), or read no difference smaller than this."
        return Verdict(name=name, status=WARN, found=found, advice=advice)
    advice = "Something in the model is random or remembers earlier calls in eval mode; take it out, or fix its seed."
    return Verdict(name=name, status=FAIL, found=found, advice=advice)


def judge_efforts(efforts: Sequence[Effort]) -> Verdict:
    """More steps and more restarts hardly raise the loss, at the centre and at both ends, in relation to the curve."""
    name = "attack converged"
    if not efforts:
        return Verdict(name=name, status=ABSENT, found="Not applicable: nothing is attacked by PGD.")
    asked = next(iter(efforts[0].attacks))
    beyond = [effort.where for effort in efforts if not _is_finite(effort)]
    if beyond:
        advice = "Losses there are no numbers; draw a smaller range of alpha, or look at what overflows."
        return Verdict(name=name, status=WARN, found=f"The loss is not finite at {', '.join(beyond)}.", advice=advice)
    height = max(abs(mean_loss(effort.attacks[asked])) for effort in efforts)
    gains = [(*_largest_gain(effort), effort.where) for effort in efforts]
    found = "; ".join(f"{where} {gain:+.2g} by {what}" for gain, what, where in gains)
    gain, _, where = max(gains)
    share = gain / height if height > 0 else math.inf if gain > 0 else 0.0
    status = FAIL if share > LARGE_GAIN else WARN if share > SLIGHT_GAIN else PASS
    advice = (
        f"The curve is too low, at {where} by {share:.0%} of its height and more; draw with more steps or restarts."
    )
    return Verdict(
        name=name,
        status=status,
        found=f"Loss above that of {asked}: {found}; the curve is {height:.3g} high.",
        advice="" if status == PASS else advice,
    )


def judge_node_0(evidence: Evidence) -> Verdict:
    """The node at 0, measured after others, is the centre; and the centre is what plain evaluation gives."""
    gaps = ", ".join(f"from {twin.where} by {_gap(twin)}" for twin in evidence.node_0)
    found = f"The centre differs {gaps}."
    status = max((_agreement(twin) for twin in evidence.node_0), key=_SEVERITY.index)
    if evidence.device == "cpu" and not evidence.node_0[0].same_bits:
        status = FAIL
    advice = "The model's outputs depend on more than its parameters and inputs; look for a memory of earlier calls."
    return Verdict(name="node 0", status=status, found=found, advice="" if status == PASS else advice)


def judge_directions(norms: DirectionNorms) -> Verdict:
    """Directions have the norms that they claim, and the model feels them."""
    name = "direction norms"
    if not norms.felt:
        found = "The clean losses at alpha = -1 and 1 are those of the centre, bit for bit."
        advice = "The outputs do not depend on the weights that move; look for weights that are no parameters."
        return Verdict(name=name, status=FAIL, found=found, advice=advice)
    if norms.claim is None:
        return Verdict(name=name, status=ABSENT, found="Not applicable: these directions claim no norm.")
    found = f"{counted(norms.num_groups, 'norm')} compared, to {norms.largest_deviation:.1g}: {norms.claim}."
    good = norms.largest_deviation <= NORM_DEVIATION
    advice = "" if good else "alpha does not mean what its axis says; look at the recipe of the directions."
    return Verdict(name=name, status=PASS if good else FAIL, found=found, advice=advice)


def judge_mode(mode: Mode, precision: str) -> Verdict:
    """The model is in eval mode, augments nothing, and measuring leaves every buffer as it was."""
    allowed = LOGIT_DEVIATIONS.get(precision, max(LOGIT_DEVIATIONS.values()))
    faults = [
        (bool(mode.training_modules), f"{_some(mode.training_modules)} in training mode after eval()"),
        (bool(mode.changed_buffers), f"buffers changed by measuring: {_some(mode.changed_buffers)}"),
        (mode.changed_caller, "measuring changed the model or the images that were given"),
        (mode.overwrites_inputs, "the model overwrites its inputs"),
        (mode.repeated_call > allowed, f"a second call gives other logits ({mode.repeated_call:.2g} of the largest)"),
        (mode.batch_mates > allowed, f"logits depend on the rest of the batch ({mode.batch_mates:.2g} of the largest)"),
    ]
    wrong = [what for is_wrong, what in faults if is_wrong]
    if not wrong:
        found = "Nothing at random, each example by itself, buffers and the caller's model as they were."
        return Verdict(name="eval mode", status=PASS, found=found)
    advice = (
        "Statistics of the batch, dropout and augmentation have no place in a landscape; switch them off in eval()."
    )
    return Verdict(name="eval mode", status=FAIL, found=_sentence(wrong), advice=advice)


def judge_accuracy(evidence: Evidence) -> Verdict:
    """The model at the centre knows more than the most frequent label, and the attack leaves something of it."""
    name, centre = "accuracy", evidence.centre
    bound = evidence.chance + NOISE * share_error(evidence.chance, len(centre))
    natural, robust = natural_accuracy(centre), robust_accuracy(centre)
    guessed = f"the most frequent class is {percent(evidence.chance)} of the examples"
    found = f"At the centre {percent(natural)} natural, {percent(robust)} robust; {guessed}."
    if bound >= 1.0:
        return Verdict(name=name, status=ABSENT, found=f"Not applicable: {len(centre)} examples cannot tell. {found}")
    if natural <= bound:
        advice = "The model guesses: look at the normalization, the data set and its labels, and the checkpoint."
        return Verdict(name=name, status=FAIL, found=found, advice=advice)
    if robust <= evidence.chance and evidence.strength is not None:
        advice = "Nothing is left to lose: such a curve mostly shows the size of the logits; take a smaller --epsilon."
        return Verdict(name=name, status=WARN, found=found, advice=advice)
    return Verdict(name=name, status=PASS, found=found)


def judge_masking(evidence: Evidence) -> Verdict:
    """Signs that the attack cannot follow the gradient (Athalye et al. 2018): one is a warning, two are a failure."""
    name = "gradient masking"
    if evidence.strength is None:
        return Verdict(name=name, status=ABSENT, found="Not applicable: nothing is attacked by PGD.")
    signs = masking_signs(evidence, evidence.strength)
    if not signs:
        return Verdict(name=name, status=PASS, found=_signless(evidence.strength))
    advice = "The loss is too low wherever the attack is blind: try AutoAttack, or an attack made for this defence."
    return Verdict(name=name, status=WARN if len(signs) == 1 else FAIL, found=_sentence(signs), advice=advice)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Status, check and what was found, with what to do below; as aligned text of at most `WIDTH` columns."""
    width = max(len(verdict.name) for verdict in verdicts)
    lines = []
    for verdict in verdicts:
        parts = textwrap.wrap(verdict.found, WIDTH - width - 8)
        parts += textwrap.wrap(verdict.advice, WIDTH - width - 8, initial_indent="-> ", subsequent_indent="   ")
        heads = [f"{verdict.status:4}  {verdict.name:{width}}", *[" " * (6 + width)] * (len(parts) - 1)]
        lines += [f"{head}  {part}" for head, part in zip(heads, parts, strict=True)]
    return "\n".join(lines)


def summary_sentence(verdicts: Sequence[Verdict]) -> str:
    """How many checks failed and warn, and what that means."""
    failed, warned = ([verdict for verdict in verdicts if verdict.status == status] for status in (FAIL, WARN))
    counts = f"{counted(len(failed), 'check')} failed, {len(warned)} warned, of {len(verdicts)}"
    meaning = {
        FAIL: "do not trust this landscape",
        WARN: "a landscape can be drawn; name the warnings with it",
    }.get(worst_of(verdicts), "nothing speaks against this landscape")
    return f"{counts}: {meaning}."


def _agreement(twin: Twin) -> str:
    """Whether a difference is rounding, more than that, or gross."""
    if twin.same_bits:
        return PASS
    if twin.difference <= max(RELATIVE * abs(mean_loss(twin.expected)), ERRORS * loss_error(twin.expected)):
        return PASS
    return WARN if _in_errors(twin) <= GROSS_ERRORS else FAIL


def _in_errors(twin: Twin) -> float:
    """A difference in standard errors over examples."""
    error = loss_error(twin.expected)
    return twin.difference / error if error > 0 else math.inf if twin.difference > 0 else 0.0


def _worst(twins: Sequence[Twin]) -> Twin:
    return max(twins, key=_in_errors)


def _gap(twin: Twin) -> str:
    errors = _in_errors(twin)
    return f"{twin.difference:.2g}" + (f" ({errors:.2g} standard errors)" if errors >= ERRORS / 10 else "")


def _places(twins: Sequence[Twin]) -> str:
    return listed([twin.where for twin in twins])


def _is_finite(effort: Effort) -> bool:
    return all(math.isfinite(mean_loss(measured)) for measured in effort.attacks.values())


def _largest_gain(effort: Effort) -> tuple[float, str]:
    """By how much the best of the stronger attacks is above the one that was asked for, and its name."""
    (_, asked), *stronger = effort.attacks.items()
    what, best = max(stronger, key=lambda entry: mean_loss(entry[1]))
    return mean_loss(best) - mean_loss(asked), what


def _signless(strength: Strength) -> str:
    radii = ", ".join(f"{radius:.3g}: {percent(robust_accuracy(one))}" for radius, one in strength.by_epsilon.items())
    return f"No sign. Robust accuracy by epsilon: {radii}; L∞ 0.5: {percent(robust_accuracy(strength.grey))}."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."

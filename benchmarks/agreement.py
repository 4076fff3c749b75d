"""Whether the two sides of a contest compute the same."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from contests import Contest, naive_loop
from subjects import Disagreement

from landscape.attacks.pgd import input_gradient
from landscape.protocols import Measurement
from landscape.weights import Weights, bind, displaced, parameters_of

GRADIENT_BAR, LOSS_BAR = 1e-5, 1e-3


@dataclass(frozen=True, kw_only=True)
class GradientDifference:
    """How far the two sides' input gradients are apart.

    Attributes:
        double: in double precision, the largest over examples and points.
        single: in single precision, the median over them.
        kinks: in single precision, how many are beyond the bar.
    """

    double: float
    single: float
    kinks: int


def compare_gradients(contest: Contest, direction: Weights) -> GradientDifference:
    """Compare the two sides' input gradients at some points; each example is taken relative to its largest entry.

    In double precision every example must agree. In single precision the median must: an activation whose sign is
    decided by rounding moves a whole piece of one example's gradient, on either side, and no bar can hold there.
    """
    double = _differences(replace(contest, model=copy.deepcopy(contest.model).double()), direction, torch.float64)
    single = _differences(contest, direction, torch.float32)
    found = GradientDifference(
        double=float(double.max()), single=float(single.median()), kinks=int((single > GRADIENT_BAR).sum())
    )
    if not max(found.double, found.single) <= GRADIENT_BAR:
        raise Disagreement(f"{contest.case}: input gradients differ, bar {GRADIENT_BAR:g}: {found}.")
    return found


def _differences(contest: Contest, direction: Weights, dtype: torch.dtype) -> torch.Tensor:
    """Largest difference of the two sides' input gradients of each example, relative to its largest entry."""
    direction = {name: part.to(dtype) for name, part in direction.items()}
    naive = naive_loop(contest, direction)
    rows = slice(0, contest.batch_size)  # the package goes other ways back with few examples
    inputs = (contest.examples.inputs[rows] + naive.starts[rows]).clamp(0, 1).to(dtype)
    labels = contest.examples.labels[rows]
    center = parameters_of(contest.model)
    differences = []
    for alpha in contest.alphas[:: max(1, len(contest.alphas) // 3)]:
        naive.move(alpha)
        theirs = naive.input_gradient(inputs, labels) * len(labels)  # of the sum over the batch, as ours
        ours = input_gradient(bind(contest.model, displaced(center, (alpha, direction))), inputs, labels)
        largest = theirs.abs().flatten(1).amax(dim=1).clamp_min(1e-30)
        differences.append((ours - theirs).abs().flatten(1).amax(dim=1) / largest)
    return torch.cat(differences)


def compare_losses(
    contest: Contest, ours: Iterable[Sequence[Measurement]], theirs: Sequence[tuple[float, float]]
) -> float:
    """Largest relative difference of the mean losses, adversarial and clean, over all points and ways of ours."""
    worst = 0.0
    nodes = contest.alphas * contest.num_directions
    for alpha, mine, plain in [triple for way in ours for triple in zip(nodes, way, theirs, strict=True)]:
        means = mine.adversarial_loss.mean(dtype="float64"), mine.clean_loss.mean(dtype="float64")
        for name, mean, other in zip(("adversarial", "clean"), means, plain, strict=True):
            difference = abs(mean - other) / abs(other)
            if not difference <= LOSS_BAR:
                text = f"{contest.case}: mean {name} losses at {alpha:g} differ by {difference:.2e}: {mean}, {other}."
                raise Disagreement(text)
            worst = max(worst, float(difference))
    return worst

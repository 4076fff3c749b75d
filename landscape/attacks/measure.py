"""The one measurement: what a model, given as a function, does on examples under an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from landscape.errors import InputError
from landscape.losses import cross_entropy
from landscape.protocols import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from landscape.protocols import Attack, ExampleLoss, Forward


@torch.no_grad()
def measure(
    forward: Forward,
    inputs: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    starts: Tensor | None = None,
    batch_size: int | None = None,
    loss: ExampleLoss | None = None,
) -> Measurement:
    """Losses and correctness of every example, on itself and under the attack made anew on this very function.

    With R restarts the adversarial loss is the largest of R and an example counts as correct only if it is correct
    after every restart. Which loss is measured changes neither the attack nor who is correct. The device is asked for
    results once, at the end.

    Args:
        forward: inputs (B, C, H, W) in [0, 1] -> logits (B, K).
        inputs: (n, C, H, W) in [0, 1], on the device of `forward`.
        labels: (n,) int64, on the same device.
        attack: makes the adversarial examples.
        starts: (R, n, C, H, W) starting perturbations on the same device, from `attack.starts`; None without.
        batch_size: examples in one batch; all by default.
        loss: of the logits of the examples and of their adversarial ones; the cross-entropy of the latter, in nats, by
            default. The clean loss takes the clean logits for both.

    Raises:
        InputError: no examples, or shapes that do not fit.
    """
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise InputError(
            f"a measurement needs as many labels as inputs and at least one, got {len(inputs)}, {len(labels)}."
        )
    size = batch_size or len(inputs)
    batches = []
    for first in range(0, len(inputs), size):
        rows = slice(first, first + size)
        batch_starts = None if starts is None else starts[:, rows]
        batches.append(
            _measure_batch(forward, inputs[rows], labels[rows], attack, batch_starts, loss or _cross_entropy)
        )
    columns = [torch.cat(column).cpu().numpy() for column in zip(*batches, strict=True)]
    return Measurement(
        adversarial_loss=columns[0].astype(np.float32),
        clean_loss=columns[1].astype(np.float32),
        adversarial_correct=columns[2].astype(np.uint8),
        clean_correct=columns[3].astype(np.uint8),
    )


def averaged(draws: Sequence[Measurement]) -> Measurement:
    """One measurement of a model with noise from those of several draws: mean losses, and sums of the verdicts.

    Args:
        draws: at least one, of the same examples; of a model without noise there is one, which comes back as it is.
    """
    if len(draws) == 1:
        return draws[0]
    columns = {name: np.stack([draw.arrays()[name] for draw in draws]) for name in draws[0].arrays()}
    return Measurement(
        adversarial_loss=columns["adversarial_loss"].mean(axis=0, dtype=np.float64).astype(np.float32),
        clean_loss=columns["clean_loss"].mean(axis=0, dtype=np.float64).astype(np.float32),
        adversarial_correct=columns["adversarial_correct"].sum(axis=0).astype(np.uint8),
        clean_correct=columns["clean_correct"].sum(axis=0).astype(np.uint8),
    )


def _measure_batch(
    forward: Forward, inputs: Tensor, labels: Tensor, attack: Attack, starts: Tensor | None, loss: ExampleLoss
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clean = forward(inputs)
    clean_loss, clean_correct = loss(clean, clean, labels).float(), _correct(clean, labels)
    adversarial_loss = torch.full_like(clean_loss, -torch.inf)
    adversarial_correct = torch.ones_like(clean_correct)
    for adversarial in attack.restarts(forward, inputs, labels, starts):
        logits = forward(adversarial)
        adversarial_loss = torch.maximum(adversarial_loss, loss(clean, logits, labels).float())
        adversarial_correct &= _correct(logits, labels)
    return adversarial_loss, clean_loss, adversarial_correct, clean_correct


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    # A model whose logits are not numbers is right about nothing.
    return (logits.argmax(dim=1) == labels) & torch.isfinite(cross_entropy(logits, labels))


def _cross_entropy(clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits, labels)

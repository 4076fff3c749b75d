"""The one measurement: what a model, given as a function, does on examples under an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from landscape.errors import InputError
from landscape.losses import cross_entropy
from landscape.protocols import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import Attack, Forward


@torch.no_grad()
def measure(
    forward: Forward,
    inputs: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    starts: Tensor | None = None,
    batch_size: int | None = None,
) -> Measurement:
    """Losses and correctness of every example, on itself and under the attack made anew on this very function.

    With R restarts the adversarial loss is the largest of R and an example counts as correct only if it is correct
    after every restart. The loss is the cross-entropy in nats. The device is asked for results once, at the end.

    Args:
        forward: inputs (B, C, H, W) in [0, 1] -> logits (B, K).
        inputs: (n, C, H, W) in [0, 1], on the device of `forward`.
        labels: (n,) int64, on the same device.
        attack: makes the adversarial examples.
        starts: (R, n, C, H, W) starting perturbations on the same device, from `attack.starts`; None without.
        batch_size: examples in one batch; all by default.

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
        batches.append(_measure_batch(forward, inputs[rows], labels[rows], attack, batch_starts))
    columns = [torch.cat(column).cpu().numpy() for column in zip(*batches, strict=True)]
    return Measurement(
        adversarial_loss=columns[0].astype(np.float32),
        clean_loss=columns[1].astype(np.float32),
        adversarial_correct=columns[2].astype(np.uint8),
        clean_correct=columns[3].astype(np.uint8),
    )


def _measure_batch(
    forward: Forward, inputs: Tensor, labels: Tensor, attack: Attack, starts: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clean_loss, clean_correct = _outcome(forward, inputs, labels)
    adversarial_loss = torch.full_like(clean_loss, -torch.inf)
    adversarial_correct = torch.ones_like(clean_correct)
    for adversarial in attack.restarts(forward, inputs, labels, starts):
        loss, correct = _outcome(forward, adversarial, labels)
        adversarial_loss = torch.maximum(adversarial_loss, loss)
        adversarial_correct &= correct
    return adversarial_loss, clean_loss, adversarial_correct, clean_correct


def _outcome(forward: Forward, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = forward(inputs)
    loss = cross_entropy(logits, labels).float()
    # A model whose logits are not numbers is right about nothing.
    correct = (logits.argmax(dim=1) == labels) & torch.isfinite(loss)
    return loss, correct

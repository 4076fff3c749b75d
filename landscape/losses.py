"""Losses, one number for each example; means are taken by the reader, never here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy -log softmax(z)_y of each example, in nats.

    Args:
        logits: (B, K) z.
        labels: (B,) int64 y in [0, K).

    Returns:
        (B,) non-negative losses.
    """
    return F.cross_entropy(logits, labels, reduction="none")

"""Losses, one number for each example; means are taken by the reader, never here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy -log softmax(z)_y of each example, in nats.

    Args:
        logits: (B, K) z.
        labels: (B,) int64 y in [0, K), or (B, K) probabilities of the classes.

    Returns:
        (B,) non-negative losses.
    """
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max_{k != y} z_k - z_y of each example, in units of logits: positive where the model is wrong.

    Args:
        logits: (B, K) z; K at least 2. Differences are taken in single precision at least.
        labels: (B,) int64 y in [0, K).

    Returns:
        (B,) margins of any sign.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = labels[:, None]
    return wide.scatter(1, own, -torch.inf).amax(dim=1) - wide.gather(1, own).squeeze(1)


def kl_divergence(logits: Tensor, other_logits: Tensor) -> Tensor:
    """KL(p || q) = sum_k p_k (log p_k - log q_k) of each example, in nats; p and q are the softmax of the logits.

    Gradients flow through both.

    Args:
        logits: (B, K) of p.
        other_logits: (B, K) of q.

    Returns:
        (B,) non-negative divergences.
    """
    log_p, log_q = F.log_softmax(logits, dim=1), F.log_softmax(other_logits, dim=1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def trades(logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, beta: float) -> Tensor:
    """CE(f(x), y) + beta KL(f(x) || f(x')) of each example (Zhang et al. 2019), in nats.

    Nothing is detached: as in the reference, the divergence pulls on the clean logits as well.

    Args:
        logits: (B, K) f(x), of the clean examples.
        adversarial_logits: (B, K) f(x').
        labels: as in `cross_entropy`.
        beta: weight of the divergence, at least 0.

    Returns:
        (B,) losses.
    """
    return cross_entropy(logits, labels) + beta * kl_divergence(logits, adversarial_logits)


def mart(logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, weight: float) -> Tensor:
    """Boosted cross-entropy + lambda times a weighted divergence of each example (Wang et al. 2020), in nats.

    With p = softmax(f(x)), p' = softmax(f(x')) and m the most probable wrong class under p':

        CE(f(x'), y) - log(1.0001 - p'_m + 1e-12) + lambda (1.0000001 - p_y) sum_k p_k (log p_k - log(p'_k + 1e-12))

    with the constants of the reference; nothing is detached.

    Args:
        logits: (B, K) f(x), of the clean examples; K at least 2.
        adversarial_logits: (B, K) f(x').
        labels: (B,) int64 in [0, K).
        weight: lambda, at least 0.

    Returns:
        (B,) losses.
    """
    clean, adversarial = F.softmax(logits, dim=1), F.softmax(adversarial_logits, dim=1)
    own = labels[:, None]
    wrong = adversarial.detach().scatter(1, own, -torch.inf).argmax(dim=1, keepdim=True)
    margin = -torch.log(1.0001 - adversarial.gather(1, wrong) + 1e-12).squeeze(1)
    # torch's divergence of probabilities has no gradient where p_k rounds to 0.
    divergence = (clean * (F.log_softmax(logits, dim=1) - torch.log(adversarial + 1e-12))).sum(dim=1)
    uncertainty = 1.0000001 - clean.gather(1, own).squeeze(1)
    return cross_entropy(adversarial_logits, labels) + margin + weight * divergence * uncertainty

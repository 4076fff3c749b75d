"""Learning rates as functions of t, the epochs done when the current batch will be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Schedule = Callable[[float, int, float], float]
"""(t, E, lr) -> learning rate; t in (0, E], E epochs in all, lr the largest rate."""


def piecewise(t: float, num_epochs: int, lr: float) -> float:
    """lr while t / E < 0.5, lr / 10 while t / E < 0.75, then lr / 100."""
    if t / num_epochs < 0.5:
        return lr
    return lr / 10 if t / num_epochs < 0.75 else lr / 100


def constant(t: float, num_epochs: int, lr: float) -> float:
    """The same rate from first to last."""
    return lr


SCHEDULES: Mapping[str, Schedule] = {"piecewise": piecewise, "constant": constant}


def time_of(epoch: int, batch: int, num_batches: int) -> float:
    """t = epoch + (batch + 1) / num_batches, both counted from 0.

    The 1 makes the last batch of an epoch belong to the next one, as in the reference: with 100 epochs, the last batch
    of the 50th already runs at the lower rate.
    """
    return epoch + (batch + 1) / num_batches


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr

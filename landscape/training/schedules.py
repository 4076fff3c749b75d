"""Learning rates as functions of t, the epochs done when the current batch will be."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from landscape.training.config import Settings

Schedule = Callable[[float, int, float], float]
"""(t, E, lr) -> learning rate; t in (0, E], E epochs in all, lr the largest rate."""


def piecewise(t: float, num_epochs: int, lr: float) -> float:
    """lr while t / E < 0.5, lr / 10 while t / E < 0.75, then lr / 100."""
    return _drops(t / num_epochs, lr, 0.5, 0.75)


def piecewise_epoch(t: float, num_epochs: int, lr: float) -> float:
    """The drops of `piecewise`, asked once an epoch with its number from 1: TRADES-AWP's 0.01 in epochs 100 to 149."""
    return _drops(math.ceil(t) / num_epochs, lr, 0.5, 0.75)


def piecewise_late(t: float, num_epochs: int, lr: float) -> float:
    """lr while t / E < 0.75, lr / 10 while t / E < 0.9, then lr / 100: 75 and 90 of the AWP draft's 100 epochs."""
    return _drops(t / num_epochs, lr, 0.75, 0.9)


def cosine(t: float, num_epochs: int, lr: float) -> float:
    """lr (1 + cos(pi t / E)) / 2."""
    return 0.5 * lr * (1 + math.cos(math.pi * t / num_epochs))


def cosine_epoch(t: float, num_epochs: int, lr: float) -> float:
    """`cosine` at the beginning of the epoch, for all of its batches: the schedule of RST."""
    return cosine(math.ceil(t) - 1, num_epochs, lr)


def cyclic(t: float, num_epochs: int, lr: float) -> float:
    """From 0 to lr at 0.4 E, then to 0 at E."""
    return interpolated(t, (0.0, 0.4 * num_epochs, num_epochs), (0.0, lr, 0.0))


def superconverge(t: float, num_epochs: int, lr: float) -> float:
    """From 0 to lr at floor(2 E / 5), then to 0 at E; that is `cyclic` where 5 divides E."""
    return interpolated(t, (0, num_epochs * 2 // 5, num_epochs), (0.0, lr, 0.0))


def linear(t: float, num_epochs: int, lr: float) -> float:
    """Interpolated between lr, lr, lr / 10, lr / 100 at 0, floor(E / 3), floor(2 E / 3), E."""
    nodes = (0, num_epochs // 3, num_epochs * 2 // 3, num_epochs)
    return interpolated(t, nodes, (lr, lr, lr / 10, lr / 100))


def onedrop(t: float, num_epochs: int, lr: float, *, drop_epoch: int = 100, dropped: float = 0.01) -> float:
    """lr until t reaches `drop_epoch`, then `dropped`."""
    return dropped if t >= drop_epoch else lr


def multipledecay(t: float, num_epochs: int, lr: float) -> float:
    """lr minus a tenth of it for every full floor(E / 10) epochs, not below 0; at least 10 epochs.

    The very last batch gets 0 where 10 divides E, as in the reference; where it does not, the reference's rate would be
    negative in the last epochs.
    """
    return max(0.0, lr - math.floor(t / (num_epochs // 10)) * lr / 10)


def constant(t: float, num_epochs: int, lr: float) -> float:
    """The same rate from first to last."""
    return lr


SCHEDULES: Mapping[str, Schedule] = {
    "piecewise": piecewise,
    "piecewise-epoch": piecewise_epoch,
    "piecewise-late": piecewise_late,
    "cosine": cosine,
    "cosine-epoch": cosine_epoch,
    "cyclic": cyclic,
    "superconverge": superconverge,
    "linear": linear,
    "onedrop": onedrop,
    "multipledecay": multipledecay,
    "constant": constant,
}


def schedule_of(settings: Settings) -> Callable[[float], float]:
    """The learning rate of a run as a function of t alone."""
    schedule = SCHEDULES[settings.schedule]
    if settings.lr_drop_epoch is not None and settings.lr_one_drop is not None:
        schedule = functools.partial(onedrop, drop_epoch=settings.lr_drop_epoch, dropped=settings.lr_one_drop)
    return lambda t: schedule(t, settings.epochs, settings.lr)


def ramp(t: float, num_epochs: int) -> float:
    """min(1, t / N): the share of epsilon that a run has reached at t, where it grows over the first N epochs."""
    return min(1.0, t / num_epochs) if num_epochs else 1.0


def interpolated(t: float, nodes: tuple[float, ...], values: tuple[float, ...]) -> float:
    """The piecewise linear function through (node, value); of nodes that coincide, in short runs, the last counts."""
    for left, right, start, stop in zip(nodes, nodes[1:], values, values[1:], strict=False):
        if left <= t < right:
            return start + (stop - start) * (t - left) / (right - left)
    return values[-1]


def time_of(epoch: int, batch: int, num_batches: int) -> float:
    """t = epoch + (batch + 1) / num_batches, both counted from 0.

    The 1 makes the last batch of an epoch belong to the next one, as in the reference: with 100 epochs, the last batch
    of the 50th already runs at the lower rate.
    """
    return epoch + (batch + 1) / num_batches


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of every parameter group; the reference forgets all but the first."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _drops(share: float, lr: float, first: float, second: float) -> float:
    if share < first:
        return lr
    return lr / 10 if share < second else lr / 100

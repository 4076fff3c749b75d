"""Which examples of a batch count, by their loss: the loss stationary condition of the RWP paper (Yu et al. 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LossRange:
    """Examples whose loss lies from `low` to `high`.

    Attributes:
        low: smallest loss in nats, included.
        high: largest loss, above `low`; included only if `closed`.
        closed: the paper's Algorithm 1 includes c_min, the reference implementation does not.

    Raises:
        InputError: the range is empty.
    """

    low: float = 0.0
    high: float = math.inf
    closed: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or math.isinf(self.low):
            raise InputError(f"a range of losses goes from a number to a larger one, got {self.low}:{self.high}.")

    def select(self, losses: Tensor) -> Tensor:
        """(B,) bool for losses (B,); a loss that is not a number is in no range."""
        below = losses <= self.high if self.closed else losses < self.high
        return (losses >= self.low) & below


def parse_loss_range(text: str) -> LossRange:
    """A range as users write it: `0:1.5`, or `1.5:inf`.

    Raises:
        InputError: it is no such range.
    """
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return LossRange(low=float(low), high=float(high))
    except ValueError as error:  # InputError is one
        raise InputError(f"a range of losses is written 0:1.5, from small to large, got {text!r}.") from error

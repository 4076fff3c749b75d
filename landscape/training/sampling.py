"""Which examples an epoch's batches hold, as rows of the training set; a function of seed and epoch alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from landscape.randomness import Stream, permutation

_FIRST, _SECOND = 0, 1


class Sampling(Protocol):
    """The batches of an epoch."""

    @property
    def num_batches(self) -> int:
        """Updates in an epoch."""
        ...

    def batches(self, epoch: int) -> list[Tensor]:
        """Rows (B,) int64 of each batch, on the CPU; `epoch` from 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """Every example once, in a new order in each epoch; the last batch may be smaller.

    Attributes:
        num_examples: n, at least 1.
        batch_size: at least 1.
        seed: of the run.
    """

    num_examples: int
    batch_size: int
    seed: int

    @property
    def num_batches(self) -> int:
        """Updates in an epoch."""
        return -(-self.num_examples // self.batch_size)

    def batches(self, epoch: int) -> list[Tensor]:
        """Parts of one permutation."""
        order = permutation(self.num_examples, seed=self.seed, stream=Stream.SHUFFLE, a=epoch)
        return list(torch.split(torch.from_numpy(order), self.batch_size))


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Half of each batch from a first set, half from a second one whose rows follow the first's.

    An epoch is one pass over the first set: the second gives as many examples, its first ones in a new order in each
    epoch, again and again if it is smaller. (The reference of RST calls half of such a pass an epoch and draws from the
    second set with replacement.)

    Attributes:
        num_first: size of the first set, at least 1.
        num_second: size of the second set, at least 1.
        batch_size: at least 2; of an odd one the first set gives one example more.
        seed: of the run.
    """

    num_first: int
    num_second: int
    batch_size: int
    seed: int

    @property
    def num_batches(self) -> int:
        """Updates in an epoch."""
        return -(-self.num_first // self._halves[0])

    def batches(self, epoch: int) -> list[Tensor]:
        """Rows of the first set, then rows of the second."""
        first, second = self._halves
        orders = [
            permutation(count, seed=self.seed, stream=Stream.SHUFFLE, a=epoch, b=b)
            for count, b in ((self.num_first, _FIRST), (self.num_second, _SECOND))
        ]
        rows = []
        for index in range(self.num_batches):
            ours = orders[0][index * first : (index + 1) * first]
            share = max(1, len(ours) * second // first)
            theirs = orders[1][np.arange(index * second, index * second + share) % self.num_second]
            rows.append(torch.from_numpy(np.concatenate([ours, self.num_first + theirs])))
        return rows

    @property
    def _halves(self) -> tuple[int, int]:
        return self.batch_size - self.batch_size // 2, self.batch_size // 2

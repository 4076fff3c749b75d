"""The processes that train one model together, from the side of one of them; alone there is nothing to exchange.

Each has a replica of the model and a part of every batch. What depends on examples is summed where it is made, so that
all replicas take the same step; the first process alone touches files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


class Processes:
    """One process, alone: every tensor is given back as it is. `process_group.py` has the others.

    Attributes:
        rank: 0 for the first process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> tuple[Tensor, bool]:
        """Which of `count` examples this process takes, every `size`-th one, as positions (n,) on the CPU.

        A process for which nothing is left borrows the first example, so that it makes the same calls as the others;
        the second value then is True, and the example has to count for nothing.
        """
        return torch.arange(count), False

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums over all processes; all get the same bits.

        Args:
            tensors: of floats, of the same shapes in every process, on one device.
        """
        return list(tensors)

    def any(self, answer: bool) -> bool:
        """Whether one process says yes."""
        return answer

    def first(self, do: Callable[[], T]) -> T:
        """What `do` gives, which the first process alone calls; its known failures are failures of all."""
        return do()

    def each(self, do: Callable[[], T]) -> T:
        """What `do` gives in this process, after the first one has done it; a known failure of one fails all."""
        return do()

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in their order."""
        return [value]

    def share(self, model: nn.Module, *, parameters: bool = False) -> None:
        """Overwrite the buffers of all replicas, and their parameters if asked for, by those of the first process."""


ALONE = Processes()

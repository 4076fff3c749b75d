"""Which noise each pass of an update has: the `-pni` of a method's name."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from landscape.models.noisy import NoiseName, set_noise

if TYPE_CHECKING:
    from torch import nn


class Noise(Protocol):
    """Says which noise the passes of the live model have, for the block of one update."""

    def renewed(self, model: nn.Module, *, epoch: int, batch: int) -> contextlib.AbstractContextManager[None]:
        """Enter the block.

        Args:
            model: the live model.
            epoch: epochs finished so far, from 0.
            batch: batches of this epoch finished so far, from 0.
        """
        ...


class NoNoise:
    """The model has none."""

    def renewed(self, model: nn.Module, *, epoch: int, batch: int) -> contextlib.AbstractContextManager[None]:
        """Nothing happens."""
        return contextlib.nullcontext()


@dataclass(frozen=True, kw_only=True)
class RenewedNoise:
    """New noise in every pass, the steps of the attack included, as the reference of He et al. (2019) draws it.

    It is a function of (seed, epoch, batch, number of the pass in the update, layer), so that a resumed run has the
    noise of an uninterrupted one.

    Attributes:
        seed: of the run.
    """

    seed: int = 0

    @contextlib.contextmanager
    def renewed(self, model: nn.Module, *, epoch: int, batch: int) -> Iterator[None]:
        """Every pass of `model` within the block has noise of its own."""
        passes = itertools.count()

        def renew(module: nn.Module, arguments: Any) -> None:
            set_noise(module, NoiseName(seed=self.seed, draw=batch + (next(passes) << 32), epoch=1 + epoch))

        # Registered for the block alone: copies of the model that are measured must not renew theirs.
        handle = model.register_forward_pre_hook(renew)
        try:
            yield
        finally:
            handle.remove()

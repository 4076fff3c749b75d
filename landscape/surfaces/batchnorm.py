"""By which statistics BatchNorm normalizes at displaced weights: the checkpoint's, re-estimated, or each batch's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import InputError
from landscape.names import BATCHNORM_POLICIES, BATCHNORM_SOURCES
from landscape.randomness import Stream, permutation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from landscape.protocols import Attack
    from landscape.weights import ResidentModel

BATCH_SIZE = 128
"""Examples whose statistics are taken together, unless the caller says otherwise."""


@runtime_checkable
class BatchNormPolicy(Protocol):
    """What a sweep does about BatchNorm's statistics; on its private copy, never on the caller's model."""

    def settings(self) -> str | dict[str, Any]:
        """What determines the statistics, as plain JSON values; part of a surface's key."""
        ...

    def require(self, model: nn.Module, num_examples: int, *, attacked: bool) -> None:
        """Refuse, by an `InputError`, a model or examples for which the policy makes no sense."""
        return

    def order(self, num_examples: int) -> npt.NDArray[np.int64] | None:
        """In which order the examples fill the batches; None where that does not matter."""
        return None

    def batch_size(self, num_examples: int) -> int | None:
        """The batches in which a sweep has to measure; None leaves the choice to it."""
        return None

    def prepare(self, model: ResidentModel) -> None:
        """Change the private copy once, before anything is measured."""
        return

    def examples(
        self, model: ResidentModel, inputs: Tensor, labels: Tensor, attack: Attack, starts: Tensor | None
    ) -> Tensor:
        """What the statistics are estimated from at the present weights, (n, C, H, W) in [0, 1], in order."""
        return inputs

    def settle(self, model: ResidentModel, examples: Tensor) -> None:
        """Give the private copy the statistics that belong to its present weights."""
        return

    def num_passes(self, num_steps: int) -> int:
        """Passes of one example at one point for the statistics; `num_steps` of the attack on displaced models."""
        return 0


@dataclass(frozen=True)
class FrozenStatistics(BatchNormPolicy):
    """The checkpoint's running statistics at every point; no buffer ever moves."""

    def settings(self) -> str:
        """Its name."""
        return "frozen"


@dataclass(frozen=True, kw_only=True)
class _StatisticsOfBatches(BatchNormPolicy):
    """What both policies share that look at batches.

    The examples fill equal batches in an order that `seed` names, so that examples which come sorted by class do not
    make batches of one class.
    """

    largest_batch: int = BATCH_SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.largest_batch < 2:
            raise InputError(f"the statistics of a batch need at least 2 examples, got {self.largest_batch}.")

    def require(self, model: nn.Module, num_examples: int, *, attacked: bool) -> None:
        """Refuse a model without running statistics, and an example that would be alone in its batch."""
        if not _layers(model):
            raise InputError(
                "the model has no BatchNorm layer with running statistics, so there is nothing to do about them; take "
                "the policy frozen."
            )
        if num_examples < 2 or num_examples % self._size(num_examples) == 1:
            raise InputError(
                f"{num_examples} examples in batches of {self._size(num_examples)} leave one alone, and the statistics "
                "of a batch need at least 2; take other batches or examples."
            )

    def order(self, num_examples: int) -> npt.NDArray[np.int64]:
        """By the seed."""
        return permutation(num_examples, seed=self.seed, stream=Stream.BATCHNORM)

    def _size(self, num_examples: int) -> int:
        """Examples in a batch; the last batch may have a few less."""
        return math.ceil(num_examples / math.ceil(num_examples / self.largest_batch))

    def _batches(self) -> dict[str, Any]:
        return {"batch_size": self.largest_batch, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class ReestimatedStatistics(_StatisticsOfBatches):
    """Running statistics re-estimated at every point over all measured examples, and frozen for the measurement there.

    They are the averages of the batches' means and of their unbiased variances, each batch counting by its size. The
    stored statistics play no part.

    Attributes:
        source: `clean` estimates from the examples themselves; `adversarial` from examples that the attack makes on the
            displaced model from its first start, each batch normalized by its own statistics, as in training.
        largest_batch: examples in one batch, at most; at least 2.
        seed: names the order of the examples.

    Raises:
        InputError: an unknown source, or a batch of less than 2.
    """

    source: str = "clean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in BATCHNORM_SOURCES:
            raise InputError(f"statistics come from {' or '.join(BATCHNORM_SOURCES)} examples, got {self.source!r}.")

    def settings(self) -> dict[str, Any]:
        """Name, source, batches and order."""
        return {"name": "reestimate", "source": self.source, **self._batches()}

    def require(self, model: nn.Module, num_examples: int, *, attacked: bool) -> None:
        """Refuse adversarial examples without an attack, too."""
        super().require(model, num_examples, attacked=attacked)
        if self.source == "adversarial" and not attacked:
            raise InputError("statistics of adversarial examples need an attack; take those of clean ones.")

    def examples(
        self, model: ResidentModel, inputs: Tensor, labels: Tensor, attack: Attack, starts: Tensor | None
    ) -> Tensor:
        """The inputs, or adversarial ones."""
        if self.source == "clean":
            return inputs
        made, size = [], self._size(len(inputs))
        with _own_statistics(model):
            for first in range(0, len(inputs), size):
                rows = slice(first, first + size)
                start = None if starts is None else starts[:1, rows]
                made.append(next(attack.restarts(model.plainly, inputs[rows], labels[rows], start)))
        return torch.cat(made)

    @torch.no_grad()
    def settle(self, model: ResidentModel, examples: Tensor) -> None:
        """Pass the batches through with BatchNorm alone in training mode."""
        layers, seen = _layers(model.module), 0
        for layer in layers:
            layer.reset_running_stats()
            layer.train()
        for batch in torch.split(examples, self._size(len(examples))):
            seen += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / seen
            model.plainly(batch)
        for layer in layers:
            layer.eval()

    def num_passes(self, num_steps: int) -> int:
        """One, and those of the attack's first start where adversarial examples are made."""
        return 1 + 2 * num_steps * (self.source == "adversarial")


@dataclass(frozen=True, kw_only=True)
class BatchStatistics(_StatisticsOfBatches):
    """The statistics of each batch itself, in every pass of attack and measurement; no buffer ever moves.

    An example's loss then depends on the others in its batch, and the attack on all of them together.

    Attributes:
        largest_batch: examples in one batch, at most; at least 2.
        seed: names the order of the examples.

    Raises:
        InputError: a batch of less than 2.
    """

    def settings(self) -> dict[str, Any]:
        """Name, batches and order."""
        return {"name": "batch", **self._batches()}

    def batch_size(self, num_examples: int) -> int:
        """The batches that are normalized together."""
        return self._size(num_examples)

    def prepare(self, model: ResidentModel) -> None:
        """Take the running statistics away, without which a layer uses those of the batch."""
        for layer in _layers(model.module):
            layer.running_mean = layer.running_var = None


def find_policy(
    policy: str | BatchNormPolicy, *, source: str | None = None, largest_batch: int | None = None, seed: int = 0
) -> BatchNormPolicy:
    """The policy that a name of `names.BATCHNORM_POLICIES` stands for.

    Args:
        policy: the name, or a policy itself.
        source: of a policy that re-estimates; `clean` by default.
        largest_batch: of a policy that looks at batches; `BATCH_SIZE` by default.
        seed: names the order of the examples.

    Raises:
        InputError: an unknown name or source, a batch of less than 2, or a setting that the policy does not have.
    """
    if not isinstance(policy, str) and isinstance(policy, BatchNormPolicy):
        return policy
    size = BATCH_SIZE if largest_batch is None else largest_batch
    if policy == "reestimate":
        return ReestimatedStatistics(source=source or "clean", largest_batch=size, seed=seed)
    if source is not None:
        raise InputError(f"only re-estimated statistics have a source, got the policy {policy!r} with {source!r}.")
    if policy == "batch":
        return BatchStatistics(largest_batch=size, seed=seed)
    if policy != "frozen":
        raise InputError(f"a BatchNorm policy is one of {', '.join(BATCHNORM_POLICIES)}, got {policy!r}.")
    if largest_batch is not None:
        raise InputError(f"frozen statistics have no batches, got {largest_batch}; take reestimate or batch.")
    return FrozenStatistics()


def _layers(model: nn.Module) -> list[_BatchNorm]:
    """The layers that have running statistics."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    return [layer for layer in layers if layer.running_mean is not None]


@contextmanager
def _own_statistics(model: ResidentModel) -> Iterator[None]:
    """Normalize each batch by its own statistics within the block; the buffers are the same before and after."""
    kept = [(layer, layer.running_mean, layer.running_var) for layer in _layers(model.module)]
    try:
        for layer, _, _ in kept:
            layer.running_mean = layer.running_var = None
        yield
    finally:
        for layer, mean, variance in kept:
            layer.running_mean, layer.running_var = mean, variance

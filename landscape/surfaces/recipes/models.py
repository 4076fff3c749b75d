"""What recipes that look at models share: modules of checkpoints, and results that are worth keeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from landscape.checkpoints import Checkpoint
from landscape.weights import Weights, digest_weights

if TYPE_CHECKING:
    from torch import nn

Result = TypeVar("Result")


def module_of(model: nn.Module | Checkpoint) -> nn.Module:
    """The module that takes inputs in [0, 1]."""
    return model.model if isinstance(model, Checkpoint) else model


def name_of(model: nn.Module | Checkpoint) -> str:
    """What figures call a model."""
    return model.name if isinstance(model, Checkpoint) else type(model).__name__


class Remembered(Generic[Result]):
    """A function of weights that keeps its last result: directions of one centre are asked for one after another."""

    def __init__(self, function: Callable[[Weights], Result]) -> None:
        self._function = function
        self._last: tuple[str, Result] | None = None

    def __call__(self, weights: Weights) -> Result:
        digest = digest_weights(weights)
        if self._last is None or self._last[0] != digest:
            self._last = digest, self._function(weights)
        return self._last[1]

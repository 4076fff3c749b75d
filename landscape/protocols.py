"""Values and interfaces that cross several rooms. Imports numpy only: stored surfaces are read without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    Forward = Callable[[Tensor], Tensor]
    """A model as a function: inputs (B, C, H, W) in [0, 1] to logits (B, K)."""

    ExampleLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
    """Logits (B, K) of the clean examples, logits (B, K) of those that are judged, labels (B,): losses (B,)."""

Moves = Mapping[int, float]
"""A displacement: the coefficient of each direction, by its index."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one model does on n examples, one number for each example.

    Attributes:
        adversarial_loss: (n,) float32, loss on the adversarial example; the largest over restarts.
        clean_loss: (n,) float32, loss on the example itself.
        adversarial_correct: (n,) uint8, 1 where the model is right on the adversarial examples of all restarts.
        clean_correct: (n,) uint8, 1 where the model is right on the example itself.

    Of a model with noise the losses are means over draws of the noise, and the other two say in how many draws it is
    right.
    """

    adversarial_loss: npt.NDArray[np.float32]
    clean_loss: npt.NDArray[np.float32]
    adversarial_correct: npt.NDArray[np.uint8]
    clean_correct: npt.NDArray[np.uint8]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The four arrays by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def finite(self) -> bool:
        """Whether every loss is a finite number."""
        return bool(np.isfinite(self.adversarial_loss).all() and np.isfinite(self.clean_loss).all())

    def __len__(self) -> int:
        return len(self.clean_loss)


@runtime_checkable
class Attack(Protocol):
    """Anything that makes adversarial examples on a model given as a function.

    A user's own attack implements these three members; randomness enters through `starts` alone, so that the same
    examples, seed and restart give the same start in any batch, on any device.
    """

    def settings(self) -> Mapping[str, Any]:
        """Everything that determines the attack's result, as plain JSON values; part of a surface's key."""
        ...

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Starting perturbations (restarts, n, C, H, W) of the examples `ids` (n,); None if the attack has none."""
        ...

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs (n, C, H, W) in [0, 1], once for each restart."""
        ...


@runtime_checkable
class DirectionRecipe(Protocol):
    """Anything that gives directions in weight space, from the weights that they start at."""

    def settings(self) -> Mapping[str, Any]:
        """Everything that determines the directions beside the weights, as plain JSON values; part of a surface's key.

        `kind` names the kind of direction.
        """
        ...

    def moving(self, weights: dict[str, Tensor]) -> list[str]:
        """The names of the parameters that move; raises an `InputError` if none does, or if the recipe does not fit."""
        ...

    def direction(self, weights: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        """Direction `index` at `weights`, on their device; names that do not move are left out."""
        ...


@runtime_checkable
class StateRecipe(DirectionRecipe, Protocol):
    """A recipe whose lines and planes pass through other models: it gives whole states, running statistics too."""

    def require_states(self, center: Mapping[str, Tensor], corners: Sequence[Moves]) -> None:
        """Raise an `InputError` if other models do not fit `center`, or if a state between `corners` makes no sense.

        Args:
            center: parameters and buffers of the undisplaced model, on the CPU.
            corners: the outermost displacements.
        """
        ...

    def state(self, center: Mapping[str, Tensor], moves: Moves) -> Mapping[str, Tensor]:
        """Parameters and buffers at a displacement, on the CPU; at another model exactly that model's."""
        ...


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """Another model that a surface shows.

    Attributes:
        name: what figures call it.
        position: where it lies, or is projected to, along as many directions as were asked for.
        model: a `torch.nn.Module`.
    """

    name: str
    position: tuple[float, ...]
    model: Any


@runtime_checkable
class Remarkable(Protocol):
    """A recipe with more to say than its directions; what it says is kept beside the surface, outside the key."""

    def facts(self, weights: dict[str, Tensor], count: int) -> Mapping[str, Any]:
        """What people should know about the first `count` directions at `weights`, as plain JSON values."""
        ...

    def landmarks(self, weights: dict[str, Tensor], count: int) -> Sequence[Landmark]:
        """Other models, with their positions along the first `count` directions."""
        ...

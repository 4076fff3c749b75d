"""Towards other checkpoints: a line through two models, a plane through three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import InputError
from landscape.protocols import Landmark
from landscape.relative_ball import total_norm
from landscape.surfaces.recipes.models import module_of, name_of
from landscape.weights import digest_weights, state_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.protocols import Moves
    from landscape.weights import Weights

VARIANCE = "running_var"
"""How torch's normalization layers call their running variance."""

PARALLEL = 1e-6
"""Part of a direction that must be left beside the other; less is rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Interpolation:
    """From the centre w towards other models w_k, weights and running statistics alike.

    A displacement t_k along direction k leads to (1 - sum_k t_k) w + sum_k t_k w_k. Where this is the centre or one of
    the models it is that model's state, loaded and not computed. The models' coordinates are 0 and 1: a line goes from
    w at 0 to w_1 at 1; a plane has w at (0, 0), w_1 at (1, 0) and w_2 at (0, 1).

    Attributes:
        others: the models w_k, of the same shape as the one at the centre; in eval mode they compute what is measured.
        orthogonal: replace each direction of odd number by its part orthogonal to the one before, over all parameters,
            scaled to its old length. The plane is the same, but its second model lies beside the axes.
    """

    others: Sequence[nn.Module | Checkpoint]
    orthogonal: bool = False

    def settings(self) -> dict[str, Any]:
        """The kind, and the content of the other models."""
        content = [digest_weights(module_of(other)) for other in self.others]
        return {"kind": "interpolation", "towards": content, **({"orthogonal": "model"} if self.orthogonal else {})}

    def moving(self, weights: Weights) -> list[str]:
        """The names of all parameters.

        Raises:
            InputError: there is no other model, or one has other parameters.
        """
        if not self.others:
            raise InputError("an interpolation needs at least one other model, got none.")
        for other, state in zip(self.others, self._states, strict=True):
            _require_same_shapes(weights, state, name_of(other), complete=False)
        return list(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        """w_k - w, or its orthogonal part, of the parameters alone.

        Raises:
            InputError: there are not so many models.
        """
        direction = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for other, share in self._shares(weights, {index: 1.0}).items():
            for name, part in self._towards(weights, other).items():
                direction[name] = direction[name] + share * part
        return direction

    def require_states(self, center: Mapping[str, Tensor], corners: Sequence[Moves]) -> None:
        """Refuse models that do not fit, and displacements at which a running variance is negative.

        A variance is an affine function of the displacement, so that looking at the corners is enough.

        Raises:
            InputError: as said.
        """
        for other, state in zip(self.others, self._states, strict=True):
            _require_same_shapes(center, state, name_of(other), complete=True)
        variances = {name: tensor for name, tensor in center.items() if name.endswith(VARIANCE)}
        for moves in corners:
            for name, variance in self._mixture(variances, self._shares(center, moves)).items():
                if bool((variance < 0).any()):
                    at = ", ".join(f"{coefficient:g}" for coefficient in moves.values())
                    raise InputError(
                        f"the running variance {name} would be negative at t = {at}; stay closer to the range [0, 1]."
                    )

    def state(self, center: Mapping[str, Tensor], moves: Moves) -> Mapping[str, Tensor]:
        """Parameters and buffers at a displacement, computed in double precision and rounded once.

        What is not a floating-point number, such as a count of batches, is taken from the centre.

        Raises:
            InputError: there are not so many models.
        """
        return self._mixture(center, self._shares(center, moves))

    def facts(self, weights: Weights, count: int) -> dict[str, Any]:
        """How far the models lie from the centre, ||w_k - w|| over all parameters."""
        towards = [list(self._towards(weights, index).values()) for index in range(len(self.others))]
        return {"distances": [float(total_norm(direction)) for direction in towards]}

    def landmarks(self, weights: Weights, count: int) -> list[Landmark]:
        """The other models: each at 1 along its own direction, or beside it where that was made orthogonal."""
        return [
            Landmark(name=name_of(other), position=self._position(weights, index, count), model=module_of(other))
            for index, other in enumerate(self.others[:count])
        ]

    @cached_property
    def _states(self) -> tuple[Weights, ...]:
        states = (state_of(module_of(other)) for other in self.others)
        return tuple({name: tensor.cpu() for name, tensor in state.items()} for state in states)

    def _other(self, index: int) -> Weights:
        if index >= len(self.others):
            raise InputError(
                f"direction {index + 1} of an interpolation leads to another model, got {len(self.others)}; a line "
                "needs one other model and a plane two."
            )
        return self._states[index]

    def _towards(self, weights: Mapping[str, Tensor], index: int) -> Weights:
        """w_k - w of the parameters, in their own precision."""
        other = self._other(index)
        names = [name for name, _ in module_of(self.others[index]).named_parameters()]
        return {name: other[name] - weights[name].cpu() for name in names}

    def _shares(self, center: Mapping[str, Tensor], moves: Moves) -> dict[int, float]:
        """How much of each model a displacement holds, by number; those with nothing are left out."""
        shares: dict[int, float] = {}
        for index, t in moves.items():
            along, length = self._slant(center, index) if t != 0 else (0.0, 1.0)
            shares[index] = shares.get(index, 0.0) + t * length
            if along:
                shares[index - 1] = shares.get(index - 1, 0.0) - t * length * along
        return {index: share for index, share in shares.items() if share != 0}

    def _slant(self, center: Mapping[str, Tensor], index: int) -> tuple[float, float]:
        """(c, s) of e' = s (e - c d), orthogonal to the direction d before e and as long as e; (0, 1) if not asked."""
        if not self.orthogonal or index % 2 == 0:
            return 0.0, 1.0
        first, second = (_flat(self._towards(center, number)) for number in (index - 1, index))
        along = float(first @ second / (first @ first))
        rest = second - along * first
        if float(rest.norm()) <= PARALLEL * float(second.norm()):
            raise InputError("the models of a plane lie on one line; name another one.")
        return along, float(second.norm() / rest.norm())

    def _position(self, weights: Weights, index: int, count: int) -> tuple[float, ...]:
        along, length = self._slant(weights, index)
        position = [0.0] * count
        position[index] = 1.0 / length
        if along:
            position[index - 1] = along
        return tuple(position)

    def _mixture(self, center: Mapping[str, Tensor], shares: Mapping[int, float]) -> Mapping[str, Tensor]:
        if not shares:
            return center
        if list(shares.values()) == [1.0]:
            (index,) = shares
            return {name: self._other(index)[name] for name in center}
        return {name: self._mixed(name, tensor, shares) for name, tensor in center.items()}

    def _mixed(self, name: str, own: Tensor, shares: Mapping[int, float]) -> Tensor:
        if not own.is_floating_point():
            return own
        total = (1.0 - sum(shares.values())) * own.double()
        for index, share in shares.items():
            total += share * self._other(index)[name].double()
        return total.to(own.dtype)


def _require_same_shapes(
    center: Mapping[str, Tensor], other: Mapping[str, Tensor], title: str, *, complete: bool
) -> None:
    absent = [name for name in center if name not in other] + [
        name for name in other if complete and name not in center
    ]
    if absent:
        raise InputError(f"{title} is another network than the one at the centre: only one of them has {absent[0]}.")
    for name, tensor in center.items():
        if tensor.shape != other[name].shape:
            raise InputError(
                f"{title} is another network than the one at the centre: {name} is {tuple(other[name].shape)} there "
                f"and {tuple(tensor.shape)} here."
            )


def _flat(parts: Weights) -> Tensor:
    return torch.cat([part.reshape(-1).double() for part in parts.values()])

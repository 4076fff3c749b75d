"""How a private copy of a model behaves after `eval()`, told by what it does rather than by its flags alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from landscape.attacks.measure import measure
from landscape.attacks.pgd import input_gradient
from landscape.devices import arithmetic
from landscape.surfaces.evidence import Mode
from landscape.surfaces.rescaling import Rescaled, rescaled_copies
from landscape.weights import digest_weights, overwrites_inputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.protocols import Measurement
    from landscape.surfaces.plan import SurfacePlan

NUM_COMPARED = 16
"""Examples that are shown to the model one by one, beside in one batch."""


class PlainModel:
    """A deep copy of a plan's model in eval mode, evaluated without anything that the sweep is made of."""

    def __init__(self, plan: SurfacePlan) -> None:
        self._plan = plan
        self._callers = _state_of(plan.model), plan.examples.inputs.clone()
        self._model = copy.deepcopy(plan.model).eval().requires_grad_(False).to(plan.device)
        next(plan.settings.noise.of(self._model))  # the draw that the sweep begins with
        self._buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        self._inputs = plan.examples.inputs.to(plan.device, copy=True)
        self._labels = plan.examples.labels.to(plan.device)

    def measurement(self) -> Measurement:
        """Losses and correctness of the examples under the plan's attack."""
        plan, settings = self._plan, self._plan.settings
        starts = settings.attack.starts(plan.examples.ids, plan.examples.image_shape, seed=settings.seed)
        starts = None if starts is None else starts.to(plan.device)
        with arithmetic(settings.precision, plan.device):
            return measure(
                self._forward, self._inputs, self._labels, settings.attack, starts=starts, batch_size=plan.batch_size
            )

    def rescaled(self) -> tuple[list[Rescaled], str]:
        """Copies of the model with other weights and the same function, and why there is none."""
        return rescaled_copies(self._model, self._inputs[: self._plan.batch_size].clone())

    def zero_gradients(self) -> float:
        """Share in [0, 1] of the examples at which the input gradient of the loss is exactly zero."""
        num_zero = 0
        with arithmetic(self._plan.settings.precision, self._plan.device):
            for first in range(0, len(self._labels), self._plan.batch_size):
                rows = slice(first, first + self._plan.batch_size)
                gradient = input_gradient(self._forward, self._inputs[rows], self._labels[rows])
                num_zero += int((gradient == 0).flatten(1).all(dim=1).sum())
        return num_zero / len(self._labels)

    def mode(self) -> Mode:
        """What two calls, smaller batches, flags and buffers say, and whether the caller's own things changed."""
        few = self._inputs[:NUM_COMPARED]
        logits, again = self._logits(few), self._logits(few)
        alone = torch.cat([self._logits(one) for one in torch.split(few, 1)])
        buffers = dict(self._model.named_buffers())
        state, inputs = self._callers
        return Mode(
            training_modules=tuple(name or "the model" for name, part in self._model.named_modules() if part.training),
            changed_buffers=tuple(name for name, old in self._buffers.items() if not _same(old, buffers[name])),
            changed_caller=_state_of(self._plan.model) != state or not torch.equal(self._plan.examples.inputs, inputs),
            overwrites_inputs=overwrites_inputs(self._model, few),
            repeated_call=_relative(logits, again),
            batch_mates=_relative(logits, alone),
        )

    @torch.no_grad()
    def _logits(self, inputs: Tensor) -> Tensor:
        with arithmetic(self._plan.settings.precision, self._plan.device):
            return self._forward(inputs)

    def _forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self._model(inputs.clone())  # which the model may overwrite
        return logits


def _state_of(model: nn.Module) -> tuple[str, tuple[bool, ...], tuple[bool, ...]]:
    flags = tuple(part.training for part in model.modules())
    return digest_weights(model), flags, tuple(parameter.requires_grad for parameter in model.parameters())


def _same(old: Tensor, new: Tensor) -> bool:
    return torch.equal(old.nan_to_num(), new.nan_to_num()) if old.is_floating_point() else torch.equal(old, new)


def _relative(logits: Tensor, others: Tensor) -> float:
    """Largest difference as a share of the largest logit; infinite where a difference is not a number."""
    gap = float((logits - others).abs().max())
    size = float(logits.abs().max())
    if gap == 0.0:
        return 0.0
    return gap / size if gap == gap and size > 0 else float("inf")

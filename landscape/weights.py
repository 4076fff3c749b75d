"""Arithmetic on named weights, and the one place where a model becomes a function of its weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from landscape.errors import ModelError, first_line
from landscape.files import digest_arrays
from landscape.resident_layers import ResidentLayers

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import Forward

logger = logging.getLogger(__name__)

Weights = dict[str, "Tensor"]

NO_VIEW = "view size is not compatible"
"""How torch begins to say that a tensor's layout allows no `view` of the wanted shape."""


def parameters_of(model: nn.Module) -> Weights:
    """Copies of the parameters by name, in the order of `model.named_parameters()`, detached from autograd."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def state_of(model: nn.Module) -> Weights:
    """Copies of the parameters and of all buffers by name, detached: what a model computes with, in eval mode."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def digest_weights(model: nn.Module | Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes, dtypes and bytes of parameters and buffers: content only, never dates or places.

    Of a model, buffers that its state dict leaves out count too: they determine what it computes.
    """
    state = dict([*model.named_parameters(), *model.named_buffers()]) if isinstance(model, nn.Module) else model
    return digest_arrays(
        {f"{name} {tensor.dtype} {list(tensor.shape)}": _bytes(tensor) for name, tensor in state.items()}
    )


def displaced(center: Weights, *moves: tuple[float, Weights]) -> Weights:
    """w + sum_k a_k d_k, always from the centre w, so that no rounding accumulates along a line.

    Args:
        center: weights w by name.
        moves: pairs (a_k, d_k); a d_k may leave out names, which then do not move.
    """
    moved = {}
    for name, weight in center.items():
        total = weight
        for coefficient, direction in moves:
            if name in direction:
                total = torch.add(total, direction[name], alpha=coefficient)
        moved[name] = total
    return moved


def bind(model: nn.Module, weights: Weights) -> Forward:
    """The model as a function of its inputs alone, at the given weights, in eval mode.

    The caller's model is not touched: parameters, buffers, training flags and gradients stay as they are, and no
    parameter of the function asks for a gradient.

    Args:
        model: any module; its buffers (BatchNorm's running statistics) are copied.
        weights: values of some or all parameters by name; the others keep the model's.

    Returns:
        forward: inputs (B, C, H, W) in [0, 1] -> logits (B, K).

    Raises:
        ModelError: a name or a shape is not the model's.
    """
    resident = ResidentModel(model)
    resident.load(weights)
    return resident


class ResidentModel:
    """A private copy of a model in eval mode whose weights are written in place; called like a function.

    One copy serves a whole sweep: moving it costs one fused multiply-add for each parameter, no allocation and no
    state dict. Convolution weights lie in the memory format that the convolutions of the device prefer, unless the
    model does not work with it.
    """

    def __init__(self, model: nn.Module, *, device: torch.device | str | None = None) -> None:
        self._model = copy.deepcopy(model).eval()
        self._model.requires_grad_(False)
        self._model.to(device=device)
        use_channels_last(self._model)
        self._layers = ResidentLayers(self._model)
        self._parameters = dict(self._model.named_parameters())
        self._state = {**self._parameters, **dict(self._model.named_buffers())}
        self._compiled: Forward | None = None
        self._failure: str | None = None
        self._is_fast = True

    def compile(self) -> None:
        """Let torch.compile fuse the copy at its first call, and convolutions on the CPU go by a program compiled now.

        What cannot be compiled runs as it is, with a warning.
        """
        try:
            self._layers.compile()
        except Exception as error:  # compilers fail in their own ways
            self._failure = first_line(error)
            logger.warning("convolutions could not be compiled, they run as they are: %s", self._failure)
        self._compiled = torch.compile(self._model)

    @property
    def device(self) -> torch.device:
        """Where the copy lives (the CPU for a model without parameters)."""
        return next((parameter.device for parameter in self._parameters.values()), torch.device("cpu"))

    @property
    def module(self) -> nn.Module:
        """The copy itself, in which every layer is torch's own; its weights and buffers may be changed.

        Not through `.data` or NumPy, though, behind which torch keeps no count of what is written to a tensor.
        """
        return self._model

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Write the given parameters and buffers.

        Raises:
            ModelError: a name or a shape is not the model's.
        """
        for name, weight in weights.items():
            if name not in self._state or self._state[name].shape != weight.shape:
                raise ModelError(
                    f"the weights hold {name!r} {tuple(weight.shape)}, which is no parameter of the model."
                )
            self._state[name].copy_(weight)

    @torch.no_grad()
    def move(self, center: Weights, *moves: tuple[float, Weights]) -> None:
        """Write w + sum_k a_k d_k, computed from the centre w exactly as `displaced` does; all tensors on `device`."""
        for name, parameter in self._parameters.items():
            if name not in center:
                continue
            source = center[name]
            for coefficient, direction in moves:
                if name in direction:
                    source = torch.add(source, direction[name], alpha=coefficient, out=parameter)
            if source is not parameter:
                parameter.copy_(source)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits (B, K) of inputs (B, C, H, W), which the model may overwrite only in a copy of its own."""
        if self._is_fast:
            try:
                with self._layers.used():
                    return self._call(inputs)
            except RuntimeError as error:
                self._leave_channels_last(error)
        return self._call(inputs)

    def plainly(self, inputs: Tensor) -> Tensor:
        """What `module` makes of the inputs; layers in training mode move their buffers."""
        try:
            logits: Tensor = self._model(inputs.clone())
        except RuntimeError as error:
            self._leave_channels_last(error)
            logits = self._model(inputs.clone())
        return logits

    def _call(self, inputs: Tensor) -> Tensor:
        if self._compiled is not None:
            try:
                return self._compiled(inputs.clone())
            except Exception as error:  # compilers fail in their own ways; a fault of the model shows again below
                if self._failure is None or self._failure not in str(error):  # what is missing is said once
                    logger.warning("torch.compile failed, the model runs uncompiled: %s", first_line(error))
                self._compiled = None
        logits: Tensor = self._model(inputs.clone())
        return logits

    def _leave_channels_last(self, error: RuntimeError) -> None:
        """Go on with torch's own layers and layout for a model that asks for a view which only these can give."""
        if not (self._is_fast and NO_VIEW in str(error)):
            raise error
        self._is_fast = False
        _lay_out(self._model, torch.contiguous_format)


def use_channels_last(model: nn.Module) -> None:
    """Lay out convolution kernels as the convolutions of most devices prefer; their values stay."""
    _lay_out(model, torch.channels_last)


def _lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    for parameter in model.parameters():
        if parameter.dim() == 4:
            # A copy: a kernel with one input channel counts as contiguous in both layouts, whatever its strides.
            parameter.data = parameter.data.clone(memory_format=layout)


def takes_channels_last(model: nn.Module, inputs: Tensor) -> bool:
    """Whether the model works with kernels and inputs in channels_last; not if it asks for views of what they make.

    Args:
        model: not touched.
        inputs: (B, C, H, W) on its device.
    """
    private = copy.deepcopy(model).eval()
    use_channels_last(private)
    try:
        with torch.no_grad():
            private(inputs.clone(memory_format=torch.channels_last))
    except RuntimeError as error:
        return NO_VIEW not in str(error)
    return True


def overwrites_inputs(model: nn.Module, inputs: Tensor) -> bool:
    """Whether the model writes to what it is given, as `x -= mean` does.

    Args:
        model: not touched.
        inputs: (B, C, H, W) on its device; not touched.
    """
    given = inputs.clone()
    untouched = given._version
    with torch.no_grad():
        copy.deepcopy(model).eval()(given)
    return given._version != untouched


def _bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    # numpy has no bfloat16, so a tensor's bytes are taken rather than its values.
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()

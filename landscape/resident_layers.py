"""Layers of a private copy of a model: the same functions as torch's, in less time where the weights stand still.

While the copy is called as a whole and nobody watches its parts, a frozen BatchNorm is one multiply-add, or is done by
the convolution before it, and convolutions on the CPU go the ways of `tiles` and `convolution_gradients`. Otherwise
every layer is torch's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from landscape import convolution_gradients, tiles, winograd_kernel
from landscape.convolution_gradients import Gradient
from landscape.folds import are_watched, convolutions_before_norms

TYPES = torch.float32, torch.float64
"""In shorter ones torch's own layers compute with longer numbers than they are given."""


class Switch(threading.local):
    """Whether the layers of one copy go their own ways, in the thread that asks.

    Attributes:
        on: only while this thread calls the copy as a whole.
    """

    on = False

    def __reduce__(self) -> tuple[type[Switch], tuple[()]]:
        """Copied layers get a switch of their own, which is off."""
        return Switch, ()


class ResidentNorm(nn.BatchNorm2d):
    """A frozen BatchNorm as what it is, s x + t: cheaper than the general kernels, above all on the way back.

    Attributes:
        switch: of the copy.
        read: the tensors that s and t follow from.
        is_frozen: whether there are s and t.
        is_done_before: whether the convolution before it does its work.
        scale: s (C,).
        shift: t (C,).
    """

    switch: Switch
    read: list[Tensor]
    is_frozen: bool = False
    is_done_before: bool = False
    scale: Tensor
    shift: Tensor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """s x + t for (B, C, H, W); x where that is done already."""
        if not (self.switch.on and self.is_frozen and _holds(self, self.read)):
            return super().forward(input)
        if input.dim() != 4 or input.dtype != self.scale.dtype:
            return super().forward(input)
        if self.is_done_before:
            return input
        return torch.addcmul(self.shift[:, None, None], input, self.scale[:, None, None])

    def settings(self) -> tuple[Any, ...]:
        """What it computes with beside its tensors."""
        return self.training, self.eps

    def refresh(self) -> None:
        """Take over the present statistics and weights."""
        self.read = _tensors(self)
        mean, var = self.running_mean, self.running_var
        kinds = {tensor.dtype for tensor in (mean, var, self.weight, self.bias) if tensor is not None}
        self.is_frozen = not self.training and len(kinds) == 1 and kinds.issubset(TYPES)
        # Without the number of batches nothing tells that torch has moved the statistics.
        if mean is None or var is None or self.num_batches_tracked is None:
            self.is_frozen = False
        elif self.is_frozen:
            scale = (var + self.eps).rsqrt()
            self.scale = scale if self.weight is None else scale * self.weight
            self.shift = -mean * self.scale if self.bias is None else self.bias - mean * self.scale


class ResidentConv(nn.Conv2d):
    """A convolution that also does a frozen BatchNorm behind it, goes Winograd's way, or goes back in another way.

    Attributes:
        switch: of the copy.
        read: its tensors that the others follow from.
        norm: the BatchNorm behind it, if what this makes goes nowhere else.
        is_ready: whether it computes with numbers of one of `TYPES`.
        scaled_weight: the kernels times s of `norm` (K, C, k, k).
        shift: what is added, with t of `norm` (K,); None for nothing.
        has_program: whether `winograd_kernel` may be used.
        transformed: kernels for Winograd's way, four times their size (eight for the program); None where it is closed.
        gradients: ways back, by height and width of the inputs; None for torch's own.
    """

    switch: Switch
    read: list[Tensor]
    norm: ResidentNorm | None = None
    is_ready: bool = False
    scaled_weight: Tensor
    shift: Tensor | None
    has_program: bool = False
    transformed: tiles.Kernels | None = None
    gradients: dict[tuple[int, int], Gradient | None]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """The convolution of (B, C, H, W), and `norm` of it if that is done here."""
        if not (self.switch.on and self.is_ready and _holds(self, self.read)):
            return super().forward(input)
        if self.transformed is not None and tiles.are_many(input, self.scaled_weight):
            outputs = tiles.convolution(input, self.transformed)
            return outputs if self.shift is None else outputs.add_(self.shift[:, None, None])
        gradient = None if torch.compiler.is_compiling() else self._gradient(input)
        if gradient is None:
            made: Tensor = self._conv_forward(input, self.scaled_weight, self.shift)
            return made
        return convolution_gradients.convolution(self, input, self.scaled_weight, self.shift, gradient)

    def settings(self) -> tuple[Any, ...]:
        """What it computes with beside its tensors."""
        return self.stride, self.padding, self.dilation, self.groups, self.padding_mode

    def refresh(self) -> None:
        """Take over the present weights, and those of `norm`."""
        self.read = _tensors(self)
        weight, bias, norm = self.weight, self.bias, self.norm
        self.is_ready = weight.dtype in TYPES
        if norm is not None:
            norm.is_done_before = self.is_ready and norm.is_frozen and norm.scale.dtype == weight.dtype
        if not self.is_ready:
            return
        self.scaled_weight, self.shift, self.gradients = weight.detach(), None if bias is None else bias.detach(), {}
        if norm is not None and norm.is_done_before:
            self.scaled_weight = weight * norm.scale[:, None, None, None]
            self.shift = norm.shift if bias is None else torch.addcmul(norm.shift, bias, norm.scale)
        self.transformed = tiles.transformed(self, self.scaled_weight, self.transformed, has_program=self.has_program)

    def _gradient(self, inputs: Tensor) -> Gradient | None:
        """The way back to these inputs; None for torch's own."""
        goes_back = inputs.requires_grad and torch.is_grad_enabled() and inputs.dim() == 4
        if not goes_back or len(inputs) < convolution_gradients.MIN_EXAMPLES or inputs.device.type != "cpu":
            return None
        shape = inputs.shape[2], inputs.shape[3]
        if shape not in self.gradients:
            with torch.no_grad():
                self.gradients[shape] = convolution_gradients.faster_gradient(self, self.scaled_weight, shape)
        return self.gradients[shape]


class ResidentLayers:
    """The layers of a private copy that may go their own ways; its parameters, buffers, hooks and names stay."""

    def __init__(self, model: nn.Module) -> None:
        pairs = {id(convolution): norm for convolution, norm in convolutions_before_norms(model)}
        own = [layer for layer in model.modules() if _is_own(layer)]
        self._switch = Switch()
        self._norms: list[ResidentNorm] = []
        self._convolutions: list[ResidentConv] = []
        for layer in own:
            if type(layer) is nn.BatchNorm2d:
                self._norms.append(_became(ResidentNorm, layer, switch=self._switch))
        for layer in own:
            if type(layer) is nn.Conv2d:
                norm = pairs.get(id(layer))
                # Not as a child, whose names would be seen.
                found = {"norm": norm if isinstance(norm, ResidentNorm) else None}
                self._convolutions.append(_became(ResidentConv, layer, switch=self._switch, **found))
        self._layers: list[ResidentNorm | ResidentConv] = [*self._norms, *self._convolutions]
        self._modules = list(model.modules())
        self._parts = _parts(self._modules)
        self._state: list[Any] = []
        self._read: list[Tensor] = []

    def compile(self) -> None:
        """Let convolutions go by a program that is compiled for this machine.

        Raises:
            Exception: as `winograd_kernel.program`.
        """
        if any(tiles.suits_program(convolution) for convolution in self._convolutions):
            winograd_kernel.program()
            for convolution in self._convolutions:
                convolution.has_program = True
            self._state = []  # with the program they take over other kernels

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the layers go their own ways within the block, unless somebody watches or differentiates them.

        A call from within another one goes torch's way: what the layers keep stays as the outer call found it.
        """
        is_within = self._switch.on
        tensors = [tensor for layer in self._layers for tensor in _tensors(layer)]
        is_free = not is_within and self._are_free(tensors)
        if is_free:
            self._refresh(tensors)
        self._switch.on = is_free
        try:
            yield
        finally:
            self._switch.on = is_within

    def _are_free(self, tensors: list[Tensor]) -> bool:
        if _transforms() or _autocasts() or are_watched(self._modules):
            return False
        if any(tensor.requires_grad or tensor.is_inference() for tensor in tensors):  # the latter know no versions
            return False
        return _parts(self._modules) == self._parts

    def _refresh(self, tensors: list[Tensor]) -> None:
        """Let the layers take over their weights and statistics, if any were written to since the last time."""
        # With the number of batches, because torch writes that openly, unlike the statistics that it moves.
        seen = [(tensor.data_ptr(), tensor._version, tensor.stride()) for tensor in tensors]
        state = [*seen, *(layer.settings() for layer in self._layers)]
        with _REFRESHING:
            if state != self._state:
                self._take_over(tensors)
                self._state = state

    def _take_over(self, tensors: list[Tensor]) -> None:
        self._state = []  # if this is interrupted, what is kept belongs to no state
        with torch.no_grad(), torch.inference_mode(False):  # what is kept must serve outside of that mode, too
            for norm in self._norms:
                norm.refresh()
            for convolution in self._convolutions:
                convolution.refresh()
            self._read = [tensor.detach() for tensor in tensors]  # so that no other tensor gets their memory


_REFRESHING = threading.Lock()  # while one thread writes what layers keep, no other may begin to read it

L = TypeVar("L", bound=nn.Module)


def _became(kind: type[L], layer: nn.Module, **attributes: Any) -> L:
    """The layer itself as one of another class."""
    layer.__class__ = kind
    layer.__dict__.update(attributes)
    return cast("L", layer)


def _is_own(layer: nn.Module) -> bool:
    """Whether its weight is the layer's, and not what hooks compute anew at every call."""
    return "weight" in layer._parameters


def _tensors(layer: nn.Module) -> list[Tensor]:
    return [tensor for tensor in (*layer._parameters.values(), *layer._buffers.values()) if tensor is not None]


def _holds(layer: nn.Module, tensors: list[Tensor]) -> bool:
    """Whether these are its tensors, a model does not call it with others, and no checkpoint will call it again."""
    own = _tensors(layer)
    if len(own) != len(tensors) or any(one is not other for one, other in zip(own, tensors, strict=True)):
        return False
    return torch.compiler.is_compiling() or _saving_hooks(True) is None


_saving_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: None)
"""Those that see what autograd saves; torch before 2.8 does not tell, and checkpoints within a model fail there."""


def _parts(modules: list[nn.Module]) -> list[nn.Module | str | None]:
    """Children and names of tensors, in order: with others it is another model than the one that was looked through."""
    return [part for module in modules for part in (*module._modules.values(), *module._parameters, *module._buffers)]


def _transforms() -> bool:
    """Whether this thread computes with something else than the numbers of the inputs."""
    modes = torch._C._len_torch_dispatch_stack()
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0 or modes > 0


def _autocasts() -> bool:
    kinds = [kind for kind in ("cpu", "cuda") if torch.amp.is_autocast_available(kind)]
    return any(torch.is_autocast_enabled(kind) for kind in kinds)

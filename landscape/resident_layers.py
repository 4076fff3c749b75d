"""Layers of a private copy of a model: the same functions as torch's, in less time where the weights stand still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from landscape import winograd

MIN_CHANNELS = 128
"""Channels on both sides from which Winograd's way was measured to be the faster one."""

MIN_TILES = 16
"""Tiles in a batch from which it was: with fewer, reading the transformed kernels takes longer than the products."""

TRACED_PACKAGES = ("torch", "landscape")
"""Whose modules may be called to see what their outputs are used for."""

TYPES = torch.float32, torch.float64
"""In shorter ones torch's own layers compute with longer numbers than they are given."""


class AffineNorm(nn.BatchNorm2d):
    """A frozen BatchNorm as what it is, s x + t: cheaper than the general kernels, above all on the way back.

    Attributes:
        source: the convolution that does it, if what it makes goes nowhere else.
    """

    source: ResidentConv | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """s x + t with s = weight / sqrt(var + eps), t = bias - mean s, for (B, C, H, W); x if `source` did it."""
        mean, var = self.running_mean, self.running_var
        if self.training or mean is None or var is None or input.dim() != 4:
            return super().forward(input)
        if input.dtype != var.dtype or var.dtype not in TYPES:
            return super().forward(input)
        if self.source is not None and self.source.folds():
            return input
        scale, shift = self.scale_and_shift(mean, var)
        return torch.addcmul(shift[:, None, None], input, scale[:, None, None])

    def scale_and_shift(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """s and t (C,)."""
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        return scale, -mean * scale if self.bias is None else self.bias - mean * scale

    def frozen_tensors(self) -> list[Tensor] | None:
        """What s and t depend on; None where the layer looks at its batches.

        With the number of batches, because torch writes that openly, unlike the statistics that it moves.
        """
        statistics = self.running_mean, self.running_var, self.num_batches_tracked
        if self.training or any(tensor is None for tensor in statistics):
            return None
        return [tensor for tensor in (*statistics, self.weight, self.bias) if tensor is not None]


class ResidentConv(nn.Conv2d):
    """A convolution that also does a frozen BatchNorm behind it, or goes Winograd's way, or both.

    It keeps what follows from the weights until these are written to: the kernels s g, and the transformed ones, four
    times their size, see `winograd`.

    Attributes:
        norm: the BatchNorm behind it, if what this makes goes nowhere else.
        by_tiles: whether Winograd's way is open to it.
    """

    norm: AffineNorm | None = None
    by_tiles: bool = False
    _versions: tuple[tuple[int, int], ...] | None = None
    _read: list[Tensor] | None = None
    _kernels: Tensor | None = None
    _folded_weight: Tensor | None = None
    _folded_bias: Tensor | None = None

    def folds(self) -> bool:
        """Whether a call now does what `norm` would do."""
        frozen = None if self.norm is None else self.norm.frozen_tensors()
        if self.norm is None or frozen is None or self._asks_for_gradients() or _autocasts(self.weight):
            return False
        unlike = any(own.requires_grad for own in frozen) or frozen[0].dtype != self.weight.dtype
        return not unlike and not _is_watched(self) and not _is_watched(self.norm)

    def _asks_for_gradients(self) -> bool:
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)

    @torch.inference_mode(False)  # what is kept must serve outside of that mode, too
    @torch.no_grad()
    def transform(self) -> None:
        """Take over the present weights if they were written to since the last time."""
        frozen = (self.norm.frozen_tensors() or []) if self.norm is not None and self.folds() else []
        own = [self.weight, *([] if self.bias is None else [self.bias]), *frozen]
        versions = tuple((tensor.data_ptr(), tensor._version) for tensor in own)
        if versions == self._versions:
            return
        weight, bias = self.weight, self.bias
        if frozen and self.norm is not None:
            scale, shift = self.norm.scale_and_shift(frozen[0], frozen[1])
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else torch.addcmul(shift, bias, scale)
        self._folded_weight, self._folded_bias = weight.detach(), None if bias is None else bias.detach()
        if self.by_tiles:
            usable = self._kernels is not None and self._kernels.dtype == weight.dtype
            self._kernels = winograd.transformed_kernels(weight.detach(), out=self._kernels if usable else None)
        self._versions = versions
        self._read = [tensor.detach() for tensor in own]  # so that no other tensor gets their memory

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """The convolution of (B, C, H, W), and `norm` of it if this `folds`."""
        by_tiles = self.by_tiles and self._suits(input)
        if not by_tiles and not self.folds():
            return super().forward(input)
        if not torch.compiler.is_compiling():
            self.transform()
        if self._folded_weight is None:
            raise RuntimeError("a compiled model needs its layers transformed before it is called.")
        if not by_tiles or self._kernels is None:
            made: Tensor = self._conv_forward(input, self._folded_weight, self._folded_bias)
            return made
        outputs = winograd.convolution(input, self._kernels)
        return outputs if self._folded_bias is None else outputs.add_(self._folded_bias[:, None, None])

    def _suits(self, inputs: Tensor) -> bool:
        if inputs.dim() != 4 or inputs.dtype != self.weight.dtype or inputs.device.type != "cpu" or _autocasts(inputs):
            return False
        if torch._C._are_functorch_transforms_active():  # the operation of `winograd` has no rules for these
            return False
        num, _, height, width = inputs.shape
        whole = height % winograd.TILE == 0 and width % winograd.TILE == 0
        enough = num * height * width >= MIN_TILES * winograd.TILE**2
        return whole and enough and not self._asks_for_gradients()


def use_resident_layers(model: nn.Module) -> list[ResidentConv]:
    """Let layers of a private copy compute in these ways; parameters, buffers, hooks and names stay.

    Returns:
        Those to `transform` before the copy is called compiled.
    """
    norms = {id(convolution): norm for convolution, norm in _convolutions_before_norms(model)}
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = AffineNorm
    for module in model.modules():
        by_tiles = type(module) is nn.Conv2d and _may_go_by_tiles(module)
        if id(module) in norms or by_tiles:
            module.__class__ = ResidentConv
            norm = norms.get(id(module))
            module.__dict__.update(by_tiles=by_tiles, norm=norm)  # not as a child, whose names would be seen
            if norm is not None:
                norm.__dict__["source"] = module
    return [module for module in model.modules() if isinstance(module, ResidentConv)]


class _Tracer(fx.Tracer):
    """Leaves alone what other threads call meanwhile: torch.fx changes `nn.Module.__call__` for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A node for a module of this thread; a plain call for others."""
        ours = threading.get_ident() == self._thread
        return super().call_module(m, forward, args, kwargs) if ours else forward(*args, **kwargs)


_TRACING = threading.Lock()  # two traces at once would put back each other's changes


def _convolutions_before_norms(model: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions whose output goes to one BatchNorm and nowhere else.

    None in a model that cannot be traced, or that holds code of others: tracing calls it with symbols, and what a
    stranger's forward pass does beside its result must happen once, and with numbers.
    """
    if not all(_is_traced(module) and not _is_watched(module) for module in model.modules()):
        return []
    try:
        with _TRACING:
            graph = _Tracer().trace(model)
    except Exception:  # whatever a model does with its inputs that a symbol cannot do
        return []
    modules = dict(model.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times: dict[int, int] = {}
    for node in calls:
        place = id(modules[str(node.target)])
        times[place] = times.get(place, 0) + 1
    pairs = []
    for node in calls:
        before = node.args[0] if len(node.args) == 1 else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        convolution, norm = modules[str(before.target)], modules[str(node.target)]
        once = times[id(convolution)] == times[id(norm)] == 1
        plain = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d
        if once and plain and _is_own(convolution) and convolution.weight.dtype in TYPES:
            pairs.append((convolution, norm))
    return pairs


def _is_watched(module: nn.Module) -> bool:
    """Whether hooks see what goes in or out."""
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks)


def _is_traced(module: nn.Module) -> bool:
    """Whether what a call of it runs is known; a forward of its own stands before that of any class."""
    return type(module).__module__.partition(".")[0] in TRACED_PACKAGES and "forward" not in vars(module)


def _is_own(layer: nn.Module) -> bool:
    """Whether the weight is a parameter, and not what hooks compute anew at every call."""
    weight = layer._parameters.get("weight")
    return weight is not None and not weight.is_inference()  # tensors for inference know no versions


def _may_go_by_tiles(layer: nn.Conv2d) -> bool:
    return (
        _is_own(layer)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in TYPES
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    )


def _autocasts(tensor: Tensor) -> bool:
    kind = tensor.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)

"""Copies of a model with other weights and the same function: what a normalized landscape must not notice.

Two kinds of rescaling (Dinh et al. 2017, Li et al. 2018), each only where the structure of the network allows it:

    before BatchNorm   a convolution or linear layer x c, with its BatchNorm's running mean x c, variance and eps x c^2
    through ReLU       a layer's scale and shift x c, with the weights of every consumer / c

where only maps with f(c x) = c f(x), c > 0, may lie between a layer and its consumers. The structure is read from a
symbolic trace. Where it cannot be traced, or the copy gives other logits, there is no copy: a wrong one would accuse a
sound landscape.
"""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

FACTOR = 4.0
"""c: a power of two, so that nothing rounds. Layers in a row get c and 1/c in turn, which do not cancel."""

LARGEST_DEVIATION = 1e-3
"""Largest difference of the logits, as a share of the largest, that still counts as the same function."""

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

_BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_HOMOGENEOUS_MODULES = (
    nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d,
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)  # fmt: skip

_HOMOGENEOUS_FUNCTIONS = (
    F.relu, torch.relu, F.leaky_relu, torch.flatten, F.max_pool2d, F.avg_pool2d, torch.max_pool2d,
    F.adaptive_avg_pool2d, F.adaptive_max_pool2d,
)  # fmt: skip

_HOMOGENEOUS_METHODS = ("relu", "relu_", "flatten", "view", "reshape", "contiguous", "squeeze", "mean")

_SHAPE_METHODS = ("size", "dim")


@dataclass(frozen=True, kw_only=True)
class Rescaled:
    """A rescaled copy.

    Attributes:
        how: what was done to the layers, to follow `3 layers`.
        places: names of the layers.
        model: the copy, in eval mode.
    """

    how: str
    places: tuple[str, ...]
    model: nn.Module


def rescaled_copies(model: nn.Module, inputs: Tensor) -> tuple[list[Rescaled], str]:
    """A copy for each kind of rescaling that the model allows, at all its places at once.

    Args:
        model: any module; it is not changed.
        inputs: (n, C, H, W) in [0, 1], on the model's device: the logits of a copy are compared on them.

    Returns:
        The copies, and why there is none (empty if there is one).
    """
    structure = _traced(model)
    if structure is None:
        return [], "its structure cannot be traced"
    before, through = structure.before_batchnorm(), structure.through_relu()
    if not before and not through:
        return [], "no layer has consumers that allow it"
    copies = []
    if before:
        how = "before BatchNorm x c, with its statistics"
        copies.append(Rescaled(how=how, places=tuple(before), model=_scaled_before_batchnorm(model, before)))
    if through:
        how = "x c, with their consumers / c"
        copies.append(Rescaled(how=how, places=tuple(through), model=_scaled_through_relu(model, through)))
    same = [entry for entry in copies if _same_function(model, entry.model, inputs)]
    return same, "" if same else "its rescaled copies give other logits"


def _scaled_before_batchnorm(model: nn.Module, places: dict[str, str]) -> nn.Module:
    scaled = copy.deepcopy(model).eval()
    with torch.no_grad():
        for (layer, batchnorm), factor in zip(places.items(), _factors(), strict=False):
            _multiply(scaled.get_submodule(layer), factor)
            statistics: Any = scaled.get_submodule(batchnorm)
            statistics.running_mean.mul_(factor)
            statistics.running_var.mul_(factor**2)
            statistics.eps *= factor**2
    return scaled


def _scaled_through_relu(model: nn.Module, places: dict[str, list[str]]) -> nn.Module:
    scaled = copy.deepcopy(model).eval()
    with torch.no_grad():
        for (layer, consumers), factor in zip(places.items(), _factors(), strict=False):
            _multiply(scaled.get_submodule(layer), factor)
            for consumer in consumers:
                scaled.get_submodule(consumer).get_parameter("weight").div_(factor)
    return scaled


def _factors() -> Iterator[float]:
    while True:
        yield FACTOR
        yield 1 / FACTOR


def _multiply(layer: nn.Module, factor: float) -> None:
    for parameter in layer.parameters(recurse=False):
        parameter.mul_(factor)


@torch.no_grad()
def _same_function(model: nn.Module, other: nn.Module, inputs: Tensor) -> bool:
    ours, theirs = copy.deepcopy(model).eval()(inputs), other(inputs)
    return bool((ours - theirs).abs().max() <= LARGEST_DEVIATION * ours.abs().max())


class _Structure:
    """Which layer's output goes where, for layers that are used once, with parameters of their own and no hooks."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self._model = model
        self._nodes = [node for node in graph.nodes if node.op == "call_module"]
        self._uses = Counter(id(self._module(node)) for node in self._nodes)
        self._owners = Counter(id(part) for module in model.modules() for part in module.parameters(recurse=False))
        self._read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}

    def before_batchnorm(self) -> dict[str, str]:
        """Names of layers whose sole consumer is a BatchNorm with running statistics, with its name."""
        found = {}
        for node in self._nodes:
            if self._is_plain(node, _WEIGHTED) and len(node.users) == 1:
                (user,) = node.users
                if self._takes(user, node) and self._is_plain(user, _BATCHNORMS) and self._has_statistics(user):
                    found[str(node.target)] = str(user.target)
        return found

    def through_relu(self) -> dict[str, list[str]]:
        """Names of layers whose output reaches only layers that can undo a factor, with the names of these."""
        found = {}
        for node in self._nodes:
            scales = self._is_plain(node, _WEIGHTED)
            if self._is_plain(node, _BATCHNORMS):
                scales = self._has_statistics(node) and bool(getattr(self._module(node), "affine", False))
            consumers = self._consumers(node) if scales else None
            if consumers:
                found[str(node.target)] = consumers
        return found

    def _consumers(self, node: fx.Node) -> list[str] | None:
        """The layers that a node's values reach through homogeneous maps; None if they reach anything else."""
        reached: list[str] = []
        for user in node.users:
            if _reads_shape(user):
                continue
            if self._takes(user, node) and self._is_plain(user, _WEIGHTED):
                reached.append(str(user.target))
                continue
            further = self._consumers(user) if self._is_homogeneous(user, node) else None
            if further is None:
                return None
            reached += further
        return reached

    def _is_homogeneous(self, node: fx.Node, source: fx.Node) -> bool:
        if not self._takes(node, source):
            return False
        if node.op == "call_module":
            return type(self._module(node)) in _HOMOGENEOUS_MODULES
        if node.op == "call_function":
            return node.target in _HOMOGENEOUS_FUNCTIONS
        return node.op == "call_method" and node.target in _HOMOGENEOUS_METHODS

    def _takes(self, node: fx.Node, source: fx.Node) -> bool:
        """Whether a node has `source` as its first argument and nowhere else."""
        rest = [*node.args[1:], *node.kwargs.values()]
        return bool(node.args) and node.args[0] is source and not any(part is source for part in rest)

    def _is_plain(self, node: fx.Node, kinds: tuple[type[nn.Module], ...]) -> bool:
        """Whether a node is the only use of a layer of these very kinds that owns its parameters and has no hooks."""
        if node.op != "call_module":
            return False
        module = self._module(node)
        return (
            type(module) in kinds
            and self._uses[id(module)] == 1
            and str(node.target) not in self._read
            and all(self._owners[id(part)] == 1 for part in module.parameters(recurse=False))
            and not (module._forward_hooks or module._forward_pre_hooks)
        )

    def _has_statistics(self, node: fx.Node) -> bool:
        return getattr(self._module(node), "running_var", None) is not None

    def _module(self, node: fx.Node) -> nn.Module:
        return self._model.get_submodule(str(node.target))


def _reads_shape(node: fx.Node) -> bool:
    """Whether a node takes no value of its source, but its shape."""
    if node.op == "call_method":
        return node.target in _SHAPE_METHODS
    return node.op == "call_function" and node.target is getattr and node.args[1:] in (("shape",), ("ndim",))


def _traced(model: nn.Module) -> _Structure | None:
    private = copy.deepcopy(model).eval()
    # The forward of a user's model may raise anything when it is traced.
    with contextlib.suppress(Exception):
        return _Structure(private, fx.Tracer().trace(private))
    return None

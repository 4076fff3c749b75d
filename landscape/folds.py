"""Finds the convolutions of a model whose output goes to one BatchNorm and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx, nn
from torch.nn.modules import module as for_all

TRACED_PACKAGES = ("torch", "landscape")
"""Whose modules may be called to see what their outputs are used for."""


def convolutions_before_norms(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Pairs of layers that are called once, one right after the other.

    None in a model that cannot be traced, is watched or holds code of others: tracing calls it with symbols, and what
    a hook or a stranger's forward pass does beside its result must happen once, and with numbers.
    """
    parts = list(model.modules())
    if are_watched(parts) or not all(_is_known(part) for part in parts):
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
        if once and type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            pairs.append((convolution, norm))
    return pairs


def are_watched(modules: Sequence[nn.Module]) -> bool:
    """Whether hooks of theirs, or of all modules, see what goes in or out, or one has a forward not of its class."""
    forward = for_all._global_forward_hooks, for_all._global_forward_pre_hooks
    backward = for_all._global_backward_hooks, for_all._global_backward_pre_hooks
    return any(forward) or any(backward) or any(_is_watched(module) for module in modules)


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


def _is_watched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks) or "forward" in vars(module)


def _is_known(module: nn.Module) -> bool:
    """Whether a call of it runs code that may meet symbols."""
    return type(module).__module__.partition(".")[0] in TRACED_PACKAGES
